"""The station's side of the channel's security: who may connect, who may stay, and why others were refused.

No thread of its own: the station's loop waits for `fds` too and calls `serve` in each turn.
"""

import os
import socket as sockets
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

import zmq

from edge.channel.certificate import fingerprint, from_z85, spoken, to_z85
from edge.channel.keystore import KeyStore
from edge.channel.refusals import Refusals
from edge.errors import KeyFileError

RELOAD_S = 0.5
"""How long a change of the folder of keys goes unnoticed."""

HANDSHAKE_MS = 5_000
"""A peer that has not shown its key by then is disconnected, so that silent ones do not use up descriptors."""

_MOST_PER_TURN = 50
_DOMAIN = b"edge"
_KEY = "X-Public-Key"
_ZAP_FRAMES = 7
_LOCAL = "a process of this machine"
_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


@dataclass
class _Watched:
    """A guarded socket, the events of its connections, and what is known of those that are open."""

    socket: "zmq.Socket[bytes]"
    events: "zmq.Socket[bytes]"
    addresses: dict[int, str] = field(default_factory=dict)  # by descriptor
    failure: tuple[int, int] | None = None  # event and value, till the next event says which descriptor


class Doorkeeper:
    """Admits the clients of a key store to the sockets that it guards, and throws out those whose key is revoked."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", store: KeyStore, say: Callable[[str], None]) -> None:
        """Raises KeyFileError, and leaves nothing behind, if the store cannot be trusted."""
        self.context = context
        self._store, self._say = store, say
        self._stamp = store.stamp()
        self._pair = store.station()
        self._admission = store.admission(self._complain)
        self._refusals = Refusals(say)
        self._connections: dict[tuple[int, int], set[bytes]] = {}  # keys seen, by descriptor and inode
        self._watched: list[_Watched] = []
        self._has_more = self._is_rotated = False
        self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
        self._zap = context.socket(zmq.REP)
        self._zap.set(zmq.LINGER, 0)
        self._zap.bind("inproc://zeromq.zap.01")

    @property
    def refused(self) -> int:
        """How many handshakes failed or were refused."""
        return self._refusals.count

    @property
    def clients(self) -> frozenset[str]:
        """Names of the clients that may connect now."""
        return frozenset(self._admission.admitted.values())

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Let in only clients of the store. To be called before `socket`, of the same context, is bound."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise ZeroMQ admits anyone while nobody answers for the domain
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        address = f"inproc://door-{id(self)}-{len(self._watched)}"
        socket.monitor(address, _WATCHED)
        events = socket.context.socket(zmq.PAIR)
        events.set(zmq.LINGER, 0)
        events.set(zmq.RCVHWM, 0)  # with a limit, unread events would stop the context's own thread, and all sockets
        events.connect(address)
        self._watched.append(_Watched(socket, events))

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when there is something to serve. They signal changes only."""
        return [self._zap.fileno(), *(watched.events.fileno() for watched in self._watched)]

    @property
    def due_in_s(self) -> float:
        """When `serve` is to be called even if no descriptor is readable."""
        return 0.0 if self._has_more else max(0.0, (self._reload_ns - time.monotonic_ns()) / 1e9)

    def serve(self) -> None:
        """Do what is due, a bounded piece of it. Never blocks."""
        if time.monotonic_ns() >= self._reload_ns:
            self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
            self._reload()
            self._sweep()
        answered = sum(1 for _ in map(self._answer, _waiting(self._zap)))
        noted = [self._note(watched) for watched in self._watched]
        self._has_more = _MOST_PER_TURN in (answered, *noted)
        self._refusals.tell()

    def met(self, frame: zmq.Frame) -> str | None:
        """Name of the client that sent this frame, received with `copy=False` from a guarded socket.

        None if its key was revoked meanwhile, and then it is disconnected: what it sent is to be dropped. None also
        for the notes that an XPUB writes itself when a subscriber has gone.
        """
        try:
            key = from_z85(str(frame.get(_KEY)))
            descriptor = int(frame.get(zmq.SRCFD))
        except (zmq.ZMQError, ValueError):
            return None
        name = self._admission.admitted.get(key)
        with suppress(OSError):  # the connection is gone already; what came over it counts
            connection = descriptor, os.fstat(descriptor).st_ino
            self._connections.setdefault(connection, set()).add(key)
            if name is None:
                _cut(*connection)
        return name

    def close(self) -> None:
        """Admit nobody any more. The guarded sockets may be closed before or after."""
        for watched in self._watched:
            if not watched.socket.closed:
                watched.socket.disable_monitor()
            watched.events.close()
        self._watched.clear()
        self._zap.close()

    # -------------------------------------------------------------------------------------------- the key store

    def _reload(self) -> None:
        """Read the store again if it has changed. While it cannot be read, what it said last holds."""
        stamp = self._store.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        before = self._admission
        try:
            self._admission = self._store.admission(self._complain)
            if self._store.station() != self._pair and not self._is_rotated:
                self._is_rotated = True
                self._say("the station's key was changed; this run keeps the one it began with until it is restarted")
        except KeyFileError as error:
            self._complain(error)
        for key in before.admitted.keys() - self._admission.admitted.keys():
            count = sum(key in keys for keys in self._connections.values())
            line = f"{before.admitted[key]} may no longer connect: key {spoken(fingerprint(key))}"
            self._say(f"{line}; connections cut: {count}")
        for key in self._admission.admitted.keys() - before.admitted.keys():
            self._say(f"{self._admission.admitted[key]} may connect: key {spoken(fingerprint(key))}")

    def _complain(self, error: KeyFileError) -> None:
        self._say(str(error))

    def _sweep(self) -> None:
        """Forget the connections that have ended; cut those whose key may no longer connect."""
        self._connections = {c: keys for c, keys in self._connections.items() if _is_open(*c)}
        for connection, keys in self._connections.items():
            if not keys <= self._admission.admitted.keys():
                _cut(*connection)

    # ------------------------------------------------------------------------------------------- who knocks

    def _answer(self, request: list[bytes]) -> None:
        """Answer one question of ZeroMQ's authentication protocol (RFC 27)."""
        name = self._judge(request)
        version, number = b"1.0", request[1] if len(request) > 1 else b""
        if name is None:
            reply = [version, number, b"400", b"refused", b"", b""]
        else:
            reply = [version, number, b"200", b"OK", name.encode(), _property(_KEY, to_z85(request[6]))]
        self._zap.send_multipart(reply, zmq.NOBLOCK)

    def _judge(self, request: list[bytes]) -> str | None:
        """The name of who knocks, or None and a line that says why."""
        if len(request) != _ZAP_FRAMES or request[2] != _DOMAIN or request[5] != b"CURVE":
            self._refusals.note("no question", "a question about admission that is none was refused")
            return None
        address, key = request[3].decode(errors="replace") or _LOCAL, request[6]
        name, digits = self._admission.admitted.get(key), fingerprint(key)
        if digits in self._admission.revoked:
            who = self._admission.revoked[digits]
            self._refusals.note("revoked", f"refused {address}: the key of {who} is revoked")
        elif name is None:
            hint = "no client of this station (edge-keys list, edge-keys add)"
            self._refusals.note("unknown", f"refused {address}: key {spoken(digits)} is {hint}")
        return name

    def _note(self, watched: _Watched) -> int:
        """Read what became of connections; how many events there were."""
        events = [struct.unpack("=hi", frames[0]) for frames in _waiting(watched.events)]
        for index, (event, value) in enumerate(events):
            if event == zmq.EVENT_ACCEPTED:
                gone = (zmq.EVENT_DISCONNECTED, value) in events[index:]
                watched.addresses[value] = "" if gone else _address(value)
            elif event == zmq.EVENT_DISCONNECTED:
                address = watched.addresses.pop(value, "") or "a peer that was gone before its address could be read"
                if watched.failure is not None:
                    self._refusals.note(*_why(*watched.failure, address))
                watched.failure = None
            else:
                watched.failure = event, value
        return len(events)


def _waiting(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """Messages that have come, `_MOST_PER_TURN` at most."""

    def receive() -> list[bytes] | None:
        try:
            return socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    return islice(iter(receive, None), _MOST_PER_TURN)


def _why(event: int, value: int, address: str) -> tuple[str, str]:
    """Kind of a failed handshake, and the line about it."""
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        hint = "it speaks without a key, or no ZeroMQ at all, or was stopped"  # whoever notices first breaks off
        return "left", f"{address} left during the handshake ({os.strerror(value)}): {hint}"
    if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return "plain", f"refused {address}: it speaks without a key; edge-keys export writes the file it needs"
    if value == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        hint = "its key file is of another station, or older than edge-keys rotate"
        return "other station", f"refused {address}: it expects another station's key; {hint}"
    return "broken", f"refused {address}: broken handshake (ZeroMQ's protocol error {value:#x})"


def _address(descriptor: int) -> str:
    """Where a connection comes from, without the port; empty if it is not open any more."""
    try:
        with _connection(descriptor) as connection:
            peer = connection.getpeername()
    except OSError:
        return ""
    return str(peer[0]) if isinstance(peer, tuple) else _LOCAL


def _cut(descriptor: int, inode: int) -> None:
    """End one connection under ZeroMQ's feet: it notices, drops that peer alone, and lets nobody else wait."""
    with suppress(OSError), _connection(descriptor) as connection:
        if os.fstat(connection.fileno()).st_ino == inode:  # the number may be another's by now
            connection.shutdown(sockets.SHUT_RDWR)


@contextmanager
def _connection(descriptor: int) -> Iterator[sockets.socket]:
    """A connection of ZeroMQ's under a number of our own, that nobody else closes. Raises OSError if it is none."""
    own = os.dup(descriptor)
    try:
        connection = sockets.socket(fileno=own)
    except OSError:
        os.close(own)
        raise
    with connection:
        yield connection


def _is_open(descriptor: int, inode: int) -> bool:
    try:
        now = os.fstat(descriptor)
    except OSError:
        return False
    return stat.S_ISSOCK(now.st_mode) and now.st_ino == inode


def _property(name: str, value: str) -> bytes:
    """A property in ZMTP's encoding; every message of the connection will carry it."""
    return bytes([len(name)]) + name.encode() + struct.pack("!I", len(value)) + value.encode()
