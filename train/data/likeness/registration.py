"""Lays one photograph over another: angle and side from their spectra, shift by correlation, then an affine refinement.

The refinement maximises the enhanced correlation coefficient (G. D. Evangelidis and E. Z. Psarakis, Parametric Image
Alignment Using Enhanced Correlation Coefficient Maximization, 2008). A `Warp` float32 [2, 3] takes coordinates (x, y)
of the first picture to those of the second, which is mirrored before if the candidate says so.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from train.data.likeness.spectra import Candidate
from train.data.likeness.thumbnail import Grey, Plane, Thumbnail, blurred, normalised, reduced, side_of

Warp = npt.NDArray[np.float32]
Picture = TypeVar("Picture", Grey, Plane)

COARSE, MIDDLE = 64, 128
"""Sides of the pictures on which the shift is found, and on which angle and scale are refined."""

BLUR = 2.0
FARTHEST = 5
"""A shift is at most this part of a side."""

OVERLAP = 0.35
"""Least share of the smaller picture that the other must cover. The centre of a picture of proportions 2.5:1 that is
turned by a right angle on a canvas of the same size is 0.4 of it."""

HALF_TURN = 0.15
"""Both half turns are refined unless their correlations differ by more: symmetrical parts fit either way."""

SCALES = (1.015, 1.4)
"""Ratios of sizes of two photographs from which a crop is tried besides a copy at another scale, and up to which."""

CACHED = 1500
Cached = Callable[[int], Plane]


class Registration:
    """Registration of the photographs of a data folder, whose pictures at each size are kept for a while."""

    def __init__(self, thumbnails: Sequence[Thumbnail]) -> None:
        self.thumbnails = thumbnails
        self._coarse = lru_cache(CACHED)(lambda index: normalised(self._small(index, COARSE), BLUR))
        self._wave = lru_cache(CACHED)(lambda index: _wave(self._coarse(index)))
        self._middle = lru_cache(CACHED)(lambda index: blurred(normalised(self._small(index, MIDDLE), BLUR), 1))
        self._fine = lru_cache(CACHED // 4)(lambda index: blurred(normalised(thumbnails[index].grey, BLUR), 1))

    def placed(self, pair: Candidate) -> list[tuple[float, Warp]]:
        """Correlation at its best shift and the warp between coarse pictures, of both half turns, the best first."""
        first, second = self._coarse(pair.first), mirrored(self._coarse(pair.second), pair.is_mirrored)
        found = []
        for degrees in (pair.degrees, pair.degrees + 180):
            tried = [_shifted(first, second, self._wave(pair.first), degrees, scale) for scale in self._scales(pair)]
            found.append(max(tried, key=lambda one: one[0]))
        return sorted(found, key=lambda one: -one[0])

    def refined(self, pair: Candidate, begun: Sequence[tuple[float, Warp]]) -> tuple[float, Warp]:
        """The best correlation of what `placed` has found, refined, and the warp between middle pictures."""
        first, second = self._middle(pair.first), mirrored(self._middle(pair.second), pair.is_mirrored)
        shapes = self._coarse(pair.first).shape, first.shape, self._coarse(pair.second).shape, second.shape
        tried = [
            _climbed(first, second, _between(warp, *shapes), 10)
            for correlation, warp in begun
            if correlation > begun[0][0] - HALF_TURN
        ]
        return max(tried, key=lambda one: one[0])

    def finished(self, pair: Candidate, warp: Warp) -> Warp:
        """The warp between thumbnails, refined from that between middle pictures."""
        first, second = self._fine(pair.first), mirrored(self._fine(pair.second), pair.is_mirrored)
        middle = self._middle(pair.first).shape, first.shape, self._middle(pair.second).shape, second.shape
        return _climbed(first, second, _between(warp, *middle), 2)[1]

    def _small(self, index: int, side: int) -> Grey:
        return reduced(self.thumbnails[index].grey, side)

    def _scales(self, pair: Candidate) -> tuple[float, ...]:
        """Scales of the second coarse picture that are tried: the same field of view, or the same pixels cropped."""
        first, second = (self.thumbnails[index] for index in pair[:2])
        ratio = side_of(first.grey) / first.scale / (side_of(second.grey) / second.scale)
        least, most = SCALES
        return (1.0, ratio) if least < max(ratio, 1 / ratio) < most else (1.0,)


def mirrored(picture: Picture, is_mirrored: bool) -> Picture:
    """The picture, mirrored left to right if `is_mirrored`."""
    return np.ascontiguousarray(picture[:, ::-1]) if is_mirrored else picture


def warped(picture: Plane, warp: Warp, shape: tuple[int, ...]) -> Plane:
    """The second picture as the first of the shape [h, w] sees it, 0 outside."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, warp, (shape[1], shape[0]), flags=how), np.float32)


def covered(mask: Grey, warp: Warp, shape: tuple[int, ...]) -> Grey:
    """A mask of 0 and 1 of the second picture as the first of the shape [h, w] sees it."""
    how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(mask, warp, (shape[1], shape[0]), flags=how), np.uint8)


def overlap(warp: Warp, first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """The share of the smaller of two pictures of these shapes that the other covers."""
    return float(
        covered(np.ones(second[:2], np.uint8), warp, first).sum() / min(first[0] * first[1], second[0] * second[1])
    )


def _wave(picture: Plane) -> npt.NDArray[np.complex64]:
    return np.asarray(np.fft.rfft2(picture, _padded(picture)), np.complex64)


def _padded(picture: Plane) -> tuple[int, int]:
    height, width = (2 * cv2.getOptimalDFTSize((side + side // FARTHEST + 3) // 2) for side in picture.shape)
    return height, width


def _shifted(
    first: Plane, second: Plane, wave: npt.NDArray[np.complex64], degrees: float, scale: float
) -> tuple[float, Warp]:
    """The correlation of two pictures where they overlap, at their best shift, and the warp; 0 if they hardly do."""
    size, warp = _padded(first), _about(first.shape, second.shape, degrees, scale)
    correlation = np.fft.irfft2(wave * np.fft.rfft2(warped(second, warp, first.shape), size).conj(), size)
    down, right = (side // FARTHEST + 1 for side in first.shape)
    correlation[down:-down] = correlation[:, right:-right] = -np.inf
    y, x = np.unravel_index(int(correlation.argmax()), size)
    shift = np.array([x - size[1] * (x > size[1] // 2), y - size[0] * (y > size[0] // 2)], np.float32)
    warp[:, 2] -= warp[:, :2] @ shift
    if overlap(warp, first.shape, second.shape) < OVERLAP:
        return 0.0, warp
    inside = covered(np.ones(second.shape, np.uint8), warp, first.shape) > 0
    one, other = first[inside], warped(second, warp, first.shape)[inside]
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + 1e-9)), warp


def _climbed(first: Plane, second: Plane, warp: Warp, steps: int) -> tuple[float, Warp]:
    """The refined correlation and warp; 0 and the warp as it was if the refinement fails."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-4)
    try:
        correlation, better = cv2.findTransformECC(  # type: ignore[call-overload]  # its types lack a mask of None
            first, second, warp.copy(), cv2.MOTION_AFFINE, criteria, None, 1
        )
    except cv2.error:
        return 0.0, warp
    return float(correlation), np.asarray(better, np.float32)


def _about(first: tuple[int, ...], second: tuple[int, ...], degrees: float, scale: float) -> Warp:
    """The warp between pictures of these shapes whose centres coincide."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    here, there = (np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]) for shape in (first, second))
    return np.hstack([turn, (there - turn @ here)[:, None]]).astype(np.float32)


def _between(
    warp: Warp, first: tuple[int, ...], new_first: tuple[int, ...], second: tuple[int, ...], new_second: tuple[int, ...]
) -> Warp:
    """The same warp between the two pictures at other sizes."""
    here, there = new_first[1] / first[1], new_second[1] / second[1]
    other = np.empty((2, 3), np.float32)
    other[:, :2] = warp[:, :2] * there / here
    other[:, 2] = warp[:, 2] * there + (there - 1) / 2 - other[:, :2].sum(axis=1) * (here - 1) / 2
    return other
