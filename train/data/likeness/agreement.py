"""How well two photographs that lie over each other agree, in the place where they agree least.

Different parts of one product share its outline, its print and the grain of one casting, and differ in a few places;
their noise differs everywhere. Two pictures of one thing agree everywhere, but for what compression, over-exposure or
the edge of a photograph have taken from one of them. So the correlation is taken in each of many squares, in two bands
of frequencies, and the measure is a low quantile of it.

Strong compression takes nearly all detail, but no brightness: a blurred copy differs from its blurred original by a
fraction of a grey level, those of different parts by several. So the brightness is a second measure.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from train.data.likeness.registration import Warp, covered, warped
from train.data.likeness.thumbnail import Grey, Plane, side_of

Floats = npt.NDArray[np.float64]

BANDS = {0.8: 0.25, 2.0: 0.75}
"""Standard deviations of the finer blur of each band in pixels, the coarser one being twice of it, and weights. The
fine band holds noise and texture, by which parts differ; compression takes it away and leaves the other one."""

SQUARE, LEAST_SQUARE = 32, 8
"""Side of a square in pixels: a quarter of a small picture, within these bounds. Squares overlap by half."""

FILLED = 0.3
"""Least share of a square that both pictures show."""

FEWEST_SQUARES = 4

LOW = 0.05
"""The quantile of the squares."""

CLIPPED = 0.3
"""If less than this share of the common field is neither black nor white in both pictures, it tells less."""

DOUBTFUL = 1.25
"""And then the agreement of detail is at most this, which is never called certain, and that of brightness is 0."""

DARKEST, BRIGHTEST = 1, 254
MOST = 0.9995

SMOOTH = 2.0
"""Standard deviation in pixels of the blur after which brightness is compared."""

MOST_BRIGHTNESS = 0.999999
FEWEST_PIXELS = 200
PLAIN = 1.0
"""Standard deviation of brightness, in grey levels, below which a picture is plain."""


class Agreement(NamedTuple):
    """How well two pictures agree, on Fisher's z scale: in their `detail`, 0 for unrelated ones and about 4 for the
    same picture, and in their `brightness`, 3 to 7 for the same picture.
    """

    detail: float
    brightness: float


def agreement(first: Grey, second: Grey, warp: Warp) -> Agreement:
    """The agreement of two pictures, of which `warp` lays the second over the first."""
    field = covered(np.ones(second.shape, np.uint8), warp, first.shape)
    usable = field & _unclipped(first) & covered(_unclipped(second), warp, first.shape)
    share = float(usable.sum() / max(1, field.sum()))
    detail = _detail(first, second, warp, field, usable)
    if share < CLIPPED:
        return Agreement(min(DOUBTFUL, detail * share / CLIPPED), 0.0)
    return Agreement(detail, _brightness(first, second, warp, usable))


def _brightness(first: Grey, second: Grey, warp: Warp, usable: Grey) -> float:
    """The agreement of the blurred pictures, each brought to mean 0 and deviation 1; a high quantile of the squared
    difference over the squares counts. 0 if one of them is plain.
    """
    mask = _shrunk(usable, 1).astype(np.float32)  # at an edge of the second one, pixels are mixed with black

    def blurred(plane: Plane) -> Plane:
        how = cv2.BORDER_CONSTANT
        return np.asarray(cv2.GaussianBlur(plane * mask, (0, 0), SMOOTH, borderType=how), np.float32)

    weight = blurred(np.ones_like(mask))
    inside = weight > 0.5
    if np.count_nonzero(inside) < FEWEST_PIXELS:
        return 0.0
    there = warped(second.astype(np.float32), warp, first.shape)
    one, other = (blurred(plane)[inside] / weight[inside] for plane in (first.astype(np.float32), there))
    if min(one.std(), other.std()) < PLAIN:
        return 0.0
    squares = np.zeros_like(mask)
    squares[inside] = (_standardised(one) - _standardised(other)) ** 2
    side = _side(first)
    filled, apart = (_over_squares(plane, side) for plane in (inside.astype(np.float32), squares))
    used = filled > FILLED
    if np.count_nonzero(used) < FEWEST_SQUARES:
        return 0.0
    correlation = 1 - float(np.quantile(apart[used] / filled[used], 1 - LOW)) / 2
    return float(np.arctanh(np.clip(correlation, -MOST_BRIGHTNESS, MOST_BRIGHTNESS)))


def _standardised(values: Plane) -> Plane:
    return np.asarray((values - values.mean()) / values.std(), np.float32)


def _detail(first: Grey, second: Grey, warp: Warp, field: Grey, usable: Grey) -> float:
    total = 0.0
    for deviation, weight in BANDS.items():
        margin = max(1, round(3 * deviation * min(1.0, side_of(first) / 128)))
        inside = _shrunk(usable, margin // 2, 1) & _shrunk(field, margin)
        one, other = _band(first, deviation), warped(_band(second, deviation), warp, first.shape)
        total += weight * float(np.arctanh(np.clip(_lowest(one, other, inside), -MOST, MOST)))
    return total


def _lowest(first: Plane, second: Plane, inside: Grey) -> float:
    """The low quantile of the correlation of two bands over the squares; 0 if they have too few squares in common.

    A square counts less if its detail is in one picture alone and weak beside the rest of it: compression takes that.
    """
    mask = inside.astype(np.float32)
    side = _side(first)
    filled, product, one, other = (
        _over_squares(plane * mask, side) for plane in (np.ones_like(first), first * second, first**2, second**2)
    )
    used = filled > FILLED
    filled, product, one, other = filled[used], product[used], one[used], other[used]
    if len(filled) < FEWEST_SQUARES:
        return 0.0
    gain = max(float(np.median(other / (one + 1e-6))), 1e-6)
    other, product = other / gain, product / np.sqrt(gain)
    correlation = product / np.sqrt(one * other + 1e-6)
    weaker, stronger = np.minimum(one, other), np.maximum(one, other)
    weights = filled * np.maximum(weaker / (stronger + 1e-9), np.minimum(1, 2 * stronger / (stronger.mean() + 1e-9)))
    order = np.argsort(correlation)
    reached = np.cumsum(weights[order])
    return float(correlation[order][np.searchsorted(reached, LOW * reached[-1])])


def _side(picture: Grey | Plane) -> int:
    return int(min(SQUARE, max(LEAST_SQUARE, side_of(picture) / 4)))


def _over_squares(plane: Plane, side: int) -> Floats:
    means = cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_CONSTANT)
    begin, step = side // 4, side // 2
    return means[begin::step, begin::step].astype(np.float64)


def _band(grey: Grey, deviation: float) -> Plane:
    plane = grey.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(plane, (0, 0), times * deviation) for times in (1, 2))
    return np.asarray(fine - coarse, np.float32)


def _unclipped(grey: Grey) -> Grey:
    return ((grey > DARKEST) & (grey < BRIGHTEST)).astype(np.uint8)


def _shrunk(mask: Grey, margin: int, outside: int = 0) -> Grey:
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=outside), np.uint8)
