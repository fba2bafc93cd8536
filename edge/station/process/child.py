"""A child process of the station: a pipe, an end that can be seen, and a fresh start with back-off."""

import contextlib
import multiprocessing
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.station.process.messages import Stop

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
KILL_PATIENCE_S = 1.0
STABLE_S = 10.0
"""A child that lived this long is started again without delay."""

_spawn = multiprocessing.get_context("spawn")


class Child:
    """Owns one process at a time. `arguments()` is asked at each start, so that a new child goes on where due."""

    def __init__(
        self,
        name: str,
        work: Callable[..., None],
        arguments: Callable[[], tuple[Any, ...]],
        longest_backoff_s: float = LONGEST_BACKOFF_S,
    ) -> None:
        """Nothing runs before `start`. Back-off doubles from FIRST_BACKOFF_S to `longest_backoff_s`."""
        self.name = name
        self.restarts = -1
        self.connection: Connection | None = None
        self._work, self._arguments = work, arguments
        self._process: Any = None
        self._poll = select.poll()  # Connection.poll makes one at every call
        self._started = 0.0
        self._backoff_s = 0.0
        self._longest_backoff_s = longest_backoff_s
        self._due = 0.0

    @property
    def is_running(self) -> bool:
        """True from `start` until `bury` or `stop`."""
        return self.connection is not None

    @property
    def due_in_s(self) -> float:
        """Seconds until `start` may be called again; 0 if now."""
        return max(0.0, self._due - time.monotonic())

    @property
    def lived_s(self) -> float:
        """Seconds since the process was started; 0 if none runs."""
        return time.monotonic() - self._started if self.is_running else 0.0

    def start(self) -> None:
        """Start a process. It ignores SIGINT from its first moment: Ctrl-C is the supervisor's business.

        Where the machine has no room for one, that is a start that failed: the next one is due with back-off.
        """
        self.restarts += 1
        self._started = time.monotonic()
        try:
            self._start()
        except OSError:  # no descriptors, no processes, no memory
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            self._set_back()

    def _start(self) -> None:
        _leave_removed_folder()
        self.connection, theirs = _spawn.Pipe()
        self._poll = select.poll()
        self._poll.register(self.connection.fileno(), select.POLLIN)
        self._process = _spawn.Process(
            target=_run, args=(self._work, theirs, *self._arguments()), name=self.name, daemon=True
        )
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the new process
        try:
            with _no_main_module():
                self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            theirs.close()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; to a child that just died it is lost, and its end is seen by the next `receive`."""
        if self.connection is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.connection.send(message)

    def receive(self) -> Any | None:
        """Next message if one has come. Raises EOFError if the child is gone."""
        if self.connection is None:
            return None
        try:
            return self.connection.recv() if self._poll.poll(0) else None
        except (ConnectionResetError, OSError) as error:
            raise EOFError from error

    def bury(self) -> None:
        """End what is left of the process and set the time of the next start. Never waits: a process that a driver
        holds in the kernel dies when the driver lets it.
        """
        if self.connection is None:
            return
        self._process.kill()
        self.connection.close()
        self.connection = None
        self._set_back()

    def _set_back(self) -> None:
        lived_s = time.monotonic() - self._started
        self._backoff_s = (
            0.0 if lived_s > STABLE_S else min(self._longest_backoff_s, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        )
        self._due = time.monotonic() + self._backoff_s * random.uniform(0.8, 1.2)  # stations of one switch, not in step

    def stop(self, patience_s: float) -> None:
        """Ask the process to leave, and kill it if it has not after `patience_s` seconds."""
        if self.connection is None:
            return
        self.send(Stop())
        process = self._process
        process.join(patience_s)
        self.bury()
        process.join(KILL_PATIENCE_S)


def _leave_removed_folder() -> None:
    """Python asks for the working directory to start a process; one that somebody removed meanwhile has no name."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """A process that is spawned meanwhile does not import the command that this one is, with all its flags: 40 ms of
    processor and 2 MiB for each child.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(work: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    """First lines of every child: Ctrl-C is the supervisor's, standard output the command's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    os.dup2(2, 1)
    with contextlib.suppress(OSError):  # where there is /proc, ps and top show the child by its name
        Path("/proc/self/comm").write_text(multiprocessing.current_process().name[:15])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work(connection, *arguments)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
