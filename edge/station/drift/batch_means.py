"""Mean and long-run variance of the values of a reference, which follow each other and are not independent.

The values are put into batches of equal length; when there are too many batches, each two become one. The variance of
the batches' means covers whatever makes neighbouring values alike, such as lots, as long as it is shorter than a batch
(Schmeiser, Operations Research 30, 1982: ten to thirty batches).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import inf

MOST_BATCHES = 32
"""With so many batches, each two become one: there are 16 to 31."""

LARGEST_CORRELATION, FEWEST_DEGREES = 0.8, 3.0


class BatchMeans:
    """The values of one feature, block by block."""

    def __init__(self, length: int = 1, means: Sequence[float] = (), rest: Sequence[float] = ()) -> None:
        """`length` is the number of values in a batch, `rest` the values that are in no batch yet."""
        self.length, self.means, self.rest = length, list(means), list(rest)

    def add(self, value: float) -> None:
        """Add the next value."""
        self.rest.append(value)
        if len(self.rest) < self.length:
            return
        self.means.append(sum(self.rest) / self.length)
        self.rest.clear()
        if len(self.means) == MOST_BATCHES:
            self.means = [(one + other) / 2 for one, other in zip(self.means[::2], self.means[1::2], strict=True)]
            self.length *= 2

    @property
    def count(self) -> int:
        """Number of values."""
        return self.length * len(self.means) + len(self.rest)

    @property
    def mean(self) -> float:
        """The mean of all values; there must be one."""
        return (self.length * sum(self.means) + sum(self.rest)) / self.count

    def long_run_variance(self) -> tuple[float, float]:
        """The variance of the mean of n values, times n, for n much larger than what makes neighbours alike; and its
        degrees of freedom.

        Where the means of neighbouring batches are still alike, the variance is larger, and the degrees are fewer, by
        the factor of a first-order autoregression. Infinite, and 0, with fewer than three batches.
        """
        count = len(self.means)
        if count < 3:
            return inf, 0.0
        mean = sum(self.means) / count
        off = [one - mean for one in self.means]
        squares = sum(one * one for one in off)
        if squares == 0:
            return 0.0, count - 1.0
        found = sum(one * other for one, other in pairwise(off)) / squares
        alike = min(LARGEST_CORRELATION, max(0.0, found + 1 / count))  # without correlation -1/count is expected
        factor = (1 + alike) / (1 - alike)
        return self.length * squares / (count - 1) * factor, max(FEWEST_DEGREES, (count - 1) / factor)
