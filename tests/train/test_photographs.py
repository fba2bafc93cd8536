"""The list of photographs is never guessed: unusable files are named and refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataError
from train.data.photographs import list_photographs, survey


def everything(data: Path) -> list:
    return [photograph for split in ("train", "val", "test") for photograph in list_photographs(data, split)]


def test_photographs_come_with_label_mask_and_defect(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(2, 2))
    good, _, bad, _ = list_photographs(data, "train")
    assert (good.name, good.label, good.mask, good.defect) == ("train/good/part00.png", "good", None, None)
    assert (bad.name, bad.label, bad.defect) == ("train/bad/part00.png", "bad", "blot")
    assert bad.mask == data / "train" / "mask" / "part00.png"
    assert bad.details == {"part": "train-bad-0"}
    assert list_photographs(data, "val") == []


def test_fingerprint_is_of_content_and_names_not_of_the_place(make_data: Callable[..., Path], tmp_path: Path) -> None:
    data = make_data(train=(2, 2))
    before = survey(everything(data), masks_needed=True).fingerprint
    moved = data.rename(tmp_path / "elsewhere")
    assert survey(everything(moved), masks_needed=True).fingerprint == before
    mask = moved / "train" / "mask" / "part01.png"
    truth = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    truth[0, 0] = 255
    cv2.imwrite(str(mask), truth)
    changed = survey(everything(moved), masks_needed=True).fingerprint
    assert changed != before
    (moved / "train" / "good" / "part01.png").rename(moved / "train" / "good" / "part02.png")
    assert survey(everything(moved), masks_needed=True).fingerprint not in (before, changed)


@pytest.mark.parametrize("name", ["notes.txt", "part07.png"])
def test_text_file_among_the_photographs_is_named_and_refused(make_data: Callable[..., Path], name: str) -> None:
    data = make_data(train=(3, 0))
    (data / "train" / "good" / name).write_text("not a picture\n")
    with pytest.raises(DataError, match=rf"^1 of 4 photographs cannot be used: .*{name}"):
        survey(everything(data), masks_needed=False)


def test_picture_cut_short_is_named_and_refused(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(3, 0))
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8))[1].tobytes()
    (data / "train" / "good" / "short.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"short\.jpg"):
        survey(everything(data), masks_needed=False)


def test_mask_of_another_size_and_missing_mask_are_named_and_refused(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(1, 3))
    cv2.imwrite(str(data / "train" / "mask" / "part00.png"), np.full((50, 70), 255, np.uint8))
    (data / "train" / "mask" / "part02.png").unlink()
    with pytest.raises(DataError) as refusal:
        survey(everything(data), masks_needed=True)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith("2 of 4 photographs cannot be used: ")
    assert "train/bad/part00.png (mask is 70×50, photograph 128×72)" in message
    assert "train/bad/part02.png (no mask)" in message


def test_missing_mask_is_no_matter_where_none_is_needed(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(1, 1))
    (data / "train" / "mask" / "part00.png").unlink()
    survey(everything(data), masks_needed=False)


def test_one_empty_mask_in_many_is_told_and_more_are_refused(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(1, 40))
    nothing = np.zeros((72, 128), np.uint8)
    cv2.imwrite(str(data / "train" / "mask" / "part07.png"), nothing)
    found = survey(everything(data), masks_needed=True)
    assert found.empty_masks == ["train/bad/part07.png"]
    counted = found.record({"train": everything(data)})
    assert (counted.splits["train"].masks, counted.splits["train"].empty_masks) == (40, 1)
    assert any("train/bad/part07.png" in line for line in counted.lines())
    cv2.imwrite(str(data / "train" / "mask" / "part09.png"), nothing)
    with pytest.raises(
        DataError, match=r"^2 of 41 .*part07\.png \(its mask part07\.png marks nothing: draw the defect"
    ):
        survey(everything(data), masks_needed=True)


def test_photographs_that_are_all_the_same_are_refused(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(3, 0))
    first = (data / "train" / "good" / "part00.png").read_bytes()
    for other in ("part01.png", "part02.png"):
        (data / "train" / "good" / other).write_bytes(first)
    with pytest.raises(DataError, match="all 3 photographs are the same picture"):
        survey(everything(data), masks_needed=False)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such data folder: .*nowhere"):
        list_photographs(tmp_path / "nowhere", "train")


def test_hidden_files_are_no_photographs(make_data: Callable[..., Path]) -> None:
    data = make_data(train=(2, 0))
    (data / "train" / "good" / ".DS_Store").write_bytes(b"\0")
    assert len(list_photographs(data, "train")) == 2


def test_magnetic_tiles_are_all_there(tiles: Path) -> None:
    counts = {split: len(list_photographs(tiles, split)) for split in ("train", "val", "test")}
    assert counts == {"train": 670, "val": 211, "test": 272}
    bad = [photograph for photograph in list_photographs(tiles, "test") if photograph.is_bad]
    assert {photograph.defect for photograph in bad} == {"blowhole", "break", "crack", "fray", "uneven"}
    assert all(photograph.mask for photograph in bad)
