"""Rate limits per peer: a leaky bucket for each of a bounded number of peers."""

import time
from collections import OrderedDict
from collections.abc import Hashable

from edge.channel.limits import MOST_PEERS, Pace


class Paces:
    """The rate limit `pace` for each peer. Times are monotonic, so that setting the clock has no effect."""

    def __init__(self, pace: Pace) -> None:
        """No peer has sent a request yet."""
        self._pace = pace
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # level, and the time in s

    def admits(self, peer: Hashable) -> bool:
        """Whether this peer may send one more request now; if so, it is counted."""
        level, now = self._level(peer)
        is_admitted = level + 1 <= self._pace.burst
        self._levels[peer] = level + is_admitted, now
        self._levels.move_to_end(peer)
        if len(self._levels) > MOST_PEERS:
            self._levels.popitem(last=False)
        return is_admitted

    def wait_s(self, peer: Hashable) -> float:
        """Seconds until this peer may send one more request, 0 if it may now."""
        level, _ = self._level(peer)
        return max(0.0, (level + 1 - self._pace.burst) / self._pace.a_second)

    def _level(self, peer: Hashable) -> tuple[float, float]:
        """The level of the peer's bucket now, and the time in seconds."""
        now = time.monotonic()
        level, then = self._levels.get(peer, (0.0, now))
        return max(0.0, level - (now - then) * self._pace.a_second), now
