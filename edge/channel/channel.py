"""All sockets of a station, in one context."""

from collections.abc import Callable
from contextlib import ExitStack

import zmq

from edge.channel.control_socket import ControlSocket
from edge.channel.endpoints import CONTROL, VIEWERS, beside
from edge.channel.publisher import Publisher, check_endpoint


class Channel:
    """Verdicts, control and viewers of one station."""

    def __init__(
        self,
        station: str,
        verdicts: str,
        control: str | None = None,
        viewers: str | None = None,
        allow_insecure: bool = False,
    ) -> None:
        """Control and viewers are beside the verdicts unless they are given.

        Raises ChannelError, and binds nothing, if an endpoint is none, is in use, or is open to the network.
        """
        control, viewers = control or beside(verdicts, CONTROL), viewers or beside(verdicts, VIEWERS)
        for endpoint in (verdicts, control, viewers):
            check_endpoint(endpoint, allow_insecure)
        with ExitStack() as undo:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(context.term)
            guard: Callable[[zmq.Socket[bytes]], None] = lambda socket: None  # noqa: E731
            self.publisher = Publisher(context, station, verdicts, viewers, guard)
            undo.callback(self.publisher.close)
            self.control = ControlSocket(context, control, guard)
            undo.callback(self.control.close)
            self._closing = undo.pop_all()

    def met(self, frame: zmq.Frame) -> None:
        """A frame came from a peer."""

    def close(self) -> None:
        """Send what is queued, for half a second at most, and free the ports."""
        self._closing.close()
