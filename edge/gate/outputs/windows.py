"""When a part may pass and when it is rejected: a window of time for each decision. No clock, no output."""

from bisect import bisect_right, insort
from typing import NamedTuple


class Window(NamedTuple):
    """A part's time at the gate. Of two that begin together, the reject counts."""

    start_ns: int
    rejects: bool
    part: str


class Windows:
    """The windows of the parts that are near the gate. Each lasts for the pulse, or until the next one begins.

    Their number is bounded by the parts that the gate has in flight.
    """

    def __init__(self, delay_ns: int, pulse_ns: int) -> None:
        """`delay_ns` is from the moment at which a part is due, the belt's lead before the gate, to its window."""
        self._delay_ns, self._pulse_ns = delay_ns, pulse_ns
        self._windows: list[Window] = []
        self._rejects_until_ns = 0

    def add(self, due_ns: int, rejects: bool, part: str) -> None:
        """The window of a part that is due at a local moment."""
        insort(self._windows, Window(due_ns + self._delay_ns, rejects, part))

    def reject_at(self, now_ns: int) -> None:
        """A pulse now for a part that is rejected, and nobody knows where it is: it ends no window."""
        self._rejects_until_ns = now_ns + self._pulse_ns

    def passing(self, now_ns: int) -> Window | None:
        """The window of the part that may pass now."""
        window = self._current(now_ns)
        return None if window is None or window.rejects else window

    def is_rejecting(self, now_ns: int) -> bool:
        """Whether a part is rejected now."""
        window = self._current(now_ns)
        return (window is not None and window.rejects) or now_ns < self._rejects_until_ns

    def next_ns(self, now_ns: int) -> int | None:
        """The next moment at which an answer may change; None if none does."""
        ends = [window.start_ns + self._pulse_ns for window in self._windows[: self._begun(now_ns)][-1:]]
        starts = [window.start_ns for window in self._windows[self._begun(now_ns) :][:1]]
        return min((at for at in (*ends, *starts, self._rejects_until_ns) if at > now_ns), default=None)

    def past(self, now_ns: int) -> list[Window]:
        """Take away the windows that are over, and return them in order."""
        begun = self._begun(now_ns)
        over = begun if self._current(now_ns) is None else begun - 1
        taken, self._windows = self._windows[:over], self._windows[over:]
        return taken

    def clear_passes(self) -> list[Window]:
        """Take away the windows of parts that may pass, and return them in order."""
        taken = [window for window in self._windows if not window.rejects]
        self._windows = [window for window in self._windows if window.rejects]
        return taken

    def _current(self, now_ns: int) -> Window | None:
        begun = self._begun(now_ns)
        if begun == 0 or now_ns >= self._windows[begun - 1].start_ns + self._pulse_ns:
            return None
        return self._windows[begun - 1]

    def _begun(self, now_ns: int) -> int:
        return bisect_right(self._windows, now_ns, key=lambda window: window.start_ns)
