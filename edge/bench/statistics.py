"""How sure a percentile of a latency series is: intervals by a bootstrap that keeps the order of the samples.

Latencies that follow each other resemble each other: a busy moment of the machine slows several frames. Samples drawn
one by one would promise too much, so blocks of consecutive samples are drawn: the moving-block bootstrap of Künsch
(Annals of Statistics 17, 1989). How long a block is follows from the series itself: Politis and White (Econometric
Reviews 23, 2004, corrected by Patton, Politis and White 2009), applied to what decides a percentile, which samples lie
above it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf, log10, sqrt

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
"""Series drawn for an interval: the ends of a 95 % interval then rest on the outermost 25."""

TOGETHER = 2_000_000
"""Samples drawn at once, so that a long series does not fill the memory."""

NOTICED = 2.0
"""An autocorrelation counts while it is above this, times sqrt(log10(n) / n) (Politis and White's c)."""

Floats = npt.NDArray[np.float64]
Samples = Sequence[float] | Floats


def percentile(samples: Samples, percent: float) -> float:
    """The nearest-rank percentile of samples in any order: the smallest one that `percent` of them do not exceed.

    Raises ValueError if there are none.
    """
    values = np.asarray(samples, np.float64)
    return float(np.partition(values, _rank(len(values), percent))[_rank(len(values), percent)])


def interval(samples: Samples, percent: float, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) of the percentile that such a series has in the long run, from `samples` in the order measured.

    `high` is infinite where the samples do not bound it: a chance of (1 - confidence) / 2 or more that not one of them
    lies above the true percentile. At 95 % that is so for p99 of fewer than 368 independent samples, p99.9 of fewer
    than 3,688; of more where they depend on each other.
    """
    drawn = _redrawn(samples, percent)
    tail = 100 * (1 - confidence) / 2
    low, high = (percentile(drawn, tail), percentile(drawn, 100 - tail))
    return low, high if is_bounded(samples, percent, confidence) else inf


def is_bounded(samples: Samples, percent: float, confidence: float = 0.95) -> bool:
    """Whether the samples bound the percentile from above, after what their dependence takes from their number."""
    independent = len(samples) / dependence(samples, percent).inflation
    return bool((percent / 100) ** independent < (1 - confidence) / 2)


@dataclass(frozen=True)
class Change:
    """A percentile of one series against that of another: what was seen, and the interval around it."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether chance alone does not explain the difference from `value`: 1 of a ratio, 0 of a difference."""
        return not self.low <= value <= self.high


def ratio(before: Samples, after: Samples, percent: float, confidence: float = 0.95) -> Change:
    """How many times as long the percentile is `after` as `before`; samples above 0, the two series independent."""
    first, second = _redrawn(before, percent), _redrawn(after, percent, seed=1)
    seen = percentile(after, percent) / percentile(before, percent)
    bounded = is_bounded(before, percent, confidence), is_bounded(after, percent, confidence)
    return _change(seen, second / first, bounded, confidence, lowest=0.0)


def difference(before: Samples, after: Samples, percent: float, confidence: float = 0.95) -> Change:
    """By how much the percentile is longer `after` than `before`, in the unit of the samples."""
    first, second = _redrawn(before, percent), _redrawn(after, percent, seed=1)
    seen = percentile(after, percent) - percentile(before, percent)
    bounded = is_bounded(before, percent, confidence), is_bounded(after, percent, confidence)
    return _change(seen, second - first, bounded, confidence, lowest=-inf)


def mean_ratio(before: Samples, after: Samples, confidence: float = 0.95) -> Change:
    """How many times as long the mean is `after` as `before`; blocks as for the median."""
    first, second = (_drawn_means(samples, seed) for seed, samples in enumerate((before, after)))
    seen = float(np.mean(after) / np.mean(before))
    return _change(seen, second / first, (True, True), confidence, lowest=0.0)


@dataclass(frozen=True)
class Dependence:
    """How samples depend on those before them, as far as a percentile is concerned.

    `block` consecutive samples have to be drawn together for the dependence to be kept, 1 of independent ones; the
    samples are worth as much as a share of 1 / `inflation` of them would be, were they independent.
    """

    block: int = 1
    inflation: float = 1.0


def dependence(samples: Samples, percent: float) -> Dependence:
    """What the order of the samples says of their dependence; `block` is never more than a quarter of the series."""
    values = np.asarray(samples, np.float64)
    above = (values > percentile(values, percent)).astype(np.float64)
    count, spread = len(above), above.var()
    if count < 8 or not spread:
        return Dependence()
    runs = max(5, ceil(sqrt(log10(count))))  # so many autocorrelations in a row must be small
    farthest = min(count - 1, ceil(sqrt(count)) + runs)
    centred = above - above.mean()
    covariances = np.array([centred[: count - lag] @ centred[lag:] / count for lag in range(farthest + 1)])
    is_small = np.abs(covariances[1:] / spread) < NOTICED * sqrt(log10(count) / count)
    quiet = (lag for lag in range(len(is_small) - runs + 1) if is_small[lag : lag + runs].all())
    width = min(2 * max(1, next(quiet, farthest)), farthest)
    lags = np.arange(-width, width + 1)
    weights = np.clip(2 * (1 - np.abs(lags) / width), 0, 1)  # the flat-top window
    around = covariances[np.abs(lags)]
    long_run, slope = float((weights * around).sum()), float((weights * np.abs(lags) * around).sum())
    if long_run <= 0:
        return Dependence()
    best = (2 * slope**2 / (4 / 3 * long_run**2)) ** (1 / 3) * count ** (1 / 3)
    return Dependence(min(max(1, ceil(best)), count // 4), max(1.0, long_run / float(spread)))


def _change(seen: float, drawn: Floats, bounded: tuple[bool, bool], confidence: float, lowest: float) -> Change:
    """A percentile that its series, before or after, does not bound leaves the change unbounded on that side."""
    tail = 100 * (1 - confidence) / 2
    low, high = percentile(drawn, tail), percentile(drawn, 100 - tail)
    return Change(seen, low if bounded[0] else lowest, high if bounded[1] else inf)


def _redrawn(samples: Samples, percent: float, seed: int = 0) -> Floats:
    """The percentile of each of RESAMPLES series drawn from this one in blocks, always the same ones."""
    values = np.asarray(samples, np.float64)
    rank = _rank(len(values), percent)
    return np.concatenate([np.partition(some, rank, axis=1)[:, rank] for some in _series(values, percent, seed)])


def _drawn_means(samples: Samples, seed: int) -> Floats:
    return np.concatenate([some.mean(axis=1) for some in _series(np.asarray(samples, np.float64), 50.0, seed)])


def _series(values: Floats, percent: float, seed: int) -> Iterator[Floats]:
    """RESAMPLES series as long as this one, [some, N] at a time, drawn from it in blocks."""
    count, length = len(values), dependence(values, percent).block
    blocks, generator = -(-count // length), np.random.default_rng(seed)
    for some in np.array_split(np.arange(RESAMPLES), -(-RESAMPLES * count // TOGETHER)):
        starts = generator.integers(0, count - length + 1, (len(some), blocks, 1))
        yield values[(starts + np.arange(length)).reshape(len(some), -1)[:, :count]]


def _rank(count: int, percent: float) -> int:
    if not count:
        raise ValueError("a percentile of no samples")
    return max(0, ceil(count * percent / 100 - 1e-9) - 1)
