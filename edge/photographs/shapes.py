"""Shapes by which annotations mark defects, polygons, boxes and run lengths, and the pixels that they mark."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.errors import DataError

Marked = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]
Point = tuple[float, float]

SLACK = 0.02
"""A shape may reach over the edge of its photograph by this share of the side, and a pixel: hands and rounding do that.
What lies further outside was annotated on a picture of another size, or on a turned one."""


@dataclass(frozen=True)
class Polygon:
    """A closed polygon, by the even-odd rule.

    `points` are (x, y) from the upper left corner of the photograph: in pixels, so that (0, 0) and (1, 1) are corners
    of the first one, or with `is_relative` in shares of its width and height. `is_box` says that it was drawn as a box.
    """

    points: tuple[Point, ...]
    is_box: bool = False
    is_relative: bool = False


@dataclass(frozen=True)
class RunLengths:
    """COCO's run-length encoding: the numbers of unmarked and marked pixels in turn, column by column."""

    counts: tuple[int, ...]
    height: int
    width: int


Shape = Polygon | RunLengths


def box(left: float, top: float, right: float, bottom: float, is_relative: bool = False) -> Polygon:
    """The rectangle between these edges."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)), True, is_relative)


def painted(shape: Shape, height: int, width: int) -> Marked:
    """The pixels that a shape marks in a photograph of this size: bool [height, width], at least one of them.

    A polygon marks the pixels whose centres are inside; if there are none, those on its outline. Raises DataError, with
    only the reason, if the shape lies outside, has no finite coordinates, or was drawn on a photograph of another size.
    """
    if isinstance(shape, RunLengths):
        return _run(shape, height, width)
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if shape.is_relative:
        points = points * (width, height)
    _check_inside(points, height, width)
    marked = np.zeros((height, width), bool)
    low = np.floor(points.min(axis=0)).astype(int).clip(0, (width - 1, height - 1))
    high = np.ceil(points.max(axis=0)).astype(int).clip(low + 1, (width, height))
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    marked[part] = _filled(points - low, *(high - low)[::-1])
    if not marked.any():
        marked[part] = _outline(points - low, *(high - low)[::-1])
    return marked


def _check_inside(points: Points, height: int, width: int) -> None:
    if not points.size or not np.isfinite(points).all():
        raise DataError("has a coordinate that is no number")
    low, high, size = points.min(axis=0), points.max(axis=0), np.array([width, height])
    slack = 1 + SLACK * size
    if (low < -slack).any() or (high > size + slack).any() or (low >= size).any() or (high <= 0).any():
        reach = f"from ({low[0]:.6g}, {low[1]:.6g}) to ({high[0]:.6g}, {high[1]:.6g})"
        raise DataError(
            f"reaches {reach}, outside the {width}×{height} pixels of the photograph, as if that was resized or turned"
        )


def _filled(points: Points, height: int, width: int) -> Marked:
    """The pixels whose centres are inside. Each edge toggles its rows from where it crosses the row's centre line."""
    toggles = np.zeros((height, width + 1), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        top, bottom = min(y0, y1), max(y0, y1)
        rows = np.arange(max(0, int(np.ceil(top - 0.5))), min(height, int(np.ceil(bottom - 0.5))))
        crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        toggles[rows, np.ceil(crossings - 0.5).clip(0, width).astype(int)] ^= True
    return np.asarray(np.logical_xor.accumulate(toggles[:, :width], axis=1))


def _outline(points: Points, height: int, width: int) -> Marked:
    import cv2

    corners = np.floor(points).astype(np.int32).clip(0, (width - 1, height - 1))
    return np.asarray(cv2.polylines(np.zeros((height, width), np.uint8), [corners], True, 1) > 0)


def _run(shape: RunLengths, height: int, width: int) -> Marked:
    if (shape.height, shape.width) != (height, width):
        raise DataError(f"is of {shape.width}×{shape.height} pixels, and the photograph has {width}×{height}")
    counts = np.array(shape.counts, np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise DataError(f"has run lengths of {counts.sum()} pixels in all, and the photograph has {height * width}")
    if not counts[1::2].sum():
        raise DataError("marks no pixel")
    return np.repeat(np.arange(len(counts)) % 2 > 0, counts).reshape(width, height).T


def run_lengths(text: str) -> tuple[int, ...]:
    """The counts of a compressed COCO encoding: 5 bits a character from "0" on, bit 6 says that more follow, and from
    the fourth count on the difference from the last but one (`rleFrString` of cocoapi's maskApi.c).

    Raises DataError, with only the reason, if the text is cut or has other characters.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise DataError(f"has run lengths with the character {character!r}, which is none of COCO's")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise DataError("has run lengths that are cut off")
    return tuple(counts)


def polygon(numbers: Sequence[float], is_relative: bool = False) -> Polygon:
    """The polygon of a flat list x, y, x, y and so on. Raises DataError, with only the reason, without three points."""
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(f"has a polygon of {len(numbers)} numbers; it needs x and y of at least 3 points")
    return Polygon(tuple(zip(numbers[::2], numbers[1::2], strict=True)), is_relative=is_relative)
