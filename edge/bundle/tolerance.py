"""How far a score or a map may be off what the network gave: a share of the spread that its own values have.

A bound for all networks does not exist: scores are probabilities, distances of 1e3 or errors of 1e-5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEAST_SPREAD = 0.1
"""Share of the largest value that a spread counts at least, that of equal values, too: 1e-4 of it is then 1e-5 of the
value, where the runtimes' rounding in DenseNet-121 takes 5e-6."""

SMALLEST_SPREAD = 1e-30
"""Of values that are all zero; runtimes may take smaller numbers for zero."""


class ValueRange(BaseModel):
    """The lowest and the highest of a network's scores, or of the cells of its maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The range of these values, of which there is one at least."""
        listed = [float(value) for value in values]
        return cls(low=min(listed), high=max(listed))

    @property
    def spread(self) -> float:
        """From the lowest to the highest, and no less than float32 can tell apart there."""
        largest = max(abs(self.low), abs(self.high))
        return max(self.high - self.low, LEAST_SPREAD * largest, SMALLEST_SPREAD)

    def growth(self, low: float, high: float) -> float:
        """How many times as large the spread is with these two values: 1 where they lie inside."""
        return ValueRange(low=min(self.low, low), high=max(self.high, high)).spread / self.spread

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


@dataclass(frozen=True)
class Bounds:
    """What is allowed within the ranges of `scores` and of the cells of `maps`, and in proportion beyond them.

    Without a range, as in bundles that do not say it, the same is allowed everywhere.
    """

    score_tolerance: float
    map_tolerance: float
    scores: ValueRange | None = None
    maps: ValueRange | None = None

    @classmethod
    def share(cls, tolerance: float, scores: ValueRange, maps: ValueRange | None) -> Self:
        """The bounds of this share of the spreads."""
        map_spread = scores.spread if maps is None else maps.spread
        return cls(tolerance * scores.spread, tolerance * map_spread, scores, maps)

    def score_growth(self, score: float) -> float:
        """How many times `score_tolerance` is allowed where this score was expected."""
        return 1.0 if self.scores is None else self.scores.growth(score, score)

    def map_growth(self, low: float, high: float) -> float:
        """How many times `map_tolerance` is allowed where a map of cells from `low` to `high` was expected."""
        return 1.0 if self.maps is None else self.maps.growth(low, high)
