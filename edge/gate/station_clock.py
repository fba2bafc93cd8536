"""Bounds of the station's time, on one machine and across machines.

A ping is sent at local time `sent`; its pong has the station's time `now` and is read at local time `received`. The
moment `now` lies between `sent` and `received`, whatever the delay of either message. The tightest bounds of the recent
pongs are used.
"""

from collections import deque
from dataclasses import dataclass

DRIFT_PPM = 1000
"""Largest difference in rate of the two clocks. A kernel adjusts its clock by at most 500 ppm to follow a time server;
two kernels are involved."""

RECENT_NS = 60_000_000_000
"""Older pongs are ignored."""


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
    """Converts times of the station's monotonic clock to local times, all in nanoseconds."""

    def __init__(self) -> None:
        """No bounds are known before the first pong."""
        self._pongs: deque[_Pong] = deque(maxlen=64)
        self._since: int | None = None
        self._is_anew = False

    def begin_anew(self) -> None:
        """Drop the pongs, since this machine's clock stood still. No bounds will be known for times of the station
        before the next pong.
        """
        self._pongs.clear()
        self._is_anew = True

    def pong(self, now: int, sent_ns: int, received_ns: int) -> bool:
        """Add an answer. Returns whether it contradicts the earlier ones.

        A contradiction means that a clock stood still or jumped, as when a machine was suspended: earlier pongs are
        dropped, and for earlier times of the station no bounds are known.
        """
        earliest, latest = self.earliest(now, received_ns), self.latest(now, received_ns)
        contradicts = (earliest is not None and earliest > received_ns) or (latest is not None and latest < sent_ns)
        if contradicts or self._is_anew:
            self._pongs.clear()
            self._since, self._is_anew = now, False
        self._pongs.append(_Pong(now, sent_ns, received_ns))
        return contradicts

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
