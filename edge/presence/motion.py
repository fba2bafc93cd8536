"""How the belt runs: its speed and the time between frames, from what was seen."""

from collections import deque
from statistics import median

WEIGHT = 0.2
"""Weight of the newest frame."""

STANDING = 0.1
"""Cells from one frame to the next below which the belt stands."""


class Motion:
    """`velocity` is in cells a second, towards higher columns if positive; None until something was seen to move."""

    def __init__(self, velocity: float | None = None) -> None:
        """`velocity` as remembered, if it is."""
        self._way = 0.0 if velocity is None else velocity
        self._time = 0.0 if velocity is None else 1.0
        self._is_guess = velocity is not None
        self._periods: deque[float] = deque(maxlen=15)

    @property
    def velocity(self) -> float | None:
        """Way through time, both smoothed: stamps that come in bunches do not shake it."""
        return self._way / self._time if self._time > 0 else None

    @property
    def step(self) -> float:
        """Cells that all will move until the next frame; 0 if it is not known, or if the belt stands."""
        step = (self.velocity or 0.0) * (median(self._periods) if self._periods else 0.0)
        return step if abs(step) > STANDING else 0.0

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
        if self._time == 0 or self._is_guess:
            self._way, self._time, self._is_guess = median(ways), seconds, False
        else:
            self._way += WEIGHT * (median(ways) - self._way)
            self._time += WEIGHT * (seconds - self._time)
