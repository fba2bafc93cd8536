"""The map threshold is chosen on photographs with known truth, and the manifest names these photographs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.backends import Output
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import Photograph
from edge.terminal.progress import SILENT
from export.map_threshold import choose_map_threshold, dice_at
from train.data.photographs import list_photographs

SIDE, CELL, GREY = 64, 4, 100


class Brightness:
    """A backend whose map is the brightness of each cell, from 0 to 1. All its maps share one memory buffer."""

    name = "brightness"

    def __init__(self) -> None:
        self.map = np.zeros((SIDE // CELL, SIDE // CELL), np.float32)

    def infer(self, frame: Frame) -> Output:
        self.map[:] = frame[:, :, 0].reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).mean(axis=(1, 3)) / 255
        return Output(float(self.map.max()), self.map)


class Blind(Brightness):
    """A backend without a map."""

    def infer(self, frame: Frame) -> Output:
        return Output(0.0, None)


def run_of(data: Path) -> Any:
    """The required parts of a run on the photographs in `data`."""

    def photographs(split: str) -> list[Photograph]:
        return list_photographs(data, split)

    return SimpleNamespace(data=data, contract=LetterboxContract(side=SIDE), photographs=photographs)


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Good parts whose brightest cells are 100 to 119, and bad ones with a blurred square of 220 on a ground of 140."""
    for i in range(20):
        good = np.full((SIDE, SIDE, 3), 50, np.uint8)
        good[:CELL, :CELL] = GREY + i
        write(tmp_path / "val" / "good" / f"{i}.png", good)
    for i in range(3):
        bad = np.full((SIDE, SIDE, 3), 50, np.uint8)
        bad[8:40, 8:56] = 140
        bad[16:32, 16:40] = 220
        bad = cv2.GaussianBlur(bad, (0, 0), 2)
        write(tmp_path / "val" / "bad" / f"{i}.png", bad)
    return tmp_path


def with_masks(data: Path) -> Path:
    for i in range(3):
        truth = np.zeros((SIDE, SIDE), np.uint8)
        truth[16:32, 16:40] = 255
        write(data / "val" / "mask" / f"{i}.png", truth)
    return data


def test_masks_choose_the_level_with_the_best_dice(data: Path) -> None:
    chosen = choose_map_threshold(run_of(with_masks(data)), Brightness(), SILENT.begin)
    assert chosen is not None
    assert 140 / 255 < chosen.value <= 220 / 255, "between what surrounds the defect and the defect"
    assert chosen.dice is not None
    assert 0.8 < chosen.dice <= 1, "marking all that is bright would give 0.57"
    assert "Dice" in chosen.strategy
    assert "3 bad with ground truth" in chosen.data
    assert chosen.artifact == "brightness"


def test_the_dice_of_another_artifact_is_told_at_the_same_level(data: Path) -> None:
    subject = run_of(with_masks(data))
    chosen = choose_map_threshold(subject, Brightness(), SILENT.begin)
    assert chosen is not None
    assert dice_at(subject, Brightness(), chosen.value, SILENT.begin) == pytest.approx(chosen.dice)
    assert dice_at(subject, Brightness(), 1.0, SILENT.begin) == 0.0


def test_without_masks_nearly_all_good_photographs_stay_below(data: Path) -> None:
    chosen = choose_map_threshold(run_of(data), Brightness(), SILENT.begin)
    assert chosen is not None
    largest = np.arange(GREY, GREY + 20) / 255
    assert (largest >= chosen.value).sum() == 1, "one of twenty"
    assert chosen.dice is None
    assert "0.95" in chosen.strategy
    assert "20 good" in chosen.data


def test_an_empty_or_unreadable_mask_is_no_ground_truth(data: Path) -> None:
    write(data / "val" / "mask" / "0.png", np.zeros((SIDE, SIDE), np.uint8))
    write(data / "val" / "mask" / "1.png", np.full((SIDE, 2 * SIDE), 255, np.uint8))
    (data / "val" / "mask" / "2.png").write_bytes(b"not a picture")
    chosen = choose_map_threshold(run_of(data), Brightness(), SILENT.begin)
    assert chosen is not None
    assert chosen.dice is None


def test_without_a_map_there_is_no_threshold_of_it(data: Path) -> None:
    assert choose_map_threshold(run_of(with_masks(data)), Blind(), SILENT.begin) is None
