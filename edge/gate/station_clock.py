"""What time it is at the station: bounds that hold, on one machine and across machines.

A ping leaves at local time `sent`, its pong says `now` of the station's clock and is read at local time `received`. So
`now` fell between `sent` and `received`, however long either message took. Each pong gives bounds that are true; the
tightest of the recent ones count.
"""

from collections import deque
from dataclasses import dataclass

DRIFT_PPM = 1000
"""How much faster or slower the station's clock may run. A kernel bends its clock by 500 ppm at most to follow a time
server; here are two."""

RECENT_NS = 60_000_000_000
"""A pong older than this says nothing any more."""


@dataclass(frozen=True)
class _Pong:
    """The station's clock showed `now` after local `sent` and before local `received`."""

    now: int
    sent: int
    received: int

    def drift(self, moment: int) -> int:
        return abs(moment - self.now) * DRIFT_PPM // 1_000_000 + 1

    def earliest(self, moment: int) -> int:
        return self.sent + (moment - self.now) - self.drift(moment)

    def latest(self, moment: int) -> int:
        return self.received + (moment - self.now) + self.drift(moment)


class StationClock:
    """Turns moments of the station's monotonic clock into local ones, all in nanoseconds."""

    def __init__(self) -> None:
        """Knows nothing before the first pong."""
        self._pongs: deque[_Pong] = deque(maxlen=64)
        self._since: int | None = None

    def pong(self, now: int, sent_ns: int, received_ns: int) -> None:
        """Learn from an answer.

        An answer that contradicts the earlier ones means that a clock stood still or jumped, as when a machine was
        suspended: what was measured before it, and every moment of the station before it, counts no more.
        """
        earliest, latest = self.earliest(now, received_ns), self.latest(now, received_ns)
        if earliest is not None and latest is not None and not (earliest <= received_ns and sent_ns <= latest):
            self._pongs.clear()
            self._since = now
        self._pongs.append(_Pong(now, sent_ns, received_ns))

    def earliest(self, moment: int, at_ns: int) -> int | None:
        """The local time before which `moment` of the station cannot have been; None if that is not known."""
        bounds = [pong.earliest(moment) for pong in self._recent(moment, at_ns)]
        return max(bounds, default=None)

    def latest(self, moment: int, at_ns: int) -> int | None:
        """The local time after which `moment` of the station cannot have been; None if that is not known."""
        bounds = [pong.latest(moment) for pong in self._recent(moment, at_ns)]
        return min(bounds, default=None)

    def _recent(self, moment: int, at_ns: int) -> list[_Pong]:
        if self._since is not None and moment < self._since:
            return []
        return [pong for pong in self._pongs if at_ns - pong.received <= RECENT_NS]
