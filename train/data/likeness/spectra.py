"""Which photographs may show the same thing: those whose spectra agree at some angle, mirrored or not.

The magnitude of the Fourier transform of a photograph does not change if the photograph is shifted, and turns with it.
In polar coordinates a turn is a shift along the angle, which one more Fourier transform compares at all angles at once
(Fourier-Mellin: B. S. Reddy and B. N. Chatterji, An FFT-Based Technique for Translation, Rotation, and Scale-Invariant
Image Registration, 1996). What all photographs of the product have in common is subtracted first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from train.data.likeness.thumbnail import SHORTEST, Grey, Plane, normalised, resized, side_of

Spectra = npt.NDArray[np.float32]
Choices = Sequence[tuple[npt.NDArray[np.bool_], int]]

SIDE = 96
RINGS, ANGLES = 24, 64
"""Radii and angles of the polar coordinates. Angles cover half a turn: the other half of a spectrum is the same."""

LOWEST, HIGHEST = 3.0, 42.0
"""Radii of the innermost and of the outermost ring, cycles per side of a picture."""

FINEST = 0.4
"""Highest frequency in cycles per pixel, for pictures smaller than SIDE²."""

FLOOR = 0.05
"""Magnitudes below this share of the mean one are lost in noise; added before the logarithm."""

BLOCK = 1 << 23
"""Values of the largest array when rows of photographs are compared with all others."""


class Candidate(NamedTuple):
    """Two photographs by their index, and how the second is laid over the first.

    The second is mirrored left to right if `is_mirrored`, then turned by `degrees` or by half a turn more.
    """

    first: int
    second: int
    degrees: float
    is_mirrored: bool
    agreement: float


def spectra(greys: Sequence[Grey], advance: Callable[[], None]) -> Spectra:
    """The individual spectrum of each picture, float32 [N, RINGS, ANGLES], of norm 1, or 0 for a plain picture.

    `advance` is called after each picture.
    """
    side = min(float(SIDE), float(np.median([side_of(grey) for grey in greys])))
    found = np.empty((len(greys), RINGS, ANGLES), np.float32)
    for index, grey in enumerate(greys):
        found[index] = _spectrum(grey, side)
        advance()
    found -= found.mean(axis=(0, 2), keepdims=True)
    found /= found.std(axis=(0, 2), keepdims=True) + 1e-6
    found -= found.mean(axis=(1, 2), keepdims=True)
    found /= np.linalg.norm(found, axis=(1, 2), keepdims=True) + 1e-6
    return found


def candidates(found: Spectra, choose: Callable[[slice], Choices]) -> Iterator[Candidate]:
    """The most alike photographs of each one.

    `choose` gets a range of R photographs, and returns masks bool [R, N] of those that each is compared with, and how
    many are wanted of each mask.
    """
    waves = np.fft.rfft(found, axis=2).astype(np.complex64).transpose(2, 0, 1)
    others = waves.conj().transpose(0, 2, 1)
    rows = max(1, BLOCK // (ANGLES * len(found)))
    for start in range(0, len(found), rows):
        some = slice(start, start + rows)
        turned = [_at_each_angle(one, others) for one in (waves[:, some], waves[:, some].conj())]
        peaks = np.stack([one.max(axis=2) for one in turned])
        agreement, mirrored = peaks.max(axis=0), peaks.argmax(axis=0)
        for mask, wanted in choose(some):
            for row, columns in enumerate(_highest(np.where(mask, agreement, -np.inf), wanted)):
                for column in columns:
                    which = int(mirrored[row, column])
                    degrees = int(turned[which][row, column].argmax()) * 180 / ANGLES
                    yield Candidate(
                        start + row,
                        int(column),
                        degrees if which else -degrees,
                        bool(which),
                        float(agreement[row, column]),
                    )


def _spectrum(grey: Grey, side: float) -> Plane:
    small = resized(grey, side)
    height, width = small.shape
    plane = normalised(small, max(1.7, side / 32))
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    plane *= np.sqrt(window).astype(np.float32)
    size = 2 * max(SHORTEST, round(side))
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    magnitude = np.abs(np.fft.fft2(plane[top : top + size, left : left + size], (size, size)))
    magnitude = np.log(magnitude + FLOOR * np.sqrt((magnitude**2).mean()) + 1e-6)
    smooth = cv2.GaussianBlur(np.fft.fftshift(magnitude).astype(np.float32), (0, 0), 0.7)
    highest = max(2.0, min(HIGHEST, FINEST * side))
    radius = np.geomspace(min(LOWEST, highest / 7), highest, RINGS)[:, None] * size / side
    angle = np.arange(ANGLES)[None] * np.pi / ANGLES
    x, y = ((size // 2 + radius * of(angle)).astype(np.float32) for of in (np.cos, np.sin))
    return np.asarray(cv2.remap(smooth, x, y, cv2.INTER_LINEAR), np.float32)


def _at_each_angle(waves: npt.NDArray[np.complex64], others: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
    """Agreement of some with all photographs at each angle, float32 [R, N, ANGLES]."""
    return np.asarray(np.fft.irfft((waves @ others).transpose(1, 2, 0), ANGLES, axis=2), np.float32)


def _highest(scores: npt.NDArray[np.float32], wanted: int) -> Iterator[npt.NDArray[np.intp]]:
    """The columns of the highest finite scores of each row, highest first."""
    wanted = min(wanted, scores.shape[1])
    top = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
    for row, columns in enumerate(top):
        inside = columns[np.isfinite(scores[row, columns])]
        yield inside[np.argsort(-scores[row, inside], kind="stable")]
