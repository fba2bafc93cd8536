"""Progress of long work on standard error: a line that is redrawn on a terminal, elsewhere a new one every ten seconds.

The line is plain text because `edge-bench` draws it while it measures: writing it takes 0.07 ms, drawing a progress bar
of rich 4 ms (medians of 200 on one of two cores of an AMD EPYC).
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, TextIO, TypeVar

from edge.terminal.output import Output
from edge.text import printable

Item = TypeVar("Item", covariant=True)

REDRAWN_S = 0.5
"""Seconds from one drawing on a terminal to the next."""

LINE_S = 10.0
"""Seconds from one line to the next where standard error is no terminal; the variable EDGE_PROGRESS_S changes it."""

FIRST_GUESS_S = 2.0
"""Seconds of a stage before the time that is left is estimated."""

BAR = 24
"""Characters of the bar."""

UNICODE, ASCII = ("━", "╌"), ("#", "-")
"""Characters of the bar: what is done, and what is not."""

NARROW = 60
"""Terminals with fewer columns show no bar."""


class Advance(Protocol):
    """Counts steps of a stage that are done."""

    def __call__(self, count: float = 1) -> None:
        """Count `count` more steps."""
        ...


class Stage(Protocol):
    """Begins a stage of the work; see `Progress.begin`."""

    def __call__(self, what: str, total: float | None = None) -> Advance:
        """Begin it."""
        ...


class Counted(Protocol[Item]):
    """Things whose number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


class _Stage:
    """What is done, how many steps that takes (None: unknown), and since when."""

    def __init__(self, what: str, total: float | None) -> None:
        self.what, self.total = printable(what), total
        self.done, self.began_s = 0.0, time.monotonic()

    @property
    def left_s(self) -> float | None:
        """Seconds until the end if the rest goes on as before; None while nobody can tell."""
        took_s = time.monotonic() - self.began_s
        if not self.total or not self.done or took_s < FIRST_GUESS_S:
            return None
        return max(0.0, took_s * (self.total - self.done) / self.done)

    @property
    def time(self) -> str:
        """How long it has taken, and how long it will still take if that is known."""
        took, left_s = clock(time.monotonic() - self.began_s), self.left_s
        return took if left_s is None else f"{took}, {clock(left_s)} left"

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


class Progress:
    """A context in which stages of long work are shown. `begin` and the counting of steps work outside of it, too.

    Not shown, it writes nothing. One that has no terminal writes a line about the current stage every LINE_S.
    """

    def __init__(self, is_shown: bool = True) -> None:
        self._is_shown = is_shown
        self._current: _Stage | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_drawn = False

    def __enter__(self) -> Self:
        if self._is_shown:
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._thread, self._current = None, None
        self._clear()

    def begin(self, what: str, total: float | None = None) -> Advance:
        """Begin the stage `what` of `total` steps (None: unknown); returns what to call after each step.

        The stage shown is the last one that was begun or went on.
        """
        stage = _Stage(what, total)

        def advance(count: float = 1) -> None:
            stage.done += count
            self._current = stage

        self._current = stage
        if self._thread is not None and _is_terminal(sys.stderr):
            self._draw()
        return advance

    def rename(self, what: str) -> None:
        """Call the current stage something else: its steps are of several kinds."""
        if self._current is not None:
            self._current.what = printable(what)

    def say(self, line: str) -> None:
        """Write a line that stays, above the progress."""
        if not self._is_shown:
            return
        self._clear()
        print(printable(line), file=sys.stderr, flush=True)

    def _run(self) -> None:
        on_terminal = _is_terminal(sys.stderr)
        every_s = REDRAWN_S if on_terminal else _line_s()
        while not self._ended.wait(every_s):
            if on_terminal:
                self._draw()
            elif (stage := self._current) is not None:
                print(_in_words(stage), file=sys.stderr, flush=True)

    def _draw(self) -> None:
        with self._lock:
            stage = self._current
            if stage is None or self._ended.is_set():
                return
            columns = _columns(sys.stderr)
            line = _drawn(stage, columns, UNICODE if "utf" in (sys.stderr.encoding or "").lower() else ASCII)
            _write(sys.stderr, f"\r{line[: columns - 1]}\x1b[K")
            self._is_drawn = True

    def _clear(self) -> None:
        with self._lock:
            if self._is_drawn:
                _write(sys.stderr, "\r\x1b[K")
            self._is_drawn = False


SILENT = Progress(is_shown=False)
"""Progress that nobody sees."""


def counted_by(stage: Stage, what: str, items: Counted[Item]) -> Iterator[Item]:
    """The items one after another, as a stage of the work that begins with the first of them."""
    advance = stage(what, len(items))
    for item in items:
        yield item
        advance()


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _drawn(stage: _Stage, columns: int, ink: tuple[str, str]) -> str:
    """The line on a terminal; `ink` are the characters of the bar."""
    if not stage.total:
        return f"{stage.what}  {stage.time}"
    filled = round(BAR * stage.share)
    bar = f"{ink[0] * filled}{ink[1] * (BAR - filled)}  " if columns >= NARROW else ""
    rest = f"  {bar}{stage.done:.0f}/{stage.total:.0f}  {stage.time}"
    room = max(0, columns - 1 - len(rest))
    what = stage.what if len(stage.what) <= room else f"{stage.what[: max(0, room - 1)]}…"
    return what + rest


def _in_words(stage: _Stage) -> str:
    """The line where there is no terminal."""
    if not stage.total:
        return f"{stage.what}: {stage.time} so far"
    left = "" if stage.left_s is None else f", about {clock(stage.left_s)} left"
    return f"{stage.what}: {stage.done:.0f} of {stage.total:.0f}{left}"


def _is_terminal(file: TextIO) -> bool:
    return file.isatty() and os.environ.get("TERM") != "dumb"


def _columns(file: TextIO) -> int:
    try:
        return os.get_terminal_size(file.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _line_s() -> float:
    try:
        return max(0.1, float(os.environ.get("EDGE_PROGRESS_S", LINE_S)))
    except ValueError:
        return LINE_S


def _write(file: TextIO, text: str) -> None:
    """Write a text whose escape sequences are the program's own."""
    (file.write_as_it_is if isinstance(file, Output) else file.write)(text)
    file.flush()
