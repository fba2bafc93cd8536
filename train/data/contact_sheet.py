"""A contact sheet: pairs of photographs side by side in one picture, with their names and correlation."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.photographs.photograph import Photograph, read_photograph

Pixels = npt.NDArray[np.uint8]

CELL = 300
"""Side of the square into which a photograph is fitted, pixels; its aspect ratio is kept."""
CAPTION = 56
GAP = 12
WIDTH = 2 * CELL + 3 * GAP
COLUMNS = 2
PAPER, INK = 255, (40, 40, 40)


def write_contact_sheet(file: Path, pairs: Sequence[tuple[Photograph, Photograph, float]]) -> None:
    """Write a PNG of pairs of photographs, at least one, with their correlations. Raises OSError or DataError."""
    cells = [_pair(*pair) for pair in pairs]
    rows = [_row(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    file.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _row(cells: list[Pixels]) -> Pixels:
    row = np.full((max(map(len, cells)), COLUMNS * WIDTH, 3), PAPER, np.uint8)
    for index, cell in enumerate(cells):
        row[: len(cell), index * WIDTH : (index + 1) * WIDTH] = cell
    return row


def _pair(first: Photograph, second: Photograph, correlation: float) -> Pixels:
    pictures = [_fitted(read_photograph(photograph)) for photograph in (first, second)]
    below = max(map(len, pictures)) + GAP
    cell = np.full((below + CAPTION, WIDTH, 3), PAPER, np.uint8)
    for photograph, picture, left in zip((first, second), pictures, (GAP, CELL + 2 * GAP), strict=True):
        cell[GAP : GAP + len(picture), left : left + picture.shape[1]] = picture
        _write(cell, photograph.name, left, below + 18)
    _write(cell, f"correlation {correlation:.3f}", GAP, below + 38)
    return cell


def _fitted(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )


def _write(cell: Pixels, text: str, left: int, baseline: int) -> None:
    """Write `text`; if it is wider than a picture, only its end, which distinguishes photographs."""
    shown = text if len(text) <= 40 else "..." + text[-37:]
    cv2.putText(cell, shown, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
