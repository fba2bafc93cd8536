"""The chart of one feature: an exponentially weighted mean (EWMA) of block means against the reference of the line."""

from math import inf, sqrt
from typing import NamedTuple

from edge.station.drift.batch_means import BatchMeans
from edge.station.drift.features import (
    BRIGHTNESS,
    FEATURES,
    LEAST_SHARE,
    REJECTS,
    SMALLEST_LIGHT,
    SMALLEST_RISE,
    SMALLEST_SHIFT,
)
from edge.station.drift.run_length import limit_for, student

MEMORY = 60
"""Blocks that the mean looks back on: its weight is 2 / (MEMORY + 1), as that of a moving average of this length. A
block is a minute, so this is the last hour."""

WEIGHT = 2 / (MEMORY + 1)

WEEK = 7 * 24 * 60
"""Blocks of a week."""

WEEKS = 4
"""Weeks between false alarms for which the limits of all features together are computed. The promise is one week: what
the computation leaves out, such as lots longer than a batch of the reference, takes its share."""

NORMAL_LIMIT = limit_for(len(FEATURES) * WEEKS * WEEK, WEIGHT)
"""The limit of one feature, in standard deviations of the mean, if the reference knew them exactly."""

WIDE = 3
"""A limit by chance that is wider than this many times the smallest shift that matters is remarked."""

OVER = 0.5
"""An alarm ends when the mean is within this share of its limit again."""

BEGUN = 1 / 3
"""A shift began when the mean was last within this share of its limit."""


class Block(NamedTuple):
    """A feature in one block: the mean, and the variance of the parts around it."""

    mean: float
    variance: float


class Chart:
    """One feature. Each block is added to the reference or only compared with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reference = BatchMeans()
        self.variance = 0.0
        """Mean variance of the parts of a block, over the blocks of the reference."""
        self.now: float | None = None
        """The EWMA; None before the first block that is compared."""
        self.since: str | None = None
        """When the present shift began; None without one."""
        self._limit, self._middle = inf, 0.0

    def learn(self, block: Block) -> None:
        """Add a block to the reference."""
        self.reference.add(block.mean)
        self.variance += (block.variance - self.variance) / self.reference.count
        self.set_limit()

    def compare(self, mean: float, when: str) -> None:
        """Compare a block that ended at `when` with the reference, which must have one."""
        before = self._middle if self.now is None else self.now
        self.now = before + WEIGHT * (mean - before)
        if abs(self.level) <= BEGUN:
            self.since = None
        elif self.since is None:
            self.since = when

    @property
    def level(self) -> float:
        """The shift of the mean in units of its limit, with its sign: beyond -1..1 it is an alarm."""
        if self.now is None or self._limit == inf:
            return 0.0
        return (self.now - self._middle) / self._limit

    @property
    def limit(self) -> float:
        """The largest shift that is no alarm; infinite while the reference is too short."""
        return self._limit

    @property
    def is_wide(self) -> bool:
        """Whether the limit is so wide, by chance, that a shift that matters a lot is no alarm."""
        return self.reference.count > 0 and self._limit > WIDE * self._that_matters

    def set_limit(self) -> None:
        """Compute the limit from the reference, after it was changed."""
        if self.reference.count:
            self._middle = self.reference.mean
            self._limit = max(self._by_chance, self._that_matters)

    @property
    def _by_chance(self) -> float:
        """What the mean may differ by chance, from a reference that is itself no longer than it is."""
        variance, degrees = self.reference.long_run_variance()
        if not degrees:
            return inf
        return student(NORMAL_LIMIT, degrees) * sqrt(variance * (WEIGHT / (2 - WEIGHT) + 1 / self.reference.count))

    @property
    def _that_matters(self) -> float:
        """The smallest shift that is worth an alarm."""
        if self.name == REJECTS:
            return SMALLEST_RISE * max(LEAST_SHARE, self.reference.mean)
        resolution = FEATURES[self.name].resolution
        shift = max(1e-9, SMALLEST_SHIFT * sqrt(self.variance + resolution**2))
        if self.name == BRIGHTNESS:
            return min(shift, max(SMALLEST_SHIFT * resolution, SMALLEST_LIGHT * self._middle))
        return shift
