"""The station's side of the channel's security: who may connect, who may stay, and why others were refused.

`serve` is called in each turn of a loop that waits for `fds` too: of a thread of the channel's own, so that it goes on
while the station's loop is inside ZeroMQ. `met` is called by the threads that receive.
"""

import os
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import zmq

from edge.channel.connections import EVENTS_PER_TURN, LOCAL, Connection, Connections, waiting
from edge.channel.endpoints import is_loopback
from edge.channel.limits import MOST_NAMED, MOST_PEERS, NEWCOMERS, PENALTY_S, Allowance
from edge.channel.pace import Paces
from edge.channel.refusals import Refusals
from edge.errors import KeyFileError
from edge.security.certificate import fingerprint, from_z85, spoken, to_z85
from edge.security.keystore import Admission, KeyStore
from edge.security.roles import ANYBODY, Guest

RELOAD_S = 0.5
"""How long a change of the folder of keys goes unnoticed."""

UNREADABLE_S = 2.0
"""A folder of keys that cannot be read for longer admits nobody: a key that cannot be read counts as revoked. A folder
that is put in another one's place is away for less.
"""

_DOMAIN = b"edge"
_KEY = "X-Public-Key"
_ADDRESS = 3


class Doorkeeper:
    """Guards sockets: admits the clients of a key store, throws out those whose key is revoked and those that go
    beyond a limit. Without a store everybody is admitted, within the limits.
    """

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", store: KeyStore | None, say: Callable[[str], None]
    ) -> None:
        """Raises KeyFileError, and leaves nothing behind, if the store cannot be trusted."""
        self.context = context
        self._store, self._say = store, say
        self._admission = Admission({}, {})
        if store is not None:
            self._stamp = store.stamp()
            self._pair = store.station()
            self._admission = store.admission(self._complain)
        self._refusals = Refusals(say)
        self.connections = Connections(self._handshake_failed, self._exceeded)
        self._penalties: dict[bytes, int] = {}  # by key, without keys by address, until when
        self._used: dict[str, dict[str, None]] = {}  # names of keys by address, those that came last at the end
        self._has_more = self._is_rotated = False
        self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
        self._unreadable_ns: int | None = None  # since when
        self._zap = context.socket(zmq.REP)
        self._zap.set(zmq.LINGER, 0)
        self._zap.bind("inproc://zeromq.zap.01")
        self._newcomers = Paces(NEWCOMERS)

    @property
    def refused(self) -> int:
        """How many handshakes failed or were refused, and how many connections were cut."""
        return self._refusals.count

    @property
    def acted(self) -> Mapping[str, int]:
        """How often each limit acted."""
        return self.connections.acted

    @property
    def has_keys(self) -> bool:
        """Whether only clients of a store are let in."""
        return self._store is not None

    @property
    def clients(self) -> frozenset[str]:
        """Names of the clients that may connect now."""
        return frozenset(guest.name for guest in self._admission.admitted.values() if guest.name)

    def guard(self, socket: "zmq.Socket[bytes]", allowance: Allowance) -> None:
        """Let in only clients of the store, and watch what they send. To be called before `socket`, of the same
        context, is bound.
        """
        if self._store is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)  # without keys too: then ZeroMQ refuses peers of before ZMTP 3
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise ZeroMQ admits anyone while nobody answers for the domain
        self.connections.watch(socket, allowance)

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when there is something to serve. They signal changes only."""
        return [self._zap.fileno(), *self.connections.fds]

    @property
    def due_in_s(self) -> float:
        """When `serve` is to be called even if no descriptor is readable."""
        reload_s = max(0.0, (self._reload_ns - time.monotonic_ns()) / 1e9)
        return 0.0 if self._has_more else min(reload_s, self.connections.due_in_s)

    def serve(self) -> None:
        """Do what is due, a bounded piece of it. Never blocks."""
        if time.monotonic_ns() >= self._reload_ns:
            self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
            if self._store is not None:
                self._reload(self._store)
            self._sweep()
        answered = sum(1 for _ in map(self._answer, waiting(self._zap)))
        self.connections.serve()
        self._has_more = answered == EVENTS_PER_TURN or self.connections.has_more
        self._refusals.tell()

    def met(self, frame: zmq.Frame, subscribed: int = 0) -> Guest | None:
        """The client that sent this frame, received with `copy=False` from a guarded socket; `subscribed` is 1 if it
        subscribes, -1 if it ends a subscription.

        None if its key was revoked meanwhile, or if it is beyond a limit; then it is disconnected: what it sent is to
        be dropped. None also for the notes that an XPUB writes itself when a subscriber has gone.
        """
        try:
            key = from_z85(str(frame.get(_KEY))) if self._store is not None else None
            descriptor = int(frame.get(zmq.SRCFD))
        except (zmq.ZMQError, ValueError):
            return None
        guest = ANYBODY if key is None else self._admission.admitted.get(key)
        if not self.connections.met(descriptor, key, guest.name if guest else None, subscribed):
            return None
        if guest is None and key is not None:
            for connection in self.connections.of_key(key):
                self.connections.cut(connection)
        return guest

    def refuse(self, kind: str, line: str) -> None:
        """Say, few times, that a peer asked for something that it does not get."""
        self.connections.count(kind)
        self._refusals.note(kind, line)

    def exceed(self, frame: zmq.Frame, limit: str, why: str) -> None:
        """Cut the peer that sent this frame, received with `copy=False`, for going beyond a limit."""
        with suppress(zmq.ZMQError, ValueError):
            key = from_z85(str(frame.get(_KEY))) if self._store is not None else None
            guest = None if key is None else self._admission.admitted.get(key)
            self.connections.exceed_by(int(frame.get(zmq.SRCFD)), key, guest.name if guest else None, limit, why)

    def close(self) -> None:
        """Admit nobody any more. The guarded sockets may be closed before or after."""
        self.connections.close()
        self._zap.close()

    # -------------------------------------------------------------------------------------------- the key store

    def _reload(self, store: KeyStore) -> None:
        """Read the store again if it has changed. What it said last holds for a moment while it cannot be read."""
        stamp = store.stamp()
        if stamp == self._stamp and self._unreadable_ns is None:
            return
        before, self._stamp = self._admission, stamp
        try:
            self._admission = store.admission(self._complain)
            self._unreadable_ns = None
            if store.station() != self._pair and not self._is_rotated:
                self._is_rotated = True
                self._say("the station's key was changed; this run keeps the one it began with until it is restarted")
        except KeyFileError as error:
            self._is_away(error)
        for key in before.admitted.keys() - self._admission.admitted.keys():
            count = len(self.connections.of_key(key))
            line = f"{before.admitted[key].name} may no longer connect: key {spoken(fingerprint(key))}"
            self._say(f"{line}; connections cut: {count}")
        for key in self._admission.admitted.keys() - before.admitted.keys():
            guest = self._admission.admitted[key]
            self._say(f"{guest.name} may connect, with the role {guest.role}: key {spoken(fingerprint(key))}")

    def _is_away(self, error: KeyFileError) -> None:
        """The store cannot be read: say so once, and admit nobody if that goes on."""
        now = time.monotonic_ns()
        if self._unreadable_ns is None:
            self._unreadable_ns = now
            self._complain(error)
        elif now - self._unreadable_ns > UNREADABLE_S * 1e9:
            self._admission = Admission({}, {})

    def _complain(self, error: KeyFileError) -> None:
        self._say(str(error))

    def _sweep(self) -> None:
        """Forget the connections that have ended; cut those whose key may no longer connect."""
        admitted = self._admission.admitted.keys()
        for connection in self.connections.sweep():
            if connection.key is not None and connection.key not in admitted:
                self.connections.cut(connection)
        now = time.monotonic_ns()
        for peer in [peer for peer, until in list(self._penalties.items()) if until <= now]:
            self._penalties.pop(peer, None)

    # ------------------------------------------------------------------------------------------- who knocks

    def _answer(self, request: list[bytes]) -> None:
        """Answer one question of ZeroMQ's authentication protocol (RFC 27)."""
        guest = self._judge(request)
        version, number = b"1.0", request[1] if len(request) > 1 else b""
        key, address = request[-1], request[3] if len(request) > _ADDRESS else b""
        who = f"the key of {guest.name}" if guest and guest.name else address.decode(errors="replace") or LOCAL
        peer = key if guest and guest.name else address
        if guest is None:
            reply = [version, number, b"400", b"refused", b"", b""]
        elif time.monotonic_ns() < self._penalties.get(peer, 0):
            self.refuse("penalty", f"refused {who}: it was cut for what it sent less than {PENALTY_S:g} s ago")
            reply = [version, number, b"300", b"come again", b"", b""]
        elif not self._newcomers.admits(peer):
            self.refuse("newcomers", f"refused {who}: more than {NEWCOMERS.a_second:g} connections a second")
            reply = [version, number, b"300", b"come again", b"", b""]
        else:
            known = _property(_KEY, to_z85(key)) if guest.name else b""
            if guest.name:
                self._remember(address.decode(errors="replace"), guest.name)
            reply = [version, number, b"200", b"OK", (guest.name or "").encode(), known]
        self._zap.send_multipart(reply, zmq.NOBLOCK)

    def _judge(self, request: list[bytes]) -> Guest | None:
        """Who knocks, or None and a line that says why."""
        frames, mechanism = (6, b"NULL") if self._store is None else (7, b"CURVE")
        if len(request) != frames or request[2] != _DOMAIN or request[5] != mechanism:
            self._refusals.note("no question", "a question about admission that is none was refused")
            return None
        if self._store is None:
            return ANYBODY
        address, key = request[3].decode(errors="replace") or LOCAL, request[6]
        guest, digits = self._admission.admitted.get(key), fingerprint(key)
        if digits in self._admission.revoked:
            who = self._admission.revoked[digits]
            self._refusals.note("revoked", f"refused {address}: the key of {who} is revoked")
        elif guest is None:
            hint = "no client of this station (edge-keys list, edge-keys add)"
            self._refusals.note("unknown", f"refused {address}: key {spoken(digits)} is {hint}")
        return guest

    def _handshake_failed(self, event: int, value: int, address: str) -> None:
        self._refusals.note(*_why(event, value, address, self.has_keys))

    def _remember(self, address: str, name: str) -> None:
        """Which keys were used from an address: a connection that never ends a message does not say whose it is."""
        names = self._used.setdefault(address, {})
        names.pop(name, None)
        names[name] = None
        if len(names) > MOST_NAMED:
            del names[next(iter(names))]
        if len(self._used) > MOST_PEERS:
            del self._used[next(iter(self._used))]

    def _exceeded(self, connection: Connection, limit: str, why: str) -> None:
        """A connection was cut for a limit. For what it surely sent its key has to wait; without keys its address."""
        if limit not in ("connections", "memory"):
            peer, address = connection.key, connection.address
            if self._store is None and address not in ("", LOCAL) and not is_loopback(address):
                peer = address.encode()
            if peer is not None:
                self._penalties[peer] = time.monotonic_ns() + int(PENALTY_S * 1e9)
        used = ", ".join(self._used.get(connection.address, ())) if connection.name is None else ""
        hint = f" (keys used from there last: {used})" if used else ""
        self._refusals.note(limit, f"cut {connection.who}: {why}{hint}")


def _why(event: int, value: int, address: str, has_keys: bool) -> tuple[str, str]:
    """Kind of a failed handshake, and the line about it."""
    if not has_keys:
        return "no peer", f"refused {address}: no ZeroMQ 4 or later, or it asks for keys, which this station has not"
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        hint = "it speaks without a key, or no ZeroMQ at all, or was stopped"  # whoever notices first breaks off
        return "left", f"{address} left during the handshake ({os.strerror(value)}): {hint}"
    if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return "plain", f"refused {address}: it speaks without a key; edge-keys export writes the file it needs"
    if value == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        hint = "its key file is of another station, or older than edge-keys rotate"
        return "other station", f"refused {address}: it expects another station's key; {hint}"
    return "broken", f"refused {address}: broken handshake (ZeroMQ's protocol error {value:#x})"


def _property(name: str, value: str) -> bytes:
    """A property in ZMTP's encoding; every message of the connection will carry it."""
    return bytes([len(name)]) + name.encode() + struct.pack("!I", len(value)) + value.encode()
