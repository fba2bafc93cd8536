"""Allowed differences of scores and maps from those of the network, as a fraction of the spread of its own values.

A bound for all networks does not exist: scores are probabilities, distances of 1e3 or errors of 1e-5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_SPREAD = 0.1
"""Smallest spread, as a fraction of the largest value, also for equal values: 1e-4 of it is then 1e-5 of the value,
twice the 5e-6 of the runtimes' rounding in DenseNet-121."""

SMALLEST_SPREAD = 1e-30
"""Spread of values that are all zero; runtimes may treat smaller numbers as zero."""


class ValueRange(BaseModel):
    """The lowest and the highest of a network's scores, or of the cells of its maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The range of these values, at least one."""
        listed = [float(value) for value in values]
        return cls(low=min(listed), high=max(listed))

    @property
    def spread(self) -> float:
        """Difference of the highest and the lowest, but at least what float32 can resolve there."""
        largest = max(abs(self.low), abs(self.high))
        return max(self.high - self.low, LEAST_SPREAD * largest, SMALLEST_SPREAD)

    def growth(self, low: float, high: float) -> float:
        """Factor by which the spread grows with these two values: 1 if they lie inside."""
        return ValueRange(low=min(self.low, low), high=max(self.high, high)).spread / self.spread

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


@dataclass(frozen=True)
class Bounds:
    """Tolerances within the ranges of `scores` and of the cells of `maps`; they grow in proportion outside.

    Without a range, as in bundles that record none, the tolerance is the same everywhere. `kind_tolerance` is that of
    the probabilities of kinds, None without kinds.
    """

    score_tolerance: float
    map_tolerance: float
    scores: ValueRange | None = None
    maps: ValueRange | None = None
    kind_tolerance: float | None = None

    @classmethod
    def share(cls, tolerance: float, scores: ValueRange, maps: ValueRange | None) -> Self:
        """Bounds with `tolerance` as a fraction of the spreads."""
        map_spread = scores.spread if maps is None else maps.spread
        return cls(tolerance * scores.spread, tolerance * map_spread, scores, maps)

    def score_growth(self, score: float) -> float:
        """Factor on `score_tolerance` for this expected score."""
        return 1.0 if self.scores is None else self.scores.growth(score, score)

    def map_growth(self, low: float, high: float) -> float:
        """Factor on `map_tolerance` for an expected map with cells from `low` to `high`."""
        return 1.0 if self.maps is None else self.maps.growth(low, high)
