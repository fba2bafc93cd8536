"""Axes of the hand-drawn charts: positions of values, in drawing units, and round numbers as labels."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log, log10

PERCENTILES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
"""Labels of an axis of percentiles."""


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, drawn from `start` to `end`, linear in `straight(value)`."""

    low: float
    high: float
    start: float
    end: float
    straight: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Position of a value, clipped to the ends of the axis."""
        low, high = self.straight(self.low), self.straight(self.high)
        share = (self.straight(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    @property
    def labelled(self) -> list[tuple[float, str]]:
        """(position, text) of each label."""
        return [(self.at(value), text) for value, text in self.ticks]


def logarithmic(values: list[float], start: float, end: float, most: int = 7) -> Axis:
    """An axis around all values, which must be above 0, with at most `most` labels at round numbers."""
    low, high = min(values) / 1.08, max(values) * 1.08
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= most:
            break
    ticks = found[:: -(-len(found) // most)] if found else []
    return Axis(low, high, start, end, log, tuple((value, plain(value)) for value in ticks))


def linear(low: float, high: float, start: float, end: float) -> Axis:
    """An axis between two values, with about four labels at round numbers."""
    unit = 10.0 ** floor(log10((high - low) / 4))
    step = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit * 5 >= high - low)
    ticks = [n * step for n in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
    return Axis(low, high, start, end, float, tuple((value, plain(value)) for value in ticks))


def percentiles(highest: float, start: float, end: float) -> Axis:
    """An axis of percentiles that gives room to the high ones: each further 9 is as wide as the previous."""
    highest = min(max(highest, 90.0), 99.999)
    ticks = tuple((p, f"p{p:g}" if p else "p0") for p in PERCENTILES if p <= highest)
    return Axis(0.0, highest, start, end, lambda percent: -log10(1 - percent / 100), ticks)


def plain(value: float) -> str:
    """A number in plain notation, with few digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
