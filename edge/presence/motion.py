"""How the belt runs: its speed, its direction and the time between frames, from what was seen."""

from collections import deque
from math import copysign
from statistics import median

WEIGHT = 0.2
"""Weight of the newest frame."""

SURE, MOST_SURE = 4.0, 20.0
"""Cells that the belt must run before its direction is known, and those that make it as sure as can be: one that turns
round must run as far back to be believed."""


class Motion:
    """`velocity` is in cells a second, towards higher columns if positive; None until something was seen to move.
    `direction` is 1 or -1, 0 while it is not known.
    """

    def __init__(self, velocity: float | None = None, step: float = 0.0) -> None:
        """`velocity` and `step` as remembered, if they are."""
        self._way = 0.0 if velocity is None else velocity
        self._time = 0.0 if velocity is None else 1.0
        self._is_remembered = velocity is not None
        self._run = copysign(SURE, velocity) if velocity else 0.0
        self._periods: deque[float] = deque([step / abs(velocity)] if velocity and step else [], maxlen=15)

    @property
    def velocity(self) -> float | None:
        """Way through time, both smoothed: stamps that come in bunches do not shake it."""
        return self._way / self._time if self._time > 0 else None

    @property
    def direction(self) -> int:
        """The way that parts go."""
        return 0 if abs(self._run) < SURE else 1 if self._run > 0 else -1

    @property
    def step(self) -> float:
        """Cells in its direction that all will move until the next frame, 0 if that is not known."""
        period = median(self._periods) if self._periods else 0.0
        return max(0.0, (self.velocity or 0.0) * period * self.direction)

    def way(self, seconds: float) -> float:
        """Cells that all move in so many seconds, as far as is known."""
        return (self.velocity or 0.0) * seconds

    def tick(self, seconds: float) -> None:
        """A frame came so long after the last one."""
        if seconds > 0:
            self._periods.append(seconds)

    def learn(self, ways: list[float], seconds: float) -> None:
        """So many cells the parts that were seen in both of two frames moved between them."""
        if not ways or seconds <= 0:
            return
        way = median(ways)
        self._run = min(MOST_SURE, max(-MOST_SURE, self._run + way))
        if self._time == 0 or self._is_remembered:
            self._way, self._time, self._is_remembered = way, seconds, False
        else:
            self._way += WEIGHT * (way - self._way)
            self._time += WEIGHT * (seconds - self._time)
