"""The station's side of the channel's security: which clients may connect and stay, and why others were refused.

A thread of the channel calls `serve` in a loop that also waits for `fds`, so that access control continues while the
station's loop is blocked inside ZeroMQ. The threads that receive call `met`.
"""

import os
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import zmq

from edge.channel.connections import EVENTS_PER_TURN, LOCAL, Connection, Connections, waiting
from edge.channel.limits import MOST_NAMED, MOST_PEERS, NEWCOMERS, PENALTY_S, Allowance
from edge.channel.pace import Paces
from edge.channel.refusals import Refusals
from edge.errors import KeyFileError
from edge.security.certificate import fingerprint, from_z85, spoken, to_z85
from edge.security.keystore import Admission, KeyStore
from edge.security.loopback import is_loopback
from edge.security.roles import ANYBODY, Guest

RELOAD_S = 0.5
"""Longest delay until a change of the keys' folder takes effect."""

UNREADABLE_S = 2.0
"""After this time with an unreadable folder of keys nobody is admitted: an unreadable key counts as revoked. Replacing
the folder by another one takes less time.
"""

_DOMAIN = b"edge"
_KEY = "X-Public-Key"
_ADDRESS = 3


class Doorkeeper:
    """Guards sockets: admits the clients of a key store, and disconnects clients whose key is revoked or that exceed a
    limit. Without a store every client is admitted, within the limits.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        store: KeyStore | None,
        say: Callable[[str], None],
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`say` is called with warnings, `tell`, or else `say`, with clients that may connect from now on.

        Raises KeyFileError, and holds no resources, if the store cannot be trusted.
        """
        self.context = context
        self._store, self._say, self._tell = store, say, tell or say
        self._admission = Admission({}, {})
        if store is not None:
            self._stamp = store.stamp()
            self._pair = store.station()
            self._admission = store.admission(self._complain)
        self._refusals = Refusals(say)
        self.connections = Connections(self._handshake_failed, self._exceeded)
        self._penalties: dict[bytes, int] = {}  # end of the penalty by key, without keys by address
        self._used: dict[str, dict[str, None]] = {}  # names of keys by address, most recent last
        self._has_more = self._is_rotated = False
        self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
        self._unreadable_ns: int | None = None  # since when the store is unreadable
        self._zap = context.socket(zmq.REP)
        self._zap.set(zmq.LINGER, 0)
        self._zap.bind("inproc://zeromq.zap.01")
        self._newcomers = Paces(NEWCOMERS)

    @property
    def refused(self) -> int:
        """Number of handshakes that failed or were refused, and of connections that were cut."""
        return self._refusals.count

    @property
    def acted(self) -> Mapping[str, int]:
        """How often each limit was enforced, by its name."""
        return self.connections.acted

    @property
    def has_keys(self) -> bool:
        """Whether only clients of a key store are admitted."""
        return self._store is not None

    @property
    def clients(self) -> frozenset[str]:
        """Names of the clients that may connect now."""
        return frozenset(guest.name for guest in self._admission.admitted.values() if guest.name)

    def guard(self, socket: "zmq.Socket[bytes]", allowance: Allowance) -> None:
        """Admit only clients of the store to `socket`, and limit what they send to `allowance`. Call it before
        `socket`, which must belong to the same context, is bound.
        """
        if self._store is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)  # also without keys: then ZeroMQ refuses peers older than ZMTP 3
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # otherwise ZeroMQ admits everybody while no handler is bound
        self.connections.watch(socket, allowance)

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when there is something to serve. They are edge-triggered."""
        return [self._zap.fileno(), *self.connections.fds]

    @property
    def due_in_s(self) -> float:
        """Seconds until `serve` must be called even if no descriptor is readable."""
        reload_s = max(0.0, (self._reload_ns - time.monotonic_ns()) / 1e9)
        return 0.0 if self._has_more else min(reload_s, self.connections.due_in_s)

    def serve(self) -> None:
        """Do a bounded part of the pending work. Never blocks."""
        if time.monotonic_ns() >= self._reload_ns:
            self._reload_ns = time.monotonic_ns() + int(RELOAD_S * 1e9)
            if self._store is not None:
                self._reload(self._store)
            self._sweep()
        answered = sum(1 for _ in map(self._answer, waiting(self._zap)))
        self.connections.serve()
        self._has_more = answered == EVENTS_PER_TURN or self.connections.has_more
        self._refusals.flush()

    def met(self, frame: zmq.Frame, subscribed: int = 0) -> Guest | None:
        """The client that sent this frame, received with `copy=False` from a guarded socket; `subscribed` is 1 for a
        subscription, -1 for the end of one.

        None if its key was revoked meanwhile or it exceeds a limit; then it is disconnected, and its message must be
        dropped. None also for the messages that an XPUB generates itself when a subscriber has disconnected.
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
        """Log, at a limited rate, that a request of a peer was refused; `kind` is counted as a limit."""
        self.connections.count(kind)
        self._refusals.note(kind, line)

    def exceed(self, frame: zmq.Frame, limit: str, why: str) -> None:
        """Cut the peer that sent this frame, received with `copy=False`, for exceeding `limit`."""
        with suppress(zmq.ZMQError, ValueError):
            key = from_z85(str(frame.get(_KEY))) if self._store is not None else None
            guest = None if key is None else self._admission.admitted.get(key)
            self.connections.exceed_by(int(frame.get(zmq.SRCFD)), key, guest.name if guest else None, limit, why)

    def close(self) -> None:
        """Stop admitting. The guarded sockets may be closed before or after."""
        self.connections.close()
        self._zap.close()

    # -------------------------------------------------------------------------------------------- the key store

    def _reload(self, store: KeyStore) -> None:
        """Read the store again if it has changed. While it is unreadable, the last admission holds for a moment."""
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
            self._tell(f"{guest.name} may connect, with the role {guest.role}: key {spoken(fingerprint(key))}")

    def _is_away(self, error: KeyFileError) -> None:
        """Handle an unreadable store: log it once, and admit nobody after UNREADABLE_S."""
        now = time.monotonic_ns()
        if self._unreadable_ns is None:
            self._unreadable_ns = now
            self._complain(error)
        elif now - self._unreadable_ns > UNREADABLE_S * 1e9:
            self._admission = Admission({}, {})

    def _complain(self, error: KeyFileError) -> None:
        self._say(str(error))

    def _sweep(self) -> None:
        """Remove connections that have ended; cut those whose key may no longer connect."""
        admitted = self._admission.admitted.keys()
        for connection in self.connections.sweep():
            if connection.key is not None and connection.key not in admitted:
                self.connections.cut(connection)
        now = time.monotonic_ns()
        for peer in [peer for peer, until in list(self._penalties.items()) if until <= now]:
            self._penalties.pop(peer, None)

    # ------------------------------------------------------------------------------------------- admission

    def _answer(self, request: list[bytes]) -> None:
        """Answer one request of ZeroMQ's authentication protocol (RFC 27)."""
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
        """The client that asks for admission, or None after a log line with the reason."""
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
        """Record which keys were used from an address: a connection without a whole message shows no key."""
        names = self._used.setdefault(address, {})
        names.pop(name, None)
        names[name] = None
        if len(names) > MOST_NAMED:
            del names[next(iter(names))]
        if len(self._used) > MOST_PEERS:
            del self._used[next(iter(self._used))]

    def _exceeded(self, connection: Connection, limit: str, why: str) -> None:
        """Handle a cut connection: its key, or without keys its address, gets a penalty for what it certainly sent."""
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
    """Kind of a failed handshake, and its log line."""
    if not has_keys:
        return "no peer", f"refused {address}: no ZeroMQ 4 or later, or it asks for keys, which this station has not"
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        hint = "it speaks without a key, or no ZeroMQ at all, or was stopped"  # either side may break off first
        return "left", f"{address} left during the handshake ({os.strerror(value)}): {hint}"
    if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return "plain", f"refused {address}: it speaks without a key; edge-keys export writes the file it needs"
    if value == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        hint = "its key file is of another station, or older than edge-keys rotate"
        return "other station", f"refused {address}: it expects another station's key; {hint}"
    return "broken", f"refused {address}: broken handshake (ZeroMQ's protocol error {value:#x})"


def _property(name: str, value: str) -> bytes:
    """A property in ZMTP's encoding; every message of the connection carries it."""
    return bytes([len(name)]) + name.encode() + struct.pack("!I", len(value)) + value.encode()
