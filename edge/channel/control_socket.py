"""The station's side of the control socket: a ROUTER that no message of a peer can crash, block or fill."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import zmq

from edge.channel.access_control import Doorkeeper
from edge.channel.control_messages import (
    Refused,
    Reply,
    Request,
    error_reply,
    parse_request,
)
from edge.channel.limits import (
    ANSWERS_WAITING,
    CONTROL_ALLOWANCE,
    CONTROL_ALLOWANCE_WITHOUT_KEYS,
    DROPPED_AT_ONCE,
    LARGEST_REQUEST,
    MOST_FRAMES,
    MOST_REFUSED,
    REQUESTS,
    REQUESTS_WAITING,
    SERVED,
)
from edge.channel.pace import Paces
from edge.channel.sockets import CONTROL_THREAD, bind, take_thread
from edge.security.roles import ANYBODY, Role

_LINGER_MS = 500
_ALL = "all"


class Peer(NamedTuple):
    """The route of an answer, and the name of the key that the connection proved; None without encryption."""

    route: tuple[bytes, ...]
    user: str | None
    role: Role = Role.CONTROL

    @property
    def id(self) -> "str | tuple[bytes, ...]":
        """Identity for rate limits: the key, else the connection."""
        return self.user or self.route[:1]


class ControlSocket:
    """Binds the control endpoint. Receiving and answering never block."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, doorkeeper: Doorkeeper | None = None
    ) -> None:
        """With a doorkeeper only its clients are admitted, within limits. Raises ChannelError."""
        self.malformed = 0
        self._drops = False  # while the rest of a message with too many frames is dropped
        self._doorkeeper = doorkeeper
        self._refused, self._second = 0, 0
        self._paces, self._served = Paces(REQUESTS), Paces(SERVED)
        self._socket = context.socket(zmq.ROUTER)
        take_thread(self._socket, CONTROL_THREAD)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)  # an answer that cannot be sent raises an error
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_REQUEST)
        self._socket.set(zmq.RCVHWM, REQUESTS_WAITING)
        self._socket.set(zmq.SNDHWM, ANSWERS_WAITING)
        self._socket.set(zmq.LINGER, _LINGER_MS)
        if doorkeeper is not None:
            allowance = CONTROL_ALLOWANCE if doorkeeper.has_keys else CONTROL_ALLOWANCE_WITHOUT_KEYS
            doorkeeper.guard(self._socket, allowance)
        self.endpoint = bind(self._socket, endpoint, "--control")

    def fileno(self) -> int:
        """Descriptor that becomes readable when a message may have arrived; `has_more` tells whether it has."""
        return int(self._socket.get(zmq.FD))

    @property
    def has_more(self) -> bool:
        """Whether a message waits that may be read now, within the rate limit."""
        return (self._drops or self._served.wait_s(_ALL) == 0) and self._has_message

    @property
    def due_in_s(self) -> float:
        """Seconds until a waiting message may be read, although no descriptor becomes readable."""
        wait_s = self._served.wait_s(_ALL)
        return wait_s if wait_s > 0 and self._has_message else float("inf")

    @property
    def _has_message(self) -> bool:
        return bool(int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN)

    def requests(self, most: int) -> Iterator[tuple[Peer, Request]]:
        """The valid requests among the next `most` messages; invalid ones are counted, and answered with the error."""
        if not self.has_more:  # cheaper than the exception of an empty receive
            return
        for _ in range(most):
            if self._served.wait_s(_ALL) > 0:
                return
            frames = self._receive()
            if not frames:
                return
            self._served.admits(_ALL)
            guest = ANYBODY if self._doorkeeper is None else self._doorkeeper.met(frames[-1])
            if guest is None:
                continue  # the key was revoked
            head = 2 if len(frames) > 2 and not len(frames[1]) else 1  # a REQ socket sends an empty delimiter first
            peer = Peer(tuple(frame.bytes for frame in frames[:head]), *guest)
            if not self._paces.admits(peer.id):  # before parsing, so that a flood costs little
                self.limit(peer, "", "requests", f"more than {REQUESTS.a_second:g} requests a second; ask again")
                continue
            try:
                if len(frames) != head + 1:
                    raise ValueError(f"{len(frames) - head} frames; a request is one")
                request = parse_request(frames[-1].bytes)
            except ValueError as error:
                self.malformed += 1
                if self._may_refuse():
                    self.reply(peer, error_reply(error))
                continue
            yield peer, request

    def _receive(self) -> list[zmq.Frame]:
        """The frames of the next message; none if there is none, or while an oversized one is being dropped."""
        frames: list[zmq.Frame] = []
        with suppress(zmq.Again):
            for _ in range(DROPPED_AT_ONCE if self._drops else 0):
                if not self._socket.recv(zmq.NOBLOCK, copy=False).more:
                    self._drops = False
                    break
            while not self._drops:
                frames.append(self._socket.recv(zmq.NOBLOCK, copy=False))
                if not frames[-1].more:
                    return frames
                if len(frames) == MOST_FRAMES:
                    self._drops = True
                    if self._doorkeeper is not None:
                        self._doorkeeper.exceed(frames[-1], "message", f"a message of more than {MOST_FRAMES} frames")
        return []

    def limit(self, peer: Peer, request: str, limit: str, why: str) -> None:
        """Refuse a request that exceeds a limit or is not allowed for the peer's role: answer, count and log it."""
        if self._may_refuse():
            self.reply(peer, Refused(request=request, why=why))
        if self._doorkeeper is not None:
            what = f"{request}: {why}" if request else why
            self._doorkeeper.refuse(limit, f"refused {peer.user or 'a peer without a key'}: {what}")

    def _may_refuse(self) -> bool:
        """Whether a refusal is answered; if there were too many in this second, it is only counted."""
        if (second := time.monotonic_ns() // 1_000_000_000) != self._second:
            self._refused, self._second = 0, second
        self._refused += 1
        return self._refused <= MOST_REFUSED

    def reply(self, peer: Peer, reply: Reply) -> None:
        """Send an answer; it is dropped if the peer is gone or does not read."""
        self.send(peer, reply.model_dump_json().encode())

    def refuse(self, peer: Peer, request: Request, why: str) -> None:
        """Answer that the request is refused."""
        self.reply(peer, Refused(request=request.type, why=why))

    def send(self, peer: Peer, payload: bytes) -> bool:
        """Send a JSON-encoded answer. False if the peer has not read earlier answers."""
        try:
            self._socket.send_multipart([*peer.route, payload], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:  # the peer is gone
                raise
        return True

    def close(self) -> None:
        """Close the socket; queued messages are sent for at most half a second when the context is terminated."""
        self._socket.close()
