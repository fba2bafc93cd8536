"""The station's side of the control socket: a ROUTER that nothing a peer sends can crash, block or fill."""

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import zmq

from edge.channel.control import (
    LARGEST_REQUEST,
    MOST_REPLAYED,
    Refused,
    Reply,
    Request,
    parse_request,
    what_is_wrong,
)
from edge.channel.doorkeeper import Doorkeeper
from edge.channel.sockets import bind

_RECEIVED_HIGH_WATER = 1000
_SENT_HIGH_WATER = 2 * MOST_REPLAYED
_LINGER_MS = 500

MOST_EXPLAINED = 50
"""Messages of a second, whoever sent them, that are told why they are no request; more are only counted: a flood buys
no work.
"""


class Peer(NamedTuple):
    """Where an answer goes, and the name of the key that the connection proved; None without encryption."""

    route: tuple[bytes, ...]
    user: str | None


class ControlSocket:
    """Binds the control endpoint. Receiving and answering never block."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, doorkeeper: Doorkeeper | None = None
    ) -> None:
        """With a doorkeeper only its clients are let in. Raises ChannelError."""
        self.malformed = 0
        self._doorkeeper = doorkeeper
        self._explained, self._second = 0, 0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_REQUEST)
        self._socket.set(zmq.RCVHWM, _RECEIVED_HIGH_WATER)
        self._socket.set(zmq.SNDHWM, _SENT_HIGH_WATER)
        self._socket.set(zmq.LINGER, _LINGER_MS)
        if doorkeeper is not None:
            doorkeeper.guard(self._socket)
        self.endpoint = bind(self._socket, endpoint, "--control")

    def fileno(self) -> int:
        """Becomes readable when something may have come; then `has_more` says whether it has."""
        return int(self._socket.get(zmq.FD))

    @property
    def has_more(self) -> bool:
        """Whether a message waits."""
        return bool(int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN)

    def requests(self, most: int) -> Iterator[tuple[Peer, Request]]:
        """Of the next `most` messages those that are requests; the others are counted, and told what is wrong."""
        if not self.has_more:  # an exception costs more than the question
            return
        for _ in range(most):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            user = None
            if self._doorkeeper is not None and (user := self._doorkeeper.met(frames[-1])) is None:
                continue  # the key was revoked
            head = 2 if len(frames) > 2 and not len(frames[1]) else 1  # a REQ socket puts an empty frame before its own
            peer = Peer(tuple(frame.bytes for frame in frames[:head]), user)
            try:
                if len(frames) != head + 1:
                    raise ValueError(f"{len(frames) - head} frames; a request is one")
                request = parse_request(frames[-1].bytes)
            except ValueError as error:
                self._explain(peer, error)
                continue
            yield peer, request

    def _explain(self, peer: Peer, error: ValueError) -> None:
        """Count what is no request, and answer it with what is wrong, if that was not said too often this second."""
        self.malformed += 1
        if (second := time.monotonic_ns() // 1_000_000_000) != self._second:
            self._explained, self._second = 0, second
        if self._explained < MOST_EXPLAINED:
            self._explained += 1
            self.reply(peer, what_is_wrong(error))

    def reply(self, peer: Peer, reply: Reply) -> None:
        """Send an answer; it is dropped if the peer is gone or reads nothing."""
        self.send(peer, reply.model_dump_json().encode())

    def refuse(self, peer: Peer, request: Request, why: str) -> None:
        """Answer that the request cannot be met."""
        self.reply(peer, Refused(request=request.type, why=why))

    def send(self, peer: Peer, payload: bytes) -> None:
        """As `reply`, of an answer that is JSON already."""
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([*peer.route, payload], zmq.NOBLOCK)

    def close(self) -> None:
        """Send what is queued, for half a second at most, once the context is terminated."""
        self._socket.close()
