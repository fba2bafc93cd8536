"""Keeps the model warm between parts: runs it on a golden frame shortly before the next part is expected.

After a pause the weights are no longer in the caches, and the next inference is slower. An inference cannot be
interrupted, so a warm-up runs only if it will probably end before the earliest part expected from the line's cadence;
a part that arrives even sooner waits for that one warm-up and no other.
"""

import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any

from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Infer

REMEMBERED = 8
"""Number of part intervals from which the cadence is learned, and of warm-ups from which their duration is learned."""

SPARE_NS = 2_000_000
"""Margin between the expected end of a warm-up and the earliest part."""

MOST_MISSED = 10
"""After this many expected parts that did not arrive the line pauses, and the warm-ups stop."""


class Warmer:
    """Waits for orders instead of `connection.recv`, and runs the model in between."""

    def __init__(self, connection: MessageSocket, warm: Callable[[], object]) -> None:
        """`warm` runs the model once, on a frame of the line's size."""
        self._connection, self._warm = connection, warm
        self._came_ns: int | None = None
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._took: deque[int] = deque(maxlen=REMEMBERED)
        self._expected = 0  # warm-ups since the last part

    def next_order(self) -> Any:
        """The next order. Raises EOFError as `recv` does."""
        while not self._connection.poll(self._left_s()):
            begun_ns = time.monotonic_ns()
            self._warm()
            self._took.append(time.monotonic_ns() - begun_ns)
            self._expected += 1
        order = self._connection.recv()
        if isinstance(order, Infer) and order.is_part:
            now_ns, before_ns = time.monotonic_ns(), self._came_ns
            if before_ns is not None and self._expected < MOST_MISSED:  # an interval of the cadence, not a rest
                self._intervals.append(now_ns - before_ns)
            self._came_ns, self._expected = now_ns, 0
        return order

    def _left_s(self) -> float | None:
        """Seconds until the next warm-up; None if none should run before the next part."""
        due_ns = self.due_ns()
        return None if due_ns is None else max(0.0, (due_ns - time.monotonic_ns()) / 1e9)

    def due_ns(self) -> int | None:
        """When the next warm-up should begin; None while the cadence is unknown, too fast for warm-ups, or paused."""
        if self._came_ns is None or len(self._intervals) < REMEMBERED or self._expected >= MOST_MISSED:
            return None
        takes_ns = min(max(self._took), 3 * int(median(self._took))) if self._took else min(self._intervals) // 4
        earliest_ns = min(self._intervals) + int(self._expected * median(self._intervals))
        if min(self._intervals) < 3 * (takes_ns + SPARE_NS):
            return None
        return self._came_ns + earliest_ns - takes_ns - SPARE_NS
