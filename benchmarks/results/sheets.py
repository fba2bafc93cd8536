"""Contact sheets of bad test photographs, each with what the network made of it: its map, its drawing, its mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from benchmarks.results.beside import Measurement
from edge.files import written_whole
from edge.frame import Frame
from edge.report.heat import Floats, Scale, coloured, outlined, overlaid, shared_scale
from edge.terminal.progress import SILENT, Stage
from train.report.pictures import Look, drawing, looks
from train.report.scored_photographs import Inspected, read_inspected
from train.run import Run

WHAT = "pictures"

Which = Literal["misses", "bad"]
Size = tuple[int, int]
"""(width, height), pixels."""

MOST = 12
"""Photographs on a sheet."""

GOOD = 40
"""Good validation photographs whose maps set the scale of the colours."""

WIDTH, COLUMNS_OF_CELLS = 150, 9
GAP, CAPTION = 10, 18
PAPER, INK, FOUND = 255, (40, 40, 40), (40, 40, 220)
QUALITY = 82


class Shown(Measurement):
    """What a sheet shows: `shown` of `of` photographs, and what each of the pictures of one photograph is.

    `which` is "misses" where only misses are shown, "lowest" where there are none, so that the lowest scores of all bad
    ones are, and "evenly" for some of all bad ones.
    """

    which: Literal["misses", "lowest", "evenly"]
    shown: int
    of: int
    pictures: tuple[str, ...]


def write_sheet(file: Path, run: Run, which: Which, level: float | None, stage: Stage = SILENT.begin) -> Shown:
    """Write a JPEG of bad test photographs, by ascending score.

    From `level` the network's map counts as a defect; None draws no masks. Raises RunError or DataError.
    """
    assert run.record.selection is not None
    threshold, inspected = run.record.selection.threshold.value, read_inspected(run)
    bad = sorted((one for one in inspected["test"] if one.is_bad), key=lambda one: (one.score, one.name))
    kind, chosen, of = _chosen(bad, which, threshold)
    scale = _scale(run, [one for one in inspected["val"] if not one.is_bad], level, stage)
    seen = list(looks(run, chosen, stage("maps of the photographs on the page", len(chosen))))
    cell = WIDTH, max(40, min(WIDTH, round(WIDTH * max(look.frame.shape[0] / look.frame.shape[1] for look in seen))))
    strips = [_pictures(run, look, scale, level, cell) for look in seen]
    captions = [f"{one.defect or 'bad'}, {one.score / threshold:.2f} of threshold" for one in chosen]
    sheet = _sheet([_strip(list(one.values()), said, cell) for one, said in zip(strips, captions, strict=True)])
    with written_whole(file) as part:
        part.write_bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    return Shown(which=kind, shown=len(chosen), of=of, pictures=tuple(strips[0]))


def _chosen(
    bad: Sequence[Inspected], which: Which, threshold: float
) -> tuple[Literal["misses", "lowest", "evenly"], list[Inspected], int]:
    """What is shown, the photographs, and the number of those from which they are taken; `bad` by ascending score."""
    misses = [one for one in bad if one.is_miss(threshold)]
    if which == "misses" and misses:
        return "misses", misses[:MOST], len(misses)
    if which == "misses":
        return "lowest", list(bad[:MOST]), len(bad)
    places = np.linspace(0, len(bad) - 1, min(MOST, len(bad))).round().astype(int)
    return "evenly", [bad[place] for place in places], len(bad)


def _scale(run: Run, good: Sequence[Inspected], level: float | None, stage: Stage) -> Scale | None:
    few = good[:: max(1, -(-len(good) // GOOD))]
    seen = looks(run, few, stage("maps of good photographs", len(few)))
    cells = [look.cells for look in seen if look.cells is not None]
    return shared_scale(cells, level) if cells else None


def _pictures(run: Run, look: Look, scale: Scale | None, level: float | None, cell: Size) -> dict[str, Frame]:
    """The pictures of one photograph by what they show."""
    frame, heat, truth = _fitted(look.frame, cell), look.heat, look.truth
    first = frame if truth is None else outlined(frame, _resized(truth, frame))
    pictures = {"the photograph" if truth is None else "the photograph with its mask outlined": first}
    if scale is None or heat is None:
        return pictures
    if (drawn := drawing(run, look)) is not None:
        pictures["what the network draws"] = _resized(drawn.drawn, frame)
        pictures["where the two differ"] = _resized(coloured(scale.of(drawn.heat)), frame)
        return pictures
    pictures["the network's map over it"] = overlaid(frame, scale.of(_resized(heat, frame)))
    if level is not None:
        pictures["the pixels that it finds, in red"] = _marked(frame, _resized(heat, frame) >= level)
    return pictures


def _marked(frame: Frame, found: np.ndarray) -> Frame:
    shown = frame.copy()
    shown[found] = FOUND
    return shown


def _fitted(frame: Frame, cell: Size) -> Frame:
    """The frame as large as the cell holds it, with its proportions."""
    height, width = frame.shape[:2]
    scale = min((cell[0] - 4) / width, (cell[1] - 4) / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def _resized(picture: Frame | Floats, like: Frame) -> np.ndarray:
    """A picture or a map at the size of another picture, without smoothing."""
    return cv2.resize(picture, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_NEAREST)


def _strip(pictures: Sequence[Frame], caption: str, cell: Size) -> Frame:
    """The pictures of one photograph side by side, each in the middle of a cell, above their caption."""
    strip = np.full((cell[1] + CAPTION, len(pictures) * cell[0] + GAP, 3), PAPER, np.uint8)
    for index, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        top, left = (cell[1] - height) // 2, index * cell[0] + (cell[0] - width) // 2
        strip[top : top + height, left : left + width] = picture
    cv2.putText(strip, caption, (2, cell[1] + CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return strip


def _sheet(strips: Sequence[Frame]) -> Frame:
    """The strips, all of one size, in rows."""
    height, width = strips[0].shape[:2]
    columns = max(1, COLUMNS_OF_CELLS * WIDTH // width)
    sheet = np.full((-(-len(strips) // columns) * height, min(columns, len(strips)) * width, 3), PAPER, np.uint8)
    for index, strip in enumerate(strips):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = strip
    return sheet
