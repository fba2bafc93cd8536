"""Location of defects on the frame from the anomaly map: boxes and areas in pixels of the frame.

A map is `float32 [h, w]` over the letterboxed square: its cell (row, column) covers `side / h` × `side / w` pixels of
the square, and the corresponding part of the frame according to the letterbox. All edges are ratios of integers,
rounded only where a whole pixel is needed. Only the inference child and the export import this module: the supervisor
loads no pixel libraries.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from edge.letterbox.contract import LetterboxContract
from edge.verdict import MOST_DEFECTS

Map = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Region:
    """Cells of the map that reach the threshold and are connected, diagonally too; in pixels of the frame.

    The box (`x`, `y`, `width`, `height`) contains every pixel that one of the cells covers in part, and lies inside the
    frame. `area` is the area of the cells, rounded, at least 1; `peak` is the map's largest value in them, at most the
    largest float32.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


def find_regions(heat: Map, shape: tuple[int, int], contract: LetterboxContract, threshold: float) -> list[Region]:
    """The regions of a map where it is >= `threshold`, on a frame of `shape` (height, width): at most `MOST_DEFECTS`.

    The largest peak comes first. Cells entirely on padding are ignored, and so are NaN values. Raises DataError if the
    frame does not contain the contract's region.
    """
    box = contract.fit(*shape)
    down = _axis(heat.shape[0], contract.side, box.top, box.height, box.frame_top, box.frame_height)
    across = _axis(heat.shape[1], contract.side, box.left, box.width, box.frame_left, box.frame_width)
    seen = heat[down.first : down.first + down.cells, across.first : across.first + across.cells]
    hot = (seen >= threshold).astype(np.uint8)
    left, top, wide, high = cv2.boundingRect(hot)
    if not high:
        return []
    across, down = across.part(left, wide), down.part(top, high)
    seen, hot = seen[top : top + high, left : left + wide], hot[top : top + high, left : left + wide]
    count, found, boxes, _ = cv2.connectedComponentsWithStats(hot, connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(found, np.int32)
    rows, columns = np.nonzero(hot)
    label = labels[rows, columns]
    peaks = np.full(count, -np.inf, np.float32)
    np.maximum.at(peaks, label, seen[rows, columns])
    areas = np.bincount(label, down.lengths[rows] * across.lengths[columns], count)
    hottest = np.argsort(-peaks, kind="stable")[: min(MOST_DEFECTS, count - 1)]  # label 0, the background, sorts last
    return [_region(boxes[one].tolist(), down, across, float(areas[one]), float(peaks[one])) for one in hottest]


@dataclass(frozen=True)
class _Axis:
    """The cells of one axis of a map that overlap the frame, from cell `first` on.

    `edges` int64 [cells + 1], divided by `unit`, are the borders of the cells in pixels of the frame, clipped to the
    inspected region.
    """

    first: int
    edges: Ints
    unit: int

    @property
    def cells(self) -> int:
        return len(self.edges) - 1

    @cached_property
    def lengths(self) -> Floats:
        return np.diff(self.edges) / self.unit

    def part(self, start: int, cells: int) -> "_Axis":
        """The slice of `cells` cells from `start` on."""
        return _Axis(self.first + start, self.edges[start : start + cells + 1], self.unit)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """First pixel, and number of pixels, of the span that the cells `start` to before `stop` cover in part."""
        begin, end = int(self.edges[start]) // self.unit, -(-int(self.edges[stop]) // self.unit)
        return begin, end - begin


def _axis(cells: int, side: int, before: int, inside: int, origin: int, pixels: int) -> _Axis:
    """The axis for `inside` pixels of the square, after `before` of padding, that show `pixels` of the frame from
    `origin` on.
    """
    first, last = before * cells // side, -(-(before + inside) * cells // side)
    unit = cells * inside
    edges = (np.arange(first, last + 1, dtype=np.int64) * side - before * cells) * pixels
    return _Axis(first, edges.clip(0, pixels * unit) + origin * unit, unit)


def _region(box: list[int], down: _Axis, across: _Axis, area: float, peak: float) -> Region:
    column, row, columns, rows, _ = box
    (x, width), (y, height) = across.span(column, column + columns), down.span(row, row + rows)
    return Region(x, y, width, height, max(1, round(area)), min(peak, _LARGEST))
