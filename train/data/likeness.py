"""Near-duplicate photographs, from small grey pictures: candidates by perceptual hash, decision by correlation.

**Candidates** by a perceptual hash: the signs of the 8x8 lowest frequencies of the discrete cosine transform relative
to their median (pHash: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, Hagenberg 2010),
compared by the number of differing bits. **Decision** by normalised cross-correlation (J. P. Lewis, Fast Normalized
Cross-Correlation, 1995), the largest over shifts of up to `SHIFT` pixels.

Both work on a picture after two steps. First its local mean and contrast are removed, so that marks and edges count but
exposure and light do not; then the mean over all photographs, so that features common to all parts of a product (its
outline, the print, the fixture) do not make two parts similar.

**Choice of the rule**, on only the 670 training photographs of the magnetic tiles, 120 part numbers with about six
exposures each. By eye, nine of the numbers show a tile that another number shows too; they were counted as that tile.
The candidates with different tiles then have correlations of at most 0.38; `ALIKE` is a third of the way from there to
1, rounded up. It finds 67% of the 1,711 pairs of photographs with the same number (the hash keeps 95%). The missed
pairs differ by more than light and a small shift, and some show different tiles. Rotated and mirrored copies are not
found.

If different parts look more similar than these, a fixed limit would call them all duplicates. So a pair must also
stand out from the data themselves: by `DEVIATIONS` robust standard deviations above the median of random pairs, on
Fisher's z scale (R. A. Fisher, Metron 1, 1921), up to a correlation of `SURELY`.
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
"""Standard deviation of the blur for the local mean, in pixels of a thumbnail; contrast is taken over twice of it."""
SHIFT = 4
BITS_APART = 16
"""Hashes of 63 bits that differ in more bits are not compared further; random ones differ in 32."""
ALIKE = 0.6
SURELY = 0.98
DEVIATIONS = 6.0
SAMPLE = 3000
"""Random pairs from which the similarity of unrelated photographs in these data is estimated."""
ROWS = 512
"""Photographs whose hashes are compared with all others at a time, to limit the memory."""


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
    """The pairs among thumbnails uint8 [N, SIDE, SIDE] that show the same thing, highest correlation first.

    Equal thumbnails always form a pair, even if they are plain grey. Time grows with N², about a second for a thousand
    photographs.
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
    """The individual content of each picture, float32 [N, SIDE, SIDE]: local mean, contrast, mean picture removed."""
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

    0 if one of them is constant.
    """
    inner = second[SHIFT:-SHIFT, SHIFT:-SHIFT]
    if not np.ptp(first) or not np.ptp(inner):
        return 0.0
    return float(cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED).max().clip(-1, 1))


def limit_of_likeness(seen: Appearance) -> float:
    """The correlation from which two photographs of these data count as near-duplicates, from `ALIKE` to `SURELY`."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(seen), (SAMPLE, 2))
    pairs, times = np.unique(drawn[drawn[:, 0] != drawn[:, 1]], axis=0, return_counts=True)
    values = np.repeat([correlation(seen[i], seen[j]) for i, j in pairs], times)
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
