"""All sockets of a station, in one context."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import zmq

from edge.channel.control_socket import ControlSocket
from edge.channel.doorkeeper import Doorkeeper
from edge.channel.endpoints import CONTROL, VIEWERS, beside
from edge.channel.keystore import KeyStore
from edge.channel.publisher import Publisher, check_endpoint
from edge.errors import ChannelError


class Channel:
    """Verdicts, control and viewers of one station, and the doorkeeper before them if there are keys."""

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
        its clients are let in, and `say` is told who was not.

        Raises ChannelError or KeyFileError, and binds nothing, if an endpoint is none, is in use, or is open to the
        network without keys.
        """
        control, viewers = control or beside(verdicts, CONTROL), viewers or beside(verdicts, VIEWERS)
        for endpoint in (verdicts, control, viewers):
            check_endpoint(endpoint, allow_insecure, has_keys=keys is not None)
        if len({verdicts, control, viewers}) < 3:
            raise ChannelError(
                f"{verdicts}, {control} and {viewers}: verdicts, control and viewers each need their own"
            )
        with ExitStack() as undo:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(context.term)
            self.doorkeeper: Doorkeeper | None = None
            if keys is not None:
                self.doorkeeper = Doorkeeper(context, KeyStore(keys), say)
                undo.callback(self.doorkeeper.close)
            self.publisher = Publisher(context, station, verdicts, viewers, self.doorkeeper)
            undo.callback(self.publisher.close)
            self.control = ControlSocket(context, control, self.doorkeeper)
            undo.callback(self.control.close)
            self._closing = undo.pop_all()

    def serve(self) -> None:
        """Let in who may come; to be called in each turn of the station's loop. Never blocks."""
        if self.doorkeeper is not None:
            self.doorkeeper.serve()

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when somebody knocks or asks."""
        return [self.control.fileno(), *(self.doorkeeper.fds if self.doorkeeper else ())]

    @property
    def due_in_s(self) -> float:
        """When `serve` is to be called even if nobody knocks."""
        return self.doorkeeper.due_in_s if self.doorkeeper else float("inf")

    def close(self) -> None:
        """Send what is queued, for half a second at most, and free the ports."""
        self._closing.close()
