"""All sockets of a station, in one context, and the thread that guards them."""

import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
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
"""How long one thread of the station keeps another one from its turn: a tenth of what Python takes by itself."""

_LONGEST_S = 0.5
_LEAVES_S = 1.0


class Channel:
    """Verdicts, control and viewers of one station, and the doorkeeper before them."""

    def __init__(
        self,
        station: str,
        verdicts: str,
        control: str | None = None,
        viewers: str | None = None,
        keys: Path | None = None,
        allow_insecure: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Control and viewers are beside the verdicts unless they are given. `keys` is the folder of edge-keys: only
        its clients are let in, and `say` is told who was not, and who was cut for a limit.

        Raises ChannelError or KeyFileError, and binds nothing, if an endpoint is none, stays in use for some seconds,
        or is open to the network without keys.
        """
        control = control or neighbour_endpoint(verdicts, CONTROL)
        viewers = viewers or neighbour_endpoint(verdicts, VIEWERS)
        for endpoint in (verdicts, control, viewers):
            check_endpoint(endpoint, allow_insecure, has_keys=keys is not None)
        if len({verdicts, control, viewers}) < 3:
            raise ChannelError(
                f"{verdicts}, {control} and {viewers}: verdicts, control and viewers each need their own"
            )
        self._say = say
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()  # from the guard's thread to the station's loop
        store = None if keys is None else KeyStore(keys)

        def bind() -> None:
            with ExitStack() as undo:
                context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(IO_THREADS)
                undo.callback(context.term)
                self.doorkeeper = Doorkeeper(context, store, self._lines.put)
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
        """Say what the guard noticed; to be called in each turn of the station's loop. Never blocks."""
        self.doorkeeper.connections.turned_ns = time.monotonic_ns()
        self._tell()
        if failure := self._failure or self.publisher.failure:
            raise failure

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when somebody asks."""
        return [self.control.fileno()]

    @property
    def acted(self) -> Mapping[str, int]:
        """How often each limit acted, by its name."""
        return self.doorkeeper.acted

    def close(self) -> None:
        """Send what is queued, for half a second at most, and free the ports."""
        self._is_over.set()
        self._guard.join(_LEAVES_S)
        self._tell()
        self._closing.close()

    def _tell(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._say(self._lines.get_nowait())

    def _watch(self) -> None:
        """Let in who may come and cut who goes too far, also while the station's loop is held up inside ZeroMQ."""
        poll = select.poll()
        for fd in self.doorkeeper.fds:
            poll.register(fd, select.POLLIN)
        try:
            while not self._is_over.is_set():
                poll.poll(max(0, int(min(self.doorkeeper.due_in_s, _LONGEST_S) * 1000)))
                self.doorkeeper.serve()
                time.sleep(PAUSE_S)
        except Exception as error:  # a station without its guard must not go on: `serve` raises it
            self._failure = error
