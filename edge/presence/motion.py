"""Estimate of the belt's motion: its speed, its direction and the frame interval."""

from collections import deque
from math import copysign
from statistics import median

WEIGHT = 0.2
"""Weight of the newest frame."""

SURE, MOST_SURE = 4.0, 20.0
"""Cells that the belt must run before its direction is known, and the largest evidence that accumulates: a belt that
reverses must run that far back."""


class Motion:
    """`velocity` is in cells per second, positive towards higher columns; None until a motion was observed.
    `direction` is 1 or -1, 0 while unknown.
    """

    def __init__(self, velocity: float | None = None, step: float = 0.0) -> None:
        """`velocity` (cells per second) and `step` (cells per frame) of a predecessor, if there is one."""
        self._distance = 0.0 if velocity is None else velocity
        self._time = 0.0 if velocity is None else 1.0
        self._is_remembered = velocity is not None
        self._evidence = copysign(SURE, velocity) if velocity else 0.0
        self._periods: deque[float] = deque([step / abs(velocity)] if velocity and step else [], maxlen=15)

    @property
    def velocity(self) -> float | None:
        """Distance divided by time, both smoothed, so that stamps that arrive in bunches do not disturb it."""
        return self._distance / self._time if self._time > 0 else None

    @property
    def direction(self) -> int:
        """Direction in which parts move: 1, -1, or 0 while unknown."""
        return 0 if abs(self._evidence) < SURE else 1 if self._evidence > 0 else -1

    @property
    def step(self) -> float:
        """Cells that parts move per frame, in their direction; 0 if unknown."""
        period = median(self._periods) if self._periods else 0.0
        return max(0.0, (self.velocity or 0.0) * period * self.direction)

    def displacement(self, seconds: float) -> float:
        """Cells that parts move in `seconds`; 0 if the velocity is unknown."""
        return (self.velocity or 0.0) * seconds

    def tick(self, seconds: float) -> None:
        """Record a frame that came `seconds` after the last one."""
        if seconds > 0:
            self._periods.append(seconds)

    def learn(self, displacements: list[float], seconds: float) -> None:
        """Update the estimate from the `displacements`, in cells, of the parts seen in two frames `seconds` apart."""
        if not displacements or seconds <= 0:
            return
        displacement = median(displacements)
        self._evidence = min(MOST_SURE, max(-MOST_SURE, self._evidence + displacement))
        if self._time == 0 or self._is_remembered:
            self._distance, self._time, self._is_remembered = displacement, seconds, False
        else:
            self._distance += WEIGHT * (displacement - self._distance)
            self._time += WEIGHT * (seconds - self._time)
