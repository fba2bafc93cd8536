"""All sockets of a station in one context, and the thread that guards them."""

import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import zmq

from edge.channel.access_control import Doorkeeper
from edge.channel.control_socket import ControlSocket
from edge.channel.endpoints import CONTROL, VIEWERS, neighbour_endpoint
from edge.channel.limits import PAUSE_S
from edge.channel.publisher import Publisher, check_endpoint
from edge.channel.sockets import IO_THREADS, patiently
from edge.errors import ChannelError
from edge.security.keystore import KeyStore

SWITCH_S = 0.0005
"""Python's switch interval in the station, seconds: a tenth of the default, so that its threads wait less."""

_LONGEST_S = 0.5
_LEAVES_S = 1.0


class Channel:
    """The verdict, control and viewer sockets of one station, with their access control."""

    def __init__(
        self,
        station: str,
        verdicts: str,
        control: str | None = None,
        viewers: str | None = None,
        keys: Path | None = None,
        allow_insecure: bool = False,
        say: Callable[[str], None] = lambda line: None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Control and viewers bind the ports next to `verdicts` unless they are given. `keys` is the folder of
        edge-keys: only its clients are admitted. `say` is called with log lines about clients that were refused or
        cut; `tell`, or else `say`, with clients that may connect from now on.

        Raises ChannelError or KeyFileError, and binds nothing, if an endpoint is invalid, stays in use for some
        seconds, or is open to the network without keys.
        """
        control = control or neighbour_endpoint(verdicts, CONTROL)
        viewers = viewers or neighbour_endpoint(verdicts, VIEWERS)
        for endpoint in (verdicts, control, viewers):
            check_endpoint(endpoint, allow_insecure, has_keys=keys is not None)
        if len({verdicts, control, viewers}) < 3:
            raise ChannelError(
                f"{verdicts}, {control} and {viewers}: verdicts, control and viewers each need their own"
            )
        say_later, tell_later = partial(self._later, say), partial(self._later, tell or say)
        self._lines: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()  # from the guard's thread to the loop
        store = None if keys is None else KeyStore(keys)

        def bind() -> None:
            with ExitStack() as undo:
                context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(IO_THREADS)
                undo.callback(context.term)
                self.doorkeeper = Doorkeeper(context, store, say_later, tell_later)
                undo.callback(self.doorkeeper.close)
                self.publisher = Publisher(context, station, verdicts, viewers, self.doorkeeper)
                undo.callback(self.publisher.close)
                self.control = ControlSocket(context, control, self.doorkeeper)
                undo.callback(self.control.close)
                self._closing = undo.pop_all()

        patiently(bind, say)
        sys.setswitchinterval(SWITCH_S)
        self._is_over = threading.Event()
        self._failure: Exception | None = None
        self._guard = threading.Thread(target=self._watch, name="edge-channel", daemon=True)
        self._guard.start()

    def serve(self) -> None:
        """Log what the guard noticed; call it in each turn of the station's loop. Never blocks. Raises its errors."""
        self.doorkeeper.connections.turned_ns = time.monotonic_ns()
        self._log_lines()
        if failure := self._failure or self.publisher.failure:
            raise failure

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when a request arrives."""
        return [self.control.fileno()]

    @property
    def acted(self) -> Mapping[str, int]:
        """How often each limit was enforced, by its name."""
        return self.doorkeeper.acted

    def close(self) -> None:
        """Send what is queued, for at most half a second, and free the ports."""
        self._is_over.set()
        self._guard.join(_LEAVES_S)
        self._log_lines()
        self._closing.close()

    def _log_lines(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._lines.get_nowait()()

    def _later(self, say: Callable[[str], None], line: str) -> None:
        self._lines.put(partial(say, line))

    def _watch(self) -> None:
        """The guard thread: admit and cut clients, also while the station's loop is blocked inside ZeroMQ."""
        poll = select.poll()
        for fd in self.doorkeeper.fds:
            poll.register(fd, select.POLLIN)
        try:
            while not self._is_over.is_set():
                poll.poll(max(0, int(min(self.doorkeeper.due_in_s, _LONGEST_S) * 1000)))
                self.doorkeeper.serve()
                time.sleep(PAUSE_S)
        except Exception as error:  # a station must not run without its guard: `serve` raises the error
            self._failure = error
