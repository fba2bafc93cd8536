"""How fast each peer may ask: a leaky bucket for each, and no more peers remembered than need be."""

import time
from collections import OrderedDict
from collections.abc import Hashable

from edge.channel.limits import MOST_PEERS, Pace


class Paces:
    """One pace for each peer. Times are of the monotonic clock: a clock that is set back changes nothing."""

    def __init__(self, pace: Pace) -> None:
        """Nobody has asked yet."""
        self._pace = pace
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # level at a moment, in seconds

    def admits(self, peer: Hashable) -> bool:
        """Whether this peer may ask once more now; if so, it has."""
        level, now = self._level(peer)
        is_admitted = level + 1 <= self._pace.burst
        self._levels[peer] = level + is_admitted, now
        self._levels.move_to_end(peer)
        if len(self._levels) > MOST_PEERS:
            self._levels.popitem(last=False)
        return is_admitted

    def wait_s(self, peer: Hashable) -> float:
        """Seconds until this peer may ask once more, 0 if it may now."""
        level, _ = self._level(peer)
        return max(0.0, (level + 1 - self._pace.burst) / self._pace.a_second)

    def _level(self, peer: Hashable) -> tuple[float, float]:
        """How full its bucket is now, and what time it is."""
        now = time.monotonic()
        level, then = self._levels.get(peer, (0.0, now))
        return max(0.0, level - (now - then) * self._pace.a_second), now
