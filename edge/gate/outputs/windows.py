"""When a part may pass and when it is rejected: a window of time for each decision. No clock, no output."""

from bisect import bisect_left, bisect_right, insort
from typing import NamedTuple

MOST_WINDOWS = 10_000
"""Windows that are kept, as many as the gate follows parts. Nothing passes until rejected parts beyond it are past."""


class Window(NamedTuple):
    """A part's time at the gate: from `start_ns`, for the pulse."""

    start_ns: int
    rejects: bool
    part: str


class Windows:
    """The windows of the parts that are near the gate. Each lasts for the pulse: as long as a part is at the gate.

    The window of a part that may pass never overlaps that of a rejected part. At most MOST_WINDOWS are kept.
    """

    def __init__(self, delay_ns: int, pulse_ns: int) -> None:
        """`delay_ns` is from the moment at which a part is due, the belt's lead before the gate, to its window."""
        self._delay_ns, self._pulse_ns = delay_ns, pulse_ns
        self._windows: list[Window] = []
        self._rejects_until_ns = 0
        self._full_until_ns = 0
        self._past_ns: int | None = None  # the start of the last window that was taken away as past

    def separates(self, due_ns: int, next_due_ns: int | None = None) -> bool:
        """Whether a part can pass alone: no window of a rejected part overlaps its window, nor would that of a part due
        at `next_due_ns`.
        """
        if next_due_ns is not None and abs(next_due_ns - due_ns) < self._pulse_ns:
            return False
        start = due_ns + self._delay_ns
        return not self.is_full(start) and not any(window.rejects for window in self._overlapping(start))

    def allow(self, due_ns: int, part: str) -> bool:
        """Add the window of a part that may pass, if the part can pass alone; returns whether it can."""
        if not self.separates(due_ns):
            return False
        insort(self._windows, Window(due_ns + self._delay_ns, False, part))
        return True

    def reject(self, due_ns: int, part: str) -> tuple[Window, list[Window]]:
        """Add the window of a rejected part, and take away overlapping windows of parts that may pass. Returns both."""
        window = Window(due_ns + self._delay_ns, True, part)
        ended = [one for one in self._overlapping(window.start_ns) if not one.rejects]
        if ended:
            self._windows = [one for one in self._windows if one not in ended]
        if len(self._windows) < MOST_WINDOWS:
            insort(self._windows, window)
        else:
            self._full_until_ns = max(self._full_until_ns, self.end_ns(window))
        return window, ended

    def reject_at(self, now_ns: int) -> None:
        """A pulse now for a rejected part whose place is not known: it ends no window."""
        self._rejects_until_ns = now_ns + self._pulse_ns

    def is_full(self, now_ns: int) -> bool:
        """Whether nothing may pass, because more rejected parts are near the gate than windows are kept."""
        return now_ns < self._full_until_ns or len(self._windows) >= MOST_WINDOWS

    def end_ns(self, window: Window) -> int:
        """When the window is over."""
        return window.start_ns + self._pulse_ns

    def spacing_ns(self, due_ns: int) -> int | None:
        """The time between the window of a part that is due then and the nearest window; None if there was none."""
        start = due_ns + self._delay_ns
        after = bisect_left(self._windows, start, key=_start)
        near = [window.start_ns for window in self._windows[max(0, after - 1) : after + 1]]
        return min((abs(start - one) for one in (*near, self._past_ns) if one is not None), default=None)

    def passing(self, now_ns: int) -> Window | None:
        """The window of the part that may pass now, the last one if there are several."""
        last = self._open(now_ns)[-1:]  # all that are open reject, or none
        return None if not last or last[0].rejects else last[0]

    def is_rejecting(self, now_ns: int) -> bool:
        """Whether a part is rejected now."""
        return now_ns < self._rejects_until_ns or any(window.rejects for window in self._open(now_ns))

    def begun(self, now_ns: int) -> list[Window]:
        """The windows that have begun and are not taken away, in order."""
        return self._windows[: bisect_right(self._windows, now_ns, key=_start)]

    def next_ns(self, now_ns: int) -> int | None:
        """The next moment at which an answer may change; None if none does."""
        following = bisect_right(self._windows, now_ns, key=_start)
        starts = [window.start_ns for window in self._windows[following : following + 1]]
        ends = [self.end_ns(window) for window in self._open(now_ns)[:1]]
        return min((at for at in (*ends, *starts, self._rejects_until_ns) if at > now_ns), default=None)

    def past(self, now_ns: int) -> list[Window]:
        """Take away the windows that are over, and return them in order."""
        over = bisect_right(self._windows, now_ns - self._pulse_ns, key=_start)
        taken, self._windows = self._windows[:over], self._windows[over:]
        if taken:
            self._past_ns = taken[-1].start_ns
        return taken

    def clear_passes(self) -> list[Window]:
        """Take away the windows of parts that may pass, and return them in order."""
        taken = [window for window in self._windows if not window.rejects]
        self._windows = [window for window in self._windows if window.rejects]
        return taken

    def _open(self, now_ns: int) -> list[Window]:
        first = bisect_right(self._windows, now_ns - self._pulse_ns, key=_start)
        return self._windows[first : bisect_right(self._windows, now_ns, key=_start)]

    def _overlapping(self, start_ns: int) -> list[Window]:
        first = bisect_right(self._windows, start_ns - self._pulse_ns, key=_start)
        return self._windows[first : bisect_left(self._windows, start_ns + self._pulse_ns, key=_start)]


def _start(window: Window) -> int:
    return window.start_ns
