"""A child process of the station: a socket, detection of its end, and restarts with back-off."""

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.station.process.message_socket import MessageSocket, pair
from edge.station.process.messages import Stop
from edge.terminal.logs import Logging, chosen_logging, lines_through, start_logging
from edge.terminal.output import Display

log = logging.getLogger("edge.station.process")

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
KILL_PATIENCE_S = 1.0
STABLE_S = 10.0
"""A child that ran this long is restarted without delay."""

MOST_LINES = 100
"""Lines of a child's log that may wait for the reader of standard error."""

LINES_PATIENCE_S = 0.2
"""Longest time for which an ending child waits until its last lines are read."""

_spawn = multiprocessing.get_context("spawn")


class Child:
    """Owns one process at a time. `arguments()` is called at each start, so that a new child resumes correctly."""

    def __init__(
        self,
        name: str,
        work: Callable[..., None],
        arguments: Callable[[], tuple[Any, ...]],
        longest_backoff_s: float = LONGEST_BACKOFF_S,
        station: str | None = None,
        niceness: int = 0,
    ) -> None:
        """The process starts with `start`. Back-off doubles from FIRST_BACKOFF_S to `longest_backoff_s`. `station` is
        named in log lines; None if several stations share the process. `niceness` is added to that of this process.
        """
        self.name = name
        self.station = station
        self._niceness = niceness
        self.restarts = -1
        self.connection: MessageSocket | None = None
        self._work, self._arguments = work, arguments
        self._process: Any = None
        self._started = 0.0
        self._backoff_s = 0.0
        self._longest_backoff_s = longest_backoff_s
        self._due = 0.0
        self._could_not_start = False

    @property
    def is_running(self) -> bool:
        """True from `start` until `kill` or `stop`."""
        return self.connection is not None

    @property
    def due_in_s(self) -> float:
        """Seconds until `start` may be called again; 0 if it may be called now."""
        return max(0.0, self._due - time.monotonic())

    @property
    def lived_s(self) -> float:
        """Seconds since the process was started; 0 if none runs."""
        return time.monotonic() - self._started if self.is_running else 0.0

    def start(self) -> None:
        """Start a process. It ignores SIGINT from the start: the supervisor handles Ctrl-C.

        If the system cannot create a process, the start counts as failed, and the next one is due after the back-off.
        """
        self._log_end()
        self.restarts += 1
        self._started = time.monotonic()
        try:
            self._start()
        except OSError as error:  # no descriptors, no processes, no memory
            if not self._could_not_start:
                log.warning("%s: not started: %s", self.name, error, extra={"station": self.station})
            self._could_not_start = True
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            self._set_back()

    def _start(self) -> None:
        _leave_removed_folder()
        self.connection, theirs = pair()
        process = _spawn.Process(
            target=_run,
            args=(self._work, theirs, self._logging(), self._niceness, *self._arguments()),
            name=self.name,
            daemon=True,
        )
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the new process
        try:
            with _no_main_module():
                process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            theirs.close()
        self._process, self._could_not_start = process, False
        self._log("process %d started, start %d", process.pid, self.restarts + 1)

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message. A message to a child that just died is lost; the next `receive` reports the death."""
        if self.connection is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.connection.send(message)

    def receive(self) -> Any | None:
        """The next message, None if there is none. Raises EOFError if the child is gone."""
        if self.connection is None:
            return None
        try:
            return self.connection.receive_now()
        except (ConnectionResetError, OSError) as error:
            raise EOFError from error

    def kill(self) -> None:
        """Kill the process, if it still runs, and set the time of the next start. Never waits: a process blocked in a
        driver ends when the driver returns.
        """
        if self.connection is None:
            return
        self._process.kill()
        self.connection.close()
        self.connection = None
        self._set_back()

    def reap(self) -> bool:
        """Collect the exit status of a killed process, so that the system forgets it. Whether it has ended."""
        if self._process is not None and self._process.exitcode is None:
            return False
        self._log_end()
        return True

    def _logging(self) -> Logging | None:
        chosen = chosen_logging()
        return None if chosen is None else chosen._replace(station=self.station)

    def _log_end(self) -> None:
        """Log how the last process ended. It may have ended by itself before it was killed."""
        process, self._process = self._process, None
        if process is not None:
            status = "not yet ended" if process.exitcode is None else f"exit status {process.exitcode}"
            self._log("process %d: %s", process.pid, status)

    def _log(self, message: str, *values: object) -> None:
        log.debug(f"{self.name}: {message}", *values, extra={"station": self.station})

    def _set_back(self) -> None:
        lived_s = time.monotonic() - self._started
        self._backoff_s = (
            0.0 if lived_s > STABLE_S else min(self._longest_backoff_s, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        )
        self._due = time.monotonic() + self._backoff_s * random.uniform(0.8, 1.2)  # desynchronises stations

    def stop(self, patience_s: float) -> None:
        """Send Stop, and kill the process if it still runs after `patience_s` seconds."""
        if self.connection is None:
            self._log_end()
            return
        self.send(Stop())
        process = self._process
        process.join(patience_s)
        self.kill()
        process.join(KILL_PATIENCE_S)
        self._log_end()


def messages(child: Child, most: int | None = None) -> Iterator[Any]:
    """The messages that have come, at most `most`. Raises EOFError if the child is gone."""
    while most != 0 and (message := child.receive()) is not None:
        yield message
        most = None if most is None else most - 1


def _leave_removed_folder() -> None:
    """Leave a deleted working directory: Python needs the directory's name to start a process."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """While the context is open, spawned processes do not import this process's main module with all its flags, which
    saves 40 ms of CPU time and 2 MiB per child.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(
    work: Callable[..., None], connection: MessageSocket, logging_: Logging | None, niceness: int, *arguments: Any
) -> None:
    """Entry point of every child: SIGINT is left to the supervisor, standard output and log to the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # if it is not inherited
    os.nice(niceness)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):  # with /proc, ps and top show the child's name
        Path("/proc/self/comm").write_text(multiprocessing.current_process().name[:15])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with _lines(logging_), contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work(connection, *arguments)


@contextlib.contextmanager
def _lines(chosen: Logging | None) -> Iterator[None]:
    """While the context is open, the child writes its log lines in the form of the command."""
    if chosen is None:
        yield
        return
    start_logging(chosen)
    display = Display(2, MOST_LINES)
    try:
        with lines_through(display.show):
            log.debug("%s: the child runs", multiprocessing.current_process().name)
            yield
    finally:
        display.close(LINES_PATIENCE_S)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
