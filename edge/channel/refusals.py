"""Lines about refused peers, so few that a flood of them does not flood the log."""

import threading
import time
from collections import Counter
from collections.abc import Callable

WINDOW_S = 60.0
LINES_PER_KIND = 5
"""Different lines of one kind in a window; a flood of one kind leaves room for the others."""


class Refusals:
    """Says a new line at once, and at the end of each window how often it came again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Nothing was refused yet."""
        self.count = 0
        self._lock = threading.Lock()  # the threads that receive note, another one tells
        self._say = say
        self._again: dict[str, Counter[str]] = {}  # by kind: how often each line came after it was said
        self._unsaid: Counter[str] = Counter()  # by kind
        self._ends_ns = _in_a_window()

    def note(self, kind: str, line: str) -> None:
        """A peer was refused."""
        with self._lock:
            self.count += 1
            lines = self._again.setdefault(kind, Counter())
            if line in lines:
                lines[line] += 1
            elif len(lines) < LINES_PER_KIND:
                lines[line] = 0
                self._say(line)
            else:
                self._unsaid[kind] += 1

    def tell(self) -> None:
        """Say the counts if the window is over. A line that came again stays known: it is said once a window."""
        if time.monotonic_ns() < self._ends_ns:
            return
        with self._lock:
            self._ends_ns = _in_a_window()
            for kind, lines in self._again.items():
                for line, count in lines.items():
                    if count:
                        self._say(f"{line} ({count} times more in {WINDOW_S:g} s)")
                self._again[kind] = Counter({line: 0 for line, count in lines.items() if count})
            for kind, count in self._unsaid.items():
                self._say(f"{count} others refused in {WINDOW_S:g} s, of the kind: {kind}")
            self._unsaid.clear()


def _in_a_window() -> int:
    return time.monotonic_ns() + int(WINDOW_S * 1e9)
