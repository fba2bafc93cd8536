"""Log lines about refused peers, limited so that a flood of refusals does not flood the log."""

import threading
import time
from collections import Counter
from collections.abc import Callable

WINDOW_S = 60.0
LINES_PER_KIND = 5
"""Distinct lines per kind and window; a flood of one kind leaves room for the others."""


class Refusals:
    """Logs a new line at once, and at the end of each window how often it was repeated."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Nothing was refused yet. `say` logs a line."""
        self.count = 0
        self._lock = threading.Lock()  # receiving threads call `note`, another thread calls `flush`
        self._say = say
        self._repeats: dict[str, Counter[str]] = {}  # by kind: number of repetitions of each logged line
        self._suppressed: Counter[str] = Counter()  # by kind: number of lines not logged
        self._ends_ns = _in_a_window()

    def note(self, kind: str, line: str) -> None:
        """Record a refusal."""
        with self._lock:
            self.count += 1
            lines = self._repeats.setdefault(kind, Counter())
            if line in lines:
                lines[line] += 1
            elif len(lines) < LINES_PER_KIND:
                lines[line] = 0
                self._say(line)
            else:
                self._suppressed[kind] += 1

    def flush(self) -> None:
        """Log the counts if the window is over. A repeated line stays known: it is logged once per window."""
        if time.monotonic_ns() < self._ends_ns:
            return
        with self._lock:
            self._ends_ns = _in_a_window()
            for kind, lines in self._repeats.items():
                for line, count in lines.items():
                    if count:
                        self._say(f"{line} ({count} times more in {WINDOW_S:g} s)")
                self._repeats[kind] = Counter({line: 0 for line, count in lines.items() if count})
            for kind, count in self._suppressed.items():
                self._say(f"{count} others refused in {WINDOW_S:g} s, of the kind: {kind}")
            self._suppressed.clear()


def _in_a_window() -> int:
    return time.monotonic_ns() + int(WINDOW_S * 1e9)
