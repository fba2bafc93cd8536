"""The name of the station that answers at an endpoint, for a peer that waits there for a station of another name."""

import time
from contextlib import suppress

import zmq

from edge.channel.client_security import ClientKeys, secure
from edge.channel.control_messages import AskSnapshot, Snapshot, parse_reply
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.limits import LARGEST_MESSAGE
from edge.errors import ChannelError

ASK_AGAIN_NS = 500_000_000
"""Interval between two questions without an answer."""


def other_station(endpoint: str, found: str, wanted: str) -> str | None:
    """One line if the station that answers at `endpoint` is not the `wanted` one; None if it is."""
    if found == wanted:
        return None
    return (
        f"the station at {endpoint} is called {found!r}, not {wanted!r}: its verdicts do not count here; "
        f"give --station {found} if it is the one that is meant"
    )


class NameInquiry:
    """Asks the station beside a verdict endpoint for its name. Any key may ask; no controller is announced."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", verdicts: str, station: str, keys: ClientKeys | None
    ) -> None:
        """`station` is the name that is waited for at the verdict endpoint `verdicts`, with these keys."""
        self._endpoint, self._station = verdicts, station
        self._due_ns = 0
        self._socket: zmq.Socket[bytes] | None = None
        with suppress(ChannelError, zmq.ZMQError):  # no control endpoint is known: nobody can be asked
            control = neighbour_endpoint(verdicts, CONTROL)
            self._socket = context.socket(zmq.DEALER)
            self._socket.set(zmq.LINGER, 0)
            self._socket.set(zmq.IMMEDIATE, 1)
            self._socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
            if keys is not None:
                secure(self._socket, keys)
            self._socket.connect(control)

    def other(self) -> str | None:
        """The line of `other_station`, once; None before there is an answer. Never waits: call it repeatedly."""
        if self._socket is None:
            return None
        with suppress(zmq.Again):
            if time.monotonic_ns() >= self._due_ns:
                self._socket.send(AskSnapshot().model_dump_json().encode(), zmq.NOBLOCK)
                self._due_ns = time.monotonic_ns() + ASK_AGAIN_NS
            with suppress(ValueError, OverflowError):
                reply = parse_reply(self._socket.recv(zmq.NOBLOCK))
                if isinstance(reply, Snapshot):
                    self.close()
                    return other_station(self._endpoint, reply.heartbeat.station, self._station)
        return None

    def close(self) -> None:
        """Ask no more. Safe to call twice."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
