"""The controller's side of the channel's security: its key file, its sockets, and the reason of a refusal.

A controller imports this module, which needs only the standard library and pyzmq.
"""

import errno
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import zmq

from edge.errors import KeyFileError
from edge.security.certificate import Certificate, Pair, fingerprint, spoken

RETRY_S = 2.0
"""ZeroMQ does not reconnect after a refusal; HandshakeWatch does, so that a key added later is admitted."""

_MOST_EVENTS = 200
_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


@dataclass(frozen=True)
class ClientKeys:
    """A controller's own key pair, and the public key of the one station that it trusts."""

    own: Pair
    station: bytes


def read_client_keys(path: Path) -> ClientKeys:
    """Read a file of `edge-keys export`. Raises KeyFileError if it is another file, or readable by other users."""
    certificate = Certificate.read(path)
    if certificate.server is None:
        raise KeyFileError(
            f"{path} holds no key of a station; edge-keys export writes the file that a controller needs"
        )
    return ClientKeys(certificate.pair(path), certificate.server)


def secure(socket: "zmq.Socket[bytes]", keys: ClientKeys) -> None:
    """Encrypt a socket's connections, and accept only the station of these keys. Call it before the socket connects."""
    socket.set(zmq.CURVE_PUBLICKEY, keys.own.public)
    socket.set(zmq.CURVE_SECRETKEY, keys.own.secret)
    socket.set(zmq.CURVE_SERVERKEY, keys.station)


class HandshakeWatch:
    """Reports why a station does not admit a connecting socket, and reconnects it."""

    def __init__(self, socket: "zmq.Socket[bytes]", endpoint: str, keys: ClientKeys | None) -> None:
        """Create it before `socket` connects to `endpoint`; `keys` are those passed to `secure`."""
        self._socket, self._endpoint, self._keys = socket, endpoint, keys
        address = f"inproc://handshakes-{id(self)}"
        socket.monitor(address, _WATCHED)
        self._events = socket.context.socket(zmq.PAIR)
        self._events.set(zmq.LINGER, 0)
        self._events.set(zmq.RCVHWM, 0)  # with a limit, unread events would block the context's own thread
        self._events.connect(address)
        self._said: set[str] = set()
        self._retry_ns: int | None = None

    def failures(self) -> Iterator[str]:
        """One line per kind of handshake failure since the last success. Call it repeatedly; it also reconnects."""
        for _ in range(_MOST_EVENTS):
            if not self._events.poll(0):
                break
            event, value = struct.unpack("=hi", self._events.recv_multipart()[0])
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._said.clear()
                continue
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._retry_ns = self._retry_ns or time.monotonic_ns() + int(RETRY_S * 1e9)
            line = self._line(event, value)
            if line not in self._said:
                self._said.add(line)
                yield line
        if self._retry_ns is not None and time.monotonic_ns() >= self._retry_ns:
            self._retry_ns = None
            with suppress(zmq.ZMQError):  # ENOENT: ZeroMQ has dropped the endpoint itself
                self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)

    def _line(self, event: int, value: int) -> str:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and self._keys is not None:
            key = spoken(fingerprint(self._keys.own.public))
            return f"{self._endpoint} refuses this key ({value}): unknown there, or revoked; its fingerprint is {key}"
        if self._keys is None:
            how = "as a station that asks for keys does"
            return f"{self._endpoint} broke off the handshake, {how}; edge-keys export writes the file"
        how = "" if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL else f" ({errno.errorcode.get(value, value)})"
        return (
            f"{self._endpoint} broke off the handshake{how}: it is not the station of this key file, or was given a "
            "new key since (edge-keys rotate), or runs without keys"
        )

    def close(self) -> None:
        """Stop watching. Call it before the socket and its context are closed."""
        self._socket.disable_monitor()
        self._events.close()
