"""Small rendered photographs for training."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.annotated_plates import plates  # noqa: F401 - a fixture
from support.few_hard_frames import few_hard_frames  # noqa: F401 - a fixture
from support.translation_table import share_translation_table

MakeData = Callable[..., Path]
share_translation_table()


@pytest.fixture
def make_data(tmp_path: Path) -> MakeData:
    """`make_data(train=(good, bad), val=…, test=…)` writes grey plates; bad ones have a blot and a mask."""

    def make(**splits: tuple[int, int]) -> Path:
        rng = np.random.default_rng(0)
        folder = tmp_path / "data"
        rows = ["file,defect,part"]
        for split, counts in splits.items():
            for label, count in zip(("good", "bad"), counts, strict=True):
                for index in range(count):
                    frame, mask = plate(rng, label == "bad")
                    name = f"{split}/{label}/part{index:02}.png"
                    write(folder / name, frame)
                    rows.append(f"{name},{'blot' if label == 'bad' else ''},{split}-{label}-{index}")
                    if label == "bad":
                        write(folder / split / "mask" / f"part{index:02}.png", mask)
        (folder / "parts.csv").write_text("\n".join(rows) + "\n")
        return folder

    return make


def plate(rng: np.random.Generator, bad: bool) -> tuple[np.ndarray, np.ndarray]:
    """A noisy plate uint8 [72, 128, 3] and its mask uint8 [72, 128]."""
    frame = rng.normal(110, 6, (72, 128, 3))
    mask = np.zeros((72, 128), np.uint8)
    if bad:
        y, x = rng.integers(12, 50), rng.integers(12, 100)
        mask[y : y + 10, x : x + 12] = 255
        frame[mask > 0] += 100
    return frame.clip(0, 255).astype(np.uint8), mask


def write(path: Path, picture: np.ndarray) -> None:
    """Write a picture, and create the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
