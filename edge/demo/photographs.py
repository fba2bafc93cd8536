"""A demo line as stored photographs, in the layout that training reads."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.demo.lines import SPLITS, Split
from edge.demo.rendered_line import DemoFrame, RenderedLine
from edge.demo.stamp import Pixels
from edge.errors import DataError

JPEG_QUALITY = 95
COLUMNS = ("file", "defect", "strength", "part", "split")


@dataclass(frozen=True)
class Written:
    """The contents of one split: the line's seed, and the numbers of good and bad parts."""

    seed: int
    good: int
    bad: int


def write_photographs(
    folder: Path,
    lines: Mapping[Split, RenderedLine],
    counts: Mapping[Split, int],
    progress: Callable[[], None] = lambda: None,
) -> dict[Split, Written]:
    """Render `counts` parts of each split's line into `folder`, which must be missing or empty.

    Writes `{split}/{good,bad}/part-000123.jpg` (or .png, see `RenderedLine`), `{split}/mask/part-000123.png` (0 or 255,
    same size) for each bad part, and `parts.csv`. Calls `progress` after each part. Raises DataError if the folder is
    not empty or not writable.
    """
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
    line: RenderedLine,
    count: int,
    write_row: Callable[[tuple[str, ...]], object],
    progress: Callable[[], None],
) -> Written:
    bad = 0
    for index in range(count):
        photograph = line.render(index)
        file = f"{split}/{photograph.part.truth}/part-{index:06d}{line.suffix}"
        frame = cv2.extractChannel(photograph.frame, 0) if line.is_grey else photograph.frame
        _store(folder / file, np.asarray(frame, np.uint8))
        if photograph.part.defects:
            _store(folder / split / "mask" / f"part-{index:06d}.png", line.mask(index))
            bad += 1
        write_row((file, *_describe(photograph), f"{split}-{photograph.part.code}", split))
        progress()
    return Written(line.seed, count - bad, bad)


def _describe(photograph: DemoFrame) -> tuple[str, str]:
    """Kinds and strengths of the part's defects, joined by a plus; "free" without a defect."""
    defects = photograph.part.defects
    if not defects:
        return "free", ""
    return "+".join(defect.kind for defect in defects), "+".join(defect.strength for defect in defects)


def _store(path: Path, picture: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, picture, options)
    path.write_bytes(encoded.tobytes())
