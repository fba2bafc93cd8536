"""The station's side of the verdict channel: an XPUB socket that knows who listens."""

import ipaddress
import re
from urllib.parse import urlsplit

import zmq

from edge.channel.doorkeeper import Doorkeeper
from edge.errors import ChannelError
from edge.verdict import Heartbeat, StateChange, Verdict, topic

_HIGH_WATER = 10_000
"""Messages kept for a subscriber that is slow; those beyond are lost to it alone, which it sees as a gap."""

_LINGER_MS = 500


class Publisher:
    """Binds the verdict endpoint. Sending never blocks."""

    def __init__(
        self, endpoint: str, station: str, allow_insecure: bool = False, doorkeeper: Doorkeeper | None = None
    ) -> None:
        """Raises ChannelError, in one line, if the endpoint is in use, is no endpoint, or is open to the network.

        With a doorkeeper only its clients are let in, and it, not this, is to end its context.
        """
        check_endpoint(endpoint, allow_insecure, has_keys=doorkeeper is not None)
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", station):
            raise ChannelError(f"station name {station!r}: use letters, digits, dot, dash and underscore")
        self._topics = {
            Verdict: topic(station, "verdict"),
            Heartbeat: topic(station, "heartbeat"),
            StateChange: topic(station, "state"),
        }
        self._subscribed: dict[bytes, int] = {}
        self._doorkeeper = doorkeeper
        self._context = zmq.Context() if doorkeeper is None else doorkeeper.context
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.set(zmq.XPUB_VERBOSER, 1)
        self._socket.set(zmq.SNDHWM, _HIGH_WATER)
        self._socket.set(zmq.LINGER, _LINGER_MS)
        if doorkeeper is not None:
            doorkeeper.guard(self._socket)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            if error.errno == zmq.EADDRINUSE:
                remedy = "another station runs there; stop it, or choose another port with --bind"
                raise ChannelError(f"{endpoint} is in use: {remedy}") from error
            raise ChannelError(
                f"cannot bind {endpoint}: {error.strerror}; an endpoint looks like tcp://127.0.0.1:5570"
            ) from error
        last = self._socket.get(zmq.LAST_ENDPOINT)
        self.endpoint = last.decode().rstrip("\0") if isinstance(last, bytes) else str(last)

    def send(self, message: Verdict | Heartbeat | StateChange) -> None:
        """Publish one message as two frames, topic and JSON."""
        self._socket.send_multipart([self._topics[type(message)], message.model_dump_json().encode()], zmq.NOBLOCK)

    def subscribers(self) -> int:
        """How many subscriptions match verdicts now. A listener that subscribes twice counts twice."""
        while self._socket.poll(0):
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            if self._doorkeeper is not None:
                self._doorkeeper.met(frame)
            note = frame.bytes
            if note[:1] in (b"\0", b"\1"):
                change = 1 if note[:1] == b"\1" else -1
                self._subscribed[note[1:]] = max(0, self._subscribed.get(note[1:], 0) + change)
        verdicts = self._topics[Verdict]
        return sum(count for prefix, count in self._subscribed.items() if verdicts.startswith(prefix))

    def close(self) -> None:
        """Send what is queued, for half a second at most, and free the port."""
        self._socket.close()
        if self._doorkeeper is None:
            self._context.term()


def check_endpoint(endpoint: str, allow_insecure: bool, has_keys: bool = False) -> None:
    """Raise ChannelError unless the endpoint is on loopback, or has keys, or the person meant the open network."""
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname or "", url.port
    except ValueError:
        url, host = urlsplit(""), ""
    if url.scheme == "ipc":
        return
    if url.scheme != "tcp" or not host:
        raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570")
    if not (_is_loopback(host) or has_keys or allow_insecure):
        raise ChannelError(
            f"{endpoint} can be reached from the network and its verdicts are neither encrypted nor authenticated; "
            "make keys with edge-keys init, bind 127.0.0.1, or say --insecure if that is meant"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
