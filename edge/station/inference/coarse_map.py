"""The map in few cells, on the frame: for people, in previews and beside stored images. Nothing is decided by it."""

import numpy as np
import numpy.typing as npt

from edge.channel.preview import HOTTEST, LEVEL, MOST_CELLS
from edge.letterbox.contract import LetterboxContract
from edge.station.process.messages import CoarseMap

Map = npt.NDArray[np.float32]


def coarse_map(
    heat: Map, shape: tuple[int, int], contract: LetterboxContract, ordinary: float, threshold: float
) -> CoarseMap | None:
    """The part of a map, `float32 [h, w]` over the letterboxed square, that shows the frame of `shape` (height, width).

    A cell is the largest of the cells that it stands for: 0 at the value `ordinary` or below, LEVEL at `threshold`.
    None if the frame covers no cell. Raises DataError if the frame does not contain the contract's region.
    """
    box = contract.fit(*shape)
    rows, columns = heat.shape
    top, bottom = _span(rows, contract.side, box.top, box.height)
    left, right = _span(columns, contract.side, box.left, box.width)
    seen = heat[top:bottom, left:right]
    if not seen.size:
        return None
    step = -(-max(seen.shape) // MOST_CELLS)
    padded = np.pad(seen, [(0, -length % step) for length in seen.shape], mode="edge")
    pooled = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).max((1, 3))
    span = max(threshold - ordinary, 1e-12)
    above = np.nan_to_num(pooled, nan=threshold).clip(ordinary, ordinary + 2 * span) - ordinary
    cells = (LEVEL * above / span).clip(0, HOTTEST).round().astype(np.uint8)
    down, across = contract.side / rows, contract.side / columns  # pixels of the square that a cell covers
    vertical, horizontal = box.frame_height / box.height, box.frame_width / box.width
    return CoarseMap(
        box.frame_left + (left * across - box.left) * horizontal,
        box.frame_top + (top * down - box.top) * vertical,
        cells.shape[1] * step * across * horizontal,
        cells.shape[0] * step * down * vertical,
        cells.shape[0],
        cells.shape[1],
        cells.tobytes(),
    )


def _span(cells: int, side: int, before: int, inside: int) -> tuple[int, int]:
    """First cell, and the one after the last, that `inside` pixels of the square after `before` overlap."""
    return before * cells // side, -(-(before + inside) * cells // side)
