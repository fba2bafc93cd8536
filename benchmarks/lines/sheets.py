"""Contact sheets of a rendered line: good and bad parts side by side, and faint defects with their outlines."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from edge.demo.rendered_line import RenderedLine
from edge.demo.stamp import Pixels
from edge.demo.truth import DemoPart

CELLS = {"codes": (160, 160), "pour": (160, 90)}
"""(width, height) of the place of a photograph, pixels."""

FAINT_CELLS = {"codes": (262, 220), "pour": (262, 140)}

SCALES, FAINT_SCALES = {"codes": 0.52, "pour": 2.9}, {"codes": 0.86, "pour": 4.6}
COLUMNS, ROWS = 4, 6
FAINT, FAINT_COLUMNS = 10, 5
GAP, TITLE = 18, 26
PAPER, INK, OUTLINE = 255, (40, 40, 40), (0, 0, 255)
QUALITY = 82


def write_sheet(file: Path, name: str, line: RenderedLine) -> None:
    """Write a JPEG of the line's first 24 good parts on the left and first 24 bad ones on the right."""
    halves = [
        _titled(
            truth,
            _grid(
                [line.photograph(part).frame for part in islice(_parts(line, truth), COLUMNS * ROWS)],
                COLUMNS,
                CELLS[name],
                SCALES[name],
            ),
        )
        for truth in ("good", "bad")
    ]
    gap = np.full((halves[0].shape[0], GAP, 3), PAPER, np.uint8)
    _write(file, np.hstack([halves[0], gap, halves[1]]))


def write_faint(file: Path, name: str, line: RenderedLine) -> None:
    """Write a JPEG of the line's first ten faint bad parts, each above the same with its mask outlined in red."""
    faint = (part for part in _parts(line, "bad") if part.defects[0].strength == "faint")
    rows = []
    for parts in _chunks(list(islice(faint, FAINT)), FAINT_COLUMNS):
        plain = [line.photograph(part).frame for part in parts]
        scale = FAINT_SCALES[name]
        outlined = [_outlined(frame, line.mask_of(part), scale) for frame, part in zip(plain, parts, strict=True)]
        rows += [
            _grid(plain, FAINT_COLUMNS, FAINT_CELLS[name], scale),
            _grid(outlined, FAINT_COLUMNS, FAINT_CELLS[name], 1),
        ]
    _write(file, np.vstack(rows))


def _parts(line: RenderedLine, truth: str) -> Iterator[DemoPart]:
    return (part for part in map(line.part, count()) if part.truth == truth)


def _chunks(parts: Sequence[DemoPart], length: int) -> list[Sequence[DemoPart]]:
    return [parts[start : start + length] for start in range(0, len(parts), length)]


def _scaled(frame: Pixels, scale: float) -> Pixels:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _outlined(frame: Pixels, mask: Pixels, scale: float) -> Pixels:
    """The photograph at this scale, with the outline of its mask."""
    shown = _scaled(frame, scale)
    size = shown.shape[1], shown.shape[0]
    contours, _ = cv2.findContours(
        cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(shown, contours, -1, OUTLINE, 1)
    return shown


def _grid(frames: Sequence[Pixels], columns: int, cell: tuple[int, int], scale: float) -> Pixels:
    """The photographs at this scale, each in the middle of a cell (width, height): `uint8 [H, W, 3]`."""
    width, height = cell
    sheet = np.full((-(-len(frames) // columns) * height, columns * width, 3), PAPER, np.uint8)
    for index, frame in enumerate(frames):
        shown = (frame if scale == 1 else _scaled(frame, scale))[: height - 4, : width - 4]
        top = index // columns * height + (height - shown.shape[0]) // 2
        left = index % columns * width + (width - shown.shape[1]) // 2
        sheet[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return sheet


def _titled(title: str, sheet: Pixels) -> Pixels:
    head = np.full((TITLE, sheet.shape[1], 3), PAPER, np.uint8)
    cv2.putText(head, title, (6, TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1, cv2.LINE_AA)
    return np.vstack([head, sheet])


def _write(file: Path, sheet: Pixels) -> None:
    file.write_bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
