"""How alike photographs are, told from small grey pictures: near-duplicates found by hash, decided by correlation.

**Candidates** by a perceptual hash: the signs of the 8x8 lowest frequencies of the discrete cosine transform against
their median (pHash: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, Hagenberg 2010),
compared by the bits that differ. **Decided** by normalised cross-correlation (J. P. Lewis, Fast Normalized
Cross-Correlation, 1995), the largest over shifts of up to `SHIFT` pixels.

Both see a picture after two steps. Its local mean and contrast are taken away, so that exposure and light do not count
but marks and edges do; then the mean over all photographs, so that what every part of a product shares (its outline,
the print, the fixture) does not make two parts alike.

**How the rule was chosen**, on the 670 training photographs of the magnetic tiles alone, 120 part numbers with about
six exposures each. Nine of the numbers proved, by eye, to be a tile that another number shows too, and were counted
as that tile. Of the candidates that then show different tiles none correlates by more than 0.38; `ALIKE` stands a
third of the way from there to 1, rounded up. It finds 67% of the 1,711 pairs of photographs with one number (the hash
keeps 95%). Those it misses differ by more than light and a small shift, and some show different tiles. Turned and
mirrored copies are not found.

Where different parts look more alike than these, a fixed limit would call them all duplicates. So a pair must also
stand out from the data themselves: by `DEVIATIONS` robust standard deviations above the median of pairs drawn at
random, on Fisher's z scale (R. A. Fisher, Metron 1, 1921), up to a correlation of `SURELY`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Thumbnail = npt.NDArray[np.uint8]
Appearance = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint64]

SIDE = 64
BLUR = 2.0
"""Deviation of the blur that is the local mean, in pixels of a thumbnail; contrast is taken over twice of it."""
SHIFT = 4
BITS_APART = 16
"""Hashes of 63 bits that differ in more are not compared further; two random ones differ in 32."""
ALIKE = 0.6
SURELY = 0.98
DEVIATIONS = 6.0
SAMPLE = 3000
"""Pairs drawn to learn how alike photographs of these data are that have nothing to do with each other."""
ROWS = 512
"""Photographs whose hashes are compared with all others at a time: bounds the memory."""


class Alike(NamedTuple):
    """Two photographs, by their index, `first` < `second`, and their correlation from -1 to 1."""

    first: int
    second: int
    correlation: float


def thumbnail(frame: npt.NDArray[np.uint8]) -> Thumbnail:
    """A frame uint8 [H, W, 3] as a grey picture uint8 [SIDE, SIDE]; its proportions are not kept."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def near_duplicates(thumbnails: npt.NDArray[np.uint8]) -> list[Alike]:
    """The pairs among thumbnails uint8 [N, SIDE, SIDE] that show the same thing, the most alike first.

    Thumbnails that are equal are always alike, plain ones of one grey too. Time grows with N², at about a second for
    a thousand photographs.
    """
    if len(thumbnails) < 2:
        return []
    seen = appearances(thumbnails)
    limit = limit_of_likeness(seen)
    alike = []
    for first, second in _candidates(perceptual_hashes(seen)):
        same = np.array_equal(thumbnails[first], thumbnails[second])
        found = 1.0 if same else correlation(seen[first], seen[second])
        if found >= limit:
            alike.append(Alike(first, second, found))
    return sorted(alike, key=lambda pair: (-pair.correlation, pair))


def appearances(thumbnails: npt.NDArray[np.uint8]) -> Appearance:
    """What is particular to each picture: float32 [N, SIDE, SIDE], local mean, local contrast and mean picture gone."""
    seen = np.empty(thumbnails.shape, np.float32)
    for index, picture in enumerate(thumbnails):
        grey = picture.astype(np.float32)
        detail = grey - _blurred(grey, BLUR)
        seen[index] = detail / np.sqrt(_blurred(detail * detail, 2 * BLUR) + 1)
    seen -= seen.mean(axis=0)
    return seen


def perceptual_hashes(seen: Appearance) -> Bits:
    """The hash of each appearance: uint64 [N]; the bit of the constant term is always 0."""
    lowest = np.stack([cv2.dct(picture)[:8, :8].ravel() for picture in seen])
    above = lowest > np.median(lowest[:, 1:], axis=1, keepdims=True)
    above[:, 0] = False
    return np.packbits(above, axis=1).view(np.uint64).ravel()


def correlation(first: Appearance, second: Appearance) -> float:
    """The largest correlation of two appearances float32 [SIDE, SIDE] over shifts of up to `SHIFT` pixels.

    0 where one of them is the same everywhere: it is like nothing.
    """
    inner = second[SHIFT:-SHIFT, SHIFT:-SHIFT]
    if not np.ptp(first) or not np.ptp(inner):
        return 0.0
    return float(cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED).max().clip(-1, 1))


def limit_of_likeness(seen: Appearance) -> float:
    """The correlation from which two photographs of these data are near-duplicates, from `ALIKE` to `SURELY`."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(seen), (SAMPLE, 2))
    values = [correlation(seen[i], seen[j]) for i, j in drawn if i != j]
    z = np.arctanh(np.clip(values, -0.9999, 0.9999))
    deviation = 1.4826 * np.median(np.abs(z - np.median(z)))
    return float(np.clip(np.tanh(np.median(z) + DEVIATIONS * deviation), ALIKE, SURELY))


def _blurred(picture: npt.NDArray[np.float32], deviation: float) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation, borderType=cv2.BORDER_REFLECT), np.float32)


def _candidates(hashes: Bits) -> Iterator[tuple[int, int]]:
    for start in range(0, len(hashes), ROWS):
        apart = np.bitwise_count(hashes[start : start + ROWS, None] ^ hashes[None, start:])
        for row, column in np.argwhere(apart <= BITS_APART):
            if row < column:
                yield start + int(row), start + int(column)
