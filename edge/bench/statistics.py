"""Confidence intervals of percentiles of a latency series, by a bootstrap that keeps the order of the samples.

Consecutive latencies are correlated: a busy moment of the machine slows several frames. Drawing single samples would
give intervals that are too narrow, so blocks of consecutive samples are drawn: the moving-block bootstrap of Künsch
(Annals of Statistics 17, 1989). The block length follows from the series: Politis and White (Econometric Reviews 23,
2004, corrected by Patton, Politis and White 2009), applied to the indicator that decides a percentile: which samples
lie above it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf, log10, sqrt

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
"""Number of series drawn for an interval: the ends of a 95 % interval then depend on the outermost 25."""

TOGETHER = 2_000_000
"""Samples drawn at once, to limit the memory for a long series."""

NOTICED = 2.0
"""An autocorrelation counts if it exceeds this times sqrt(log10(n) / n) (Politis and White's c)."""

Floats = npt.NDArray[np.float64]
Samples = Sequence[float] | Floats


def percentile(samples: Samples, percent: float) -> float:
    """The nearest-rank percentile of samples in any order: the smallest one that `percent` of them do not exceed.

    Raises ValueError without samples.
    """
    values = np.asarray(samples, np.float64)
    return float(np.partition(values, _rank(len(values), percent))[_rank(len(values), percent)])


def interval(samples: Samples, percent: float, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) of the long-run percentile of such a series, from `samples` in the order measured.

    `high` is infinite if the samples do not bound it: with a probability of (1 - confidence) / 2 or more none of them
    lies above the true percentile. At 95 % that is so for p99 of fewer than 368 independent samples, for p99.9 of fewer
    than 3,688; dependent samples need more.
    """
    drawn = _redrawn(samples, percent)
    tail = 100 * (1 - confidence) / 2
    low, high = (percentile(drawn, tail), percentile(drawn, 100 - tail))
    return low, high if is_bounded(samples, percent, confidence) else inf


def is_bounded(samples: Samples, percent: float, confidence: float = 0.95) -> bool:
    """Whether the samples bound the percentile from above, with their number reduced by their dependence."""
    independent = len(samples) / dependence(samples, percent).inflation
    return bool((percent / 100) ** independent < (1 - confidence) / 2)


@dataclass(frozen=True)
class Change:
    """The change of a percentile between two series: the observed value, and its interval."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the difference from `value` is significant: 1 for a ratio, 0 for a difference."""
        return not self.low <= value <= self.high


def ratio(before: Samples, after: Samples, percent: float, confidence: float = 0.95) -> Change:
    """Ratio of the percentile `after` to `before`; samples must be above 0, the two series independent."""
    first, second = _redrawn(before, percent), _redrawn(after, percent, seed=1)
    seen = percentile(after, percent) / percentile(before, percent)
    bounded = is_bounded(before, percent, confidence), is_bounded(after, percent, confidence)
    return _change(seen, second / first, bounded, confidence, lowest=0.0)


def difference(before: Samples, after: Samples, percent: float, confidence: float = 0.95) -> Change:
    """Difference of the percentile, `after` minus `before`, in the unit of the samples."""
    first, second = _redrawn(before, percent), _redrawn(after, percent, seed=1)
    seen = percentile(after, percent) - percentile(before, percent)
    bounded = is_bounded(before, percent, confidence), is_bounded(after, percent, confidence)
    return _change(seen, second - first, bounded, confidence, lowest=-inf)


def mean_ratio(before: Samples, after: Samples, confidence: float = 0.95) -> Change:
    """Ratio of the mean `after` to `before`; blocks as for the median."""
    first, second = (_drawn_means(samples, seed) for seed, samples in enumerate((before, after)))
    seen = float(np.mean(after) / np.mean(before))
    return _change(seen, second / first, (True, True), confidence, lowest=0.0)


@dataclass(frozen=True)
class Dependence:
    """Dependence of consecutive samples, with respect to a percentile.

    `block` is the number of consecutive samples to draw together to keep the dependence, 1 if they are independent. The
    samples carry as much information as a fraction 1 / `inflation` of them would if they were independent.
    """

    block: int = 1
    inflation: float = 1.0


def dependence(samples: Samples, percent: float) -> Dependence:
    """Dependence estimated from the order of the samples; `block` is at most a quarter of the series."""
    values = np.asarray(samples, np.float64)
    above = (values > percentile(values, percent)).astype(np.float64)
    count, spread = len(above), above.var()
    if count < 8 or not spread:
        return Dependence()
    runs = max(5, ceil(sqrt(log10(count))))  # consecutive autocorrelations that must be small
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
    """The change; if a series does not bound its percentile, the interval is unbounded on the corresponding side."""
    tail = 100 * (1 - confidence) / 2
    low, high = percentile(drawn, tail), percentile(drawn, 100 - tail)
    return Change(seen, low if bounded[0] else lowest, high if bounded[1] else inf)


def _redrawn(samples: Samples, percent: float, seed: int = 0) -> Floats:
    """The percentile of each of RESAMPLES series drawn from this one in blocks; deterministic for a `seed`."""
    values = np.asarray(samples, np.float64)
    rank = _rank(len(values), percent)
    return np.concatenate([np.partition(some, rank, axis=1)[:, rank] for some in _series(values, percent, seed)])


def _drawn_means(samples: Samples, seed: int) -> Floats:
    return np.concatenate([some.mean(axis=1) for some in _series(np.asarray(samples, np.float64), 50.0, seed)])


def _series(values: Floats, percent: float, seed: int) -> Iterator[Floats]:
    """RESAMPLES series as long as this one, drawn from it in blocks, as arrays [some, N]."""
    count, length = len(values), dependence(values, percent).block
    blocks, generator = -(-count // length), np.random.default_rng(seed)
    for some in np.array_split(np.arange(RESAMPLES), -(-RESAMPLES * count // TOGETHER)):
        starts = generator.integers(0, count - length + 1, (len(some), blocks, 1))
        yield values[(starts + np.arange(length)).reshape(len(some), -1)[:, :count]]


def _rank(count: int, percent: float) -> int:
    if not count:
        raise ValueError("a percentile of no samples")
    return max(0, ceil(count * percent / 100 - 1e-9) - 1)
