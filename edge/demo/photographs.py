"""The demo line as stored photographs, in the layout that training reads."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2

from edge.demo.line import DemoFrame, DemoLine
from edge.demo.stamp import Pixels
from edge.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

JPEG_QUALITY = 95
COLUMNS = ("file", "defect", "strength", "part", "split")


@dataclass(frozen=True)
class Written:
    """What lies in one split: the line's seed there, and how many good and bad parts it gave."""

    seed: int
    good: int
    bad: int


def split_seed(seed: int, split: Split) -> int:
    """The line's seed for a split: 1000·(seed + 1) + 1 for train, + 2 for val, + 3 for test.

    Never a seed that a person would give by hand to a run (a run's default is 0), so that photographs and a run
    never show the same part.
    """
    return 1000 * (seed + 1) + 1 + SPLITS.index(split)


def write_photographs(
    folder: Path,
    counts: Mapping[Split, int],
    seed: int = 0,
    size: tuple[int, int] = (720, 1280),
    defect_rate: float = 0.4,
    progress: Callable[[], None] = lambda: None,
) -> dict[Split, Written]:
    """Render `counts` parts of each split into `folder`, which must be missing or empty; `size` is (height, width).

    Writes `{split}/{good,bad}/part-000123.jpg`, `{split}/mask/part-000123.png` (0 or 255, same size) for each bad
    one, and `parts.csv`. Calls `progress` after each part. Raises DataError if the folder is not empty, cannot be
    written, or the line cannot be built so.
    """
    try:
        lines = {split: DemoLine(split_seed(seed, split), size, defect_rate) for split in SPLITS}
    except ValueError as error:
        raise DataError(str(error)) from None
    try:
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"folder {folder} is not empty: give a new one")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "parts.csv").open("w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(COLUMNS)
            return {
                split: _write_split(folder, split, lines[split], counts.get(split, 0), writer.writerow, progress)
                for split in SPLITS
            }
    except OSError as error:
        raise DataError(f"cannot write to {error.filename or folder}: {error.strerror or error}") from None


def _write_split(
    folder: Path,
    split: Split,
    line: DemoLine,
    count: int,
    write_row: Callable[[tuple[str, ...]], object],
    progress: Callable[[], None],
) -> Written:
    bad = 0
    for index in range(count):
        photograph = line.render(index)
        file = f"{split}/{photograph.part.truth}/part-{index:06d}.jpg"
        _store(folder / file, photograph.frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if photograph.part.defects:
            _store(folder / split / "mask" / f"part-{index:06d}.png", line.mask(index), [])
            bad += 1
        write_row((file, *_describe(photograph), f"{split}-{photograph.part.code}", split))
        progress()
    return Written(line.seed, count - bad, bad)


def _describe(photograph: DemoFrame) -> tuple[str, str]:
    """Kinds and strengths of the part's defects, joined by a plus; "free" where there is none."""
    defects = photograph.part.defects
    if not defects:
        return "free", ""
    return "+".join(defect.kind for defect in defects), "+".join(defect.strength for defect in defects)


def _store(path: Path, picture: Pixels, options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(path.suffix, picture, options)
    path.write_bytes(encoded.tobytes())
