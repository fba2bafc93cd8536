"""Whether the parts of a data set stand at one place and angle in their photographs, or anywhere.

Pairs of good photographs are laid over each other at every angle and shift. Parts of one product that stand anywhere
fit much better turned or shifted than as they are; parts that stand alike fit best as they are.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Frame

Picture = npt.NDArray[np.float32]

SIDE = 96
"""Side of the compared pictures, in pixels: the whole photograph, padded to a square."""

INNER = 64
"""Side of the square from the middle of the turned picture, which is searched for: it never leaves the photograph."""

STEP = 10
"""Degrees from one angle to the next."""

NEAR = 3
"""A shift of at most so many pixels counts as none."""

BLUR = 2.0
PAIRS = 40
LIKE = 0.4
"""Median correlation of pairs, each at its best angle and shift, below which nothing is known: the photographs have no
common shape, as those of a texture."""

GAIN = 0.12
"""Median gain in correlation from which parts are said to stand anywhere."""


class Alignment(NamedTuple):
    """What pairs of good photographs have in common: the median correlation as they are, and at its best; the median of
    the angle, in degrees from 0 to 180, and of the shift, as a share of the side, at which it is best.
    """

    as_they_are: float
    at_best: float
    degrees: float
    shift: float

    @property
    def is_known(self) -> bool:
        """Whether the photographs have a common shape by which this can be told."""
        return self.at_best >= LIKE

    @property
    def is_loose(self) -> bool:
        """Whether parts stand at different places or angles."""
        return self.is_known and self.at_best - self.as_they_are >= GAIN

    def __str__(self) -> str:
        if not self.is_known:
            return "the good photographs have no common shape by which it could be told whether their parts stand alike"
        if not self.is_loose:
            return "parts stand at the same place and angle"
        return (
            f"parts stand at different places or angles: two photographs fit best at {self.degrees:.0f}° and a shift "
            f"of {self.shift:.0%} of the side (medians). padim compares each place of a part with the same place of "
            "others, so it cannot work well here; patchcore does not ask for the place, or a fixture makes the parts "
            "stand alike"
        )


def alignment(frames: Sequence[Frame]) -> Alignment:
    """Compare neighbours in a list of frames uint8 [H, W, 3] of good parts, at most PAIRS pairs."""
    pictures = [detail(frame) for frame in frames[: PAIRS + 1]]
    found = [fit(first, second) for first, second in pairwise(pictures)]
    if not found:
        return Alignment(0.0, 0.0, 0.0, 0.0)
    as_they_are, at_best, degrees, shift = np.median(np.array(found), axis=0).tolist()
    return Alignment(as_they_are, at_best, degrees, shift / SIDE)


def detail(frame: Frame) -> Picture:
    """A frame as a padded square float32 [SIDE, SIDE] without light: local mean and contrast are removed."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if frame.ndim == 3 else frame
    scale = SIDE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    rest = small - cv2.GaussianBlur(small, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT)
    contrast = np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), 2 * BLUR, borderType=cv2.BORDER_REFLECT) + 4)
    padded = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    padded[top : top + size[1], left : left + size[0]] = rest / contrast
    return np.asarray(cv2.GaussianBlur(padded, (0, 0), 1.0), np.float32)


def fit(first: Picture, second: Picture) -> tuple[float, float, float, float]:
    """Correlation of two pictures as they are and at its best, and the angle and the shift in pixels of the latter."""
    begin = (SIDE - INNER) // 2
    centre = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    as_they_are, best = -1.0, (-1.0, 0.0, 0.0)
    for degrees in range(0, 360, STEP):
        turned = cv2.warpAffine(second, cv2.getRotationMatrix2D(centre, degrees, 1), (SIDE, SIDE))
        inner = turned[begin : begin + INNER, begin : begin + INNER]
        if not np.ptp(inner) or not np.ptp(first):
            return 0.0, 0.0, 0.0, 0.0
        everywhere = cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)
        if degrees == 0:
            near = slice(begin - NEAR, begin + NEAR + 1)
            as_they_are = float(everywhere[near, near].max())
        _, most, _, (x, y) = cv2.minMaxLoc(everywhere)
        if most > best[0]:
            best = most, float(min(degrees, 360 - degrees)), float(np.hypot(x - begin, y - begin))
    return as_they_are, *best
