"""Detects that this machine was suspended, which the monotonic clock does not show."""

import time
from collections.abc import Callable

BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux' clock that goes on while the machine is suspended; where there is none, no suspension is detected."""


def boot_ns() -> int:
    """Nanoseconds since the machine was started, those included in which it was suspended."""
    return time.clock_gettime_ns(BOOT_CLOCK)


class SuspendWatch:
    """Compares the clock that stands still in a suspension with the one that does not; see clock_gettime(2).

    Their difference is the time spent in suspensions. It is read as bounds, so that a thread which is interrupted
    between two readings reports no suspension.
    """

    def __init__(
        self, monotonic_ns: Callable[[], int] = time.monotonic_ns, boot_ns: Callable[[], int] = boot_ns
    ) -> None:
        """Suspensions from now on are detected."""
        self._monotonic_ns, self._boot_ns = monotonic_ns, boot_ns
        self._most = self._bounds()[1]

    def was_suspended(self) -> bool:
        """Whether the machine was suspended since the last call."""
        least, most = self._bounds()
        if least > self._most:
            self._most = most
            return True
        self._most = min(self._most, most)
        return False

    def _bounds(self) -> tuple[int, int]:
        """The least and the most nanoseconds that the machine may have spent in suspensions."""
        before = self._monotonic_ns()
        boot = self._boot_ns()
        return boot - self._monotonic_ns(), boot - before
