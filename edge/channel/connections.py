"""The connections of a station's sockets: their number, the traffic of each, and the disconnection of those that send
too much.

ZeroMQ's monitors report which descriptors it accepted. The kernel reports how many bytes arrived over each. A
connection that exceeds a limit of `edge.channel.limits` is shut down at its descriptor, without ZeroMQ: ZeroMQ then
drops only that peer, and frees what it had buffered for it. Over `ipc://` the kernel does not count, so that there only
connections and subscriptions are limited: a process that can open such a socket has the station's own user id.
"""

import contextlib
import os
import socket as sockets
import stat
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import zmq

from edge.channel.limits import (
    CUT_AT_ONCE,
    DRAINED_S,
    HANDSHAKE_MS,
    KEEPALIVE_S,
    KEEPALIVES,
    LOOK_S,
    MOST_GROWTH,
    MOST_OF_A_KEY,
    MOST_SUBSCRIPTIONS,
    MOST_UNPROVEN,
    MOST_WITHOUT_KEYS,
    STALLED_S,
    SUSPICIOUS_BYTES,
    Allowance,
)

EVENTS_PER_TURN = 50
GROWTH_LOOK_S = 1.0
DRAINED_NS = int(DRAINED_S * 1e9)
LOCAL = "a process of this machine"
GONE = "a peer that was gone before its address could be read"

_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_BYTES_RECEIVED = struct.Struct("=128xQ")  # tcpi_bytes_received of the kernel's struct tcp_info


@dataclass(eq=False)
class Connection:
    """One connection to a watched socket, and what is known of its peer."""

    descriptor: int
    inode: int
    address: str
    begun_ns: int
    door: "_Door | None" = None  # the socket; None until ZeroMQ has reported it
    key: bytes | None = None
    name: str | None = None  # name of the key
    heard_ns: int | None = None  # time of its last complete message
    messages: int = 0
    subscriptions: int = 0  # current number
    is_cut: bool = False
    received: int = 0  # bytes at the last check
    flow: float = 0.0  # bytes in excess of the allowed rate
    unended: float = 0.0  # bytes since the last complete message, less an allowance for heartbeats
    since_message: int = 0  # bytes since the last complete message
    excess_ns: int = 0  # since when `unended` exceeds the allowance; 0 if it does not
    counted: int = 0  # messages at the last check
    checked_ns: int = 0

    @property
    def who(self) -> str:
        """The peer as named in the log."""
        address = self.address or GONE
        return f"{self.name} at {address}" if self.name else address


@dataclass(eq=False)
class _Door:
    """A watched socket, the monitor events of its connections, and the allowance of each connection."""

    socket: "zmq.Socket[bytes]"
    events: "zmq.Socket[bytes]"
    allowance: Allowance
    failure: tuple[int, int] | None = None  # event and value, until the next event gives the descriptor


class Connections:
    """Watches sockets. One thread calls `serve`; any other thread may call `met`."""

    def __init__(
        self,
        failed: Callable[[int, int, str], None],
        exceeded: Callable[[Connection, str, str], None],
    ) -> None:
        """`failed` is called with the event, its value and the address of a failed handshake, `exceeded` with a
        connection that was cut, the name of the limit and the reason as text.
        """
        self.acted: Counter[str] = Counter()
        self._failed, self._exceeded = failed, exceeded
        self._open: dict[int, Connection] = {}  # by descriptor
        self._doors: list[_Door] = []
        self._lock = threading.RLock()
        self._borrowed = _BorrowedDescriptor()
        self._check_ns = self._growth_ns = self._stalled_ns = 0
        self.turned_ns: int | None = None
        """Time of the last turn of the loop that reads the sockets, if it reports it: while it is blocked, nothing is
        read.
        """
        self._resident = resident_bytes()
        self.has_more = False

    def watch(self, socket: "zmq.Socket[bytes]", allowance: Allowance) -> None:
        """Watch `socket`. Call it before the socket is bound."""
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.set(zmq.TCP_KEEPALIVE, 1)  # a peer without power or network does not close its connection
        socket.set(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_S)
        socket.set(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_S)
        socket.set(zmq.TCP_KEEPALIVE_CNT, KEEPALIVES)
        address = f"inproc://connections-{id(self)}-{len(self._doors)}"
        socket.monitor(address, _WATCHED)
        events = socket.context.socket(zmq.PAIR)
        events.set(zmq.LINGER, 0)
        events.set(zmq.RCVHWM, 0)  # with a limit, unread events would block the context's own thread and all sockets
        events.connect(address)
        self._doors.append(_Door(socket, events, allowance))

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when a connection begins or ends. They are edge-triggered."""
        return [door.events.fileno() for door in self._doors]

    @property
    def due_in_s(self) -> float:
        """Seconds until `serve` must be called even if no descriptor is readable."""
        if self.has_more:
            return 0.0
        return max(0.0, (self._check_ns - time.monotonic_ns()) / 1e9) if self._open else float("inf")

    def serve(self) -> None:
        """Do a bounded part of the pending work. Never blocks."""
        self.has_more = EVENTS_PER_TURN in [self._note(door) for door in self._doors]
        now = time.monotonic_ns()
        if now >= self._check_ns:
            self._check_ns = now + int(LOOK_S * 1e9)
            self._check(now)

    def met(self, descriptor: int, key: bytes | None, name: str | None, subscribed: int = 0) -> bool:
        """Record a complete message of the peer with this key over this connection; `subscribed` is 1 for a
        subscription, -1 for the end of one. False if the connection is cut.

        A message may be read after its connection has ended and a new one has reused its descriptor; then the new one
        counts under the wrong key until its own next message.
        """
        try:
            inode = os.fstat(descriptor).st_ino
        except OSError:  # the connection has ended; its message is still valid
            return True
        with self._lock:
            connection = self._known(descriptor, inode)
            connection.messages += 1
            is_new = connection.heard_ns is None
            connection.heard_ns = time.monotonic_ns()
            if key != connection.key:
                connection.key, connection.name, connection.subscriptions = key, name, 0
            connection.subscriptions = max(0, connection.subscriptions + subscribed)
            if connection.subscriptions > MOST_SUBSCRIPTIONS:
                self.exceed(connection, "subscriptions", f"more than {MOST_SUBSCRIPTIONS} subscriptions")
            elif is_new:
                self._limit_proven(connection)
            return not connection.is_cut

    def of_key(self, key: bytes) -> list[Connection]:
        """The open connections on which this key was used."""
        return [c for c in self._snapshot() if c.key == key]

    def exceed(self, connection: Connection, limit: str, why: str) -> None:
        """Cut a connection that exceeds a limit, and count it."""
        with self._lock:
            if connection.is_cut:
                return
            self.cut(connection)
            self.acted[limit] += 1
            self._exceeded(connection, limit, why)

    def exceed_by(self, descriptor: int, key: bytes | None, name: str | None, limit: str, why: str) -> None:
        """Cut the connection over which a peer with this key exceeded a limit, if it still exists."""
        with suppress(OSError), self._lock:
            connection = self._known(descriptor, os.fstat(descriptor).st_ino)
            connection.key, connection.name = key, name
            self.exceed(connection, limit, why)

    def exceed_at(self, descriptor: int, inode: int, limit: str, why: str) -> None:
        """Cut a connection that exceeds a limit, if this descriptor is still its."""
        with self._lock:
            if is_open(descriptor, inode):
                self.exceed(self._known(descriptor, inode), limit, why)

    def count(self, limit: str) -> None:
        """Count that a limit was enforced without cutting a connection."""
        with self._lock:
            self.acted[limit] += 1

    def cut(self, connection: Connection) -> None:
        """Shut down one connection at its descriptor: ZeroMQ notices and drops only that peer, without blocking."""
        connection.is_cut = True
        with self._borrowed.borrow(connection.descriptor, connection.inode) as number:
            if number is not None:
                with suppress(OSError):
                    number.shutdown(sockets.SHUT_RDWR)

    def sweep(self) -> list[Connection]:
        """Remove the connections that have ended; returns the open ones."""
        for connection in self._snapshot():
            if not is_open(connection.descriptor, connection.inode):
                self._forget(connection)
        return self._snapshot()

    def close(self) -> None:
        """Stop watching. The watched sockets may be closed before or after."""
        for door in self._doors:
            if not door.socket.closed:
                door.socket.disable_monitor()
            door.events.close()
        self._doors.clear()
        self._borrowed.close()

    # ------------------------------------------------------------------------------------------- begin and end

    def _snapshot(self) -> list[Connection]:
        with self._lock:
            return list(self._open.values())

    def _known(self, descriptor: int, inode: int, door: _Door | None = None) -> Connection:
        """The entry of a connection; created now if there is none."""
        found = self._open.get(descriptor)
        if found is None or found.inode != inode:
            found = Connection(descriptor, inode, self._address(descriptor, inode), time.monotonic_ns())
            self._open[descriptor] = found
        found.door = found.door or door
        return found

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            if self._open.get(connection.descriptor) is connection:
                del self._open[connection.descriptor]

    def _note(self, door: _Door) -> int:
        """Handle the monitor events of a socket; returns their number."""
        events = [struct.unpack("=hi", frames[0]) for frames in waiting(door.events)]
        ends = {value: index for index, (event, value) in enumerate(events) if event == zmq.EVENT_DISCONNECTED}
        for index, (event, value) in enumerate(events):
            if event == zmq.EVENT_ACCEPTED:
                if ends.get(value, -1) < index:
                    self._begin(door, value)
            elif event == zmq.EVENT_DISCONNECTED:
                with self._lock:
                    ended = self._open.get(value)
                    if ended is not None and is_open(value, ended.inode):
                        ended = None  # a newer connection uses the number, or this event precedes the actual end
                    if ended is not None:
                        del self._open[value]
                if door.failure is not None and not (ended and ended.is_cut):
                    address = ended.address if ended else ""
                    self._failed(*door.failure, address or GONE)
                door.failure = None
            else:
                door.failure = event, value
        return len(events)

    def _begin(self, door: _Door, descriptor: int) -> None:
        """Handle an accepted connection: if there are too many silent ones, cut the oldest."""
        try:
            inode = os.fstat(descriptor).st_ino
        except OSError:
            return
        with self._lock:
            self._known(descriptor, inode, door)
            silent = [c for c in self._open.values() if c.door is door and c.heard_ns is None and not c.is_cut]
            if len(silent) > MOST_UNPROVEN:
                for oldest in sorted(silent, key=lambda c: c.begun_ns)[:CUT_AT_ONCE]:
                    self.exceed(oldest, "connections", f"{MOST_UNPROVEN} connections have said nothing yet")

    def _limit_proven(self, connection: Connection) -> None:
        """Handle the first message of a connection: its peer may have too many connections.

        Of a key's connections the one that was silent longest is cut, because it may be dead. Without keys the new
        connection is cut, because otherwise it could displace others.
        """
        door, key = connection.door, connection.key
        alike = [
            (c.heard_ns, c)
            for c in self._open.values()
            if c.door is door and c.heard_ns is not None and c.key == key and not c.is_cut
        ]
        if len(alike) > (MOST_WITHOUT_KEYS if key is None else MOST_OF_A_KEY):
            _, worst = (0, connection) if key is None else min(alike, key=lambda one: one[0])
            self.exceed(worst, "connections", f"more than {len(alike) - 1} connections")

    def _address(self, descriptor: int, inode: int) -> str:
        """Address of a connection's peer, without the port; empty if it is not open any more."""
        with self._borrowed.borrow(descriptor, inode) as number:
            try:
                peer = number.getpeername() if number is not None else ""
            except OSError:
                return ""
        return str(peer[0]) if isinstance(peer, tuple) else LOCAL

    # ------------------------------------------------------------------------------------------- traffic

    def _check(self, now: int) -> None:
        """Cut the connections that have sent more than their allowance."""
        if self.turned_ns is not None and now - self.turned_ns > STALLED_S * 1e9:
            self._stalled_ns = now
        for connection in self._snapshot():
            if connection.door is not None and not connection.is_cut:
                self._check_one(connection, connection.door.allowance, now)
        for door in self._doors:
            self._bound_together(door)
        if now >= self._growth_ns:
            self._growth_ns = now + int(GROWTH_LOOK_S * 1e9)
            self._bound_growth()

    def _check_one(self, c: Connection, allowance: Allowance, now: int) -> None:
        received = self._received(c)
        if received is None:
            return
        passed_s = (now - (c.checked_ns or c.begun_ns)) / 1e9
        came, c.received, c.checked_ns = received - c.received, received, now
        c.flow = max(0.0, c.flow - passed_s * allowance.rate) + came
        if c.messages != c.counted:
            c.unended, c.since_message, c.counted, c.excess_ns = 0.0, 0, c.messages, 0
        c.since_message += came
        c.unended = max(0.0, c.unended - passed_s * allowance.open_rate) + came
        if c.unended <= allowance.open_bytes:
            c.excess_ns = 0
        elif not c.excess_ns:
            c.excess_ns = now  # whole messages may have come at once after a silence: the loop gets time to read them
        if c.flow > allowance.burst:
            why = f"more than {allowance.burst >> 10} kB at once, or {allowance.rate >> 10} kB a second"
            self.exceed(c, "bytes", why)
        elif c.excess_ns and now - max(c.excess_ns, c.heard_ns or c.begun_ns, self._stalled_ns) > DRAINED_NS:
            self.exceed(c, "message", f"{int(c.unended) >> 10} kB of a message that does not end")

    def _bound_together(self, door: _Door) -> None:
        """Cut the peers with the most unfinished bytes until all together are within the allowance."""
        unended = [c for c in self._snapshot() if c.door is door and c.unended > 0 and not c.is_cut]
        excess = sum(c.unended for c in unended) - door.allowance.all_open_bytes
        for worst in sorted(unended, key=lambda c: -c.unended):
            if excess <= 0:
                return
            excess -= worst.unended
            why = f"{int(worst.unended) >> 10} kB of a message that does not end, as others send them too"
            self.exceed(worst, "message", why)

    def _received(self, connection: Connection) -> int | None:
        """Bytes received over a connection; None if the kernel does not count them, or if it is not open."""
        if not hasattr(sockets, "TCP_INFO"):
            return None
        descriptor = connection.descriptor
        info = b""
        with suppress(OSError):  # not open any more, or not TCP
            borrowed = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, descriptor)
            try:
                info = borrowed.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _BYTES_RECEIVED.size)
            finally:
                borrowed.detach()
        if not is_open(descriptor, connection.inode):  # checked afterwards, so that the bytes belong to it
            self._forget(connection)
            return None
        return int(_BYTES_RECEIVED.unpack(info)[0]) if len(info) == _BYTES_RECEIVED.size else None

    def _bound_growth(self) -> None:
        """If the process has grown, cut all peers that sent much without ending a message: first on the sockets where
        honest peers end a message ten times a second, else on the others, where honest peers may send only heartbeats.

        This happens once per growth, so that honest peers are not cut repeatedly if memory grows for another reason.
        """
        resident = resident_bytes()
        self._resident = min(self._resident, resident)
        if resident - self._resident < MOST_GROWTH:
            return
        self._resident = resident
        suspects = [
            (c.door.allowance.is_asked, c)
            for c in self._snapshot()
            if c.door is not None and c.since_message > SUSPICIOUS_BYTES and not c.is_cut
        ]
        first = any(is_asked for is_asked, _ in suspects)
        for is_asked, c in suspects:
            if is_asked == first:
                self.exceed(c, "memory", f"{c.since_message >> 10} kB without a message, while memory grew")


class _BorrowedDescriptor:
    """A descriptor that temporarily duplicates another one. It is allocated at the start, so that a connection can be
    cut when the process has no free descriptor.
    """

    def __init__(self) -> None:
        self._own, self._rest = sockets.socketpair()
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, descriptor: int, inode: int) -> Iterator[sockets.socket | None]:
        """The connection as a socket with the own descriptor; None if `descriptor` does not belong to it any more."""
        with self._lock:
            try:
                os.dup2(descriptor, self._own.fileno(), inheritable=False)
            except OSError:
                yield None
                return
            try:
                yield self._own if os.fstat(self._own.fileno()).st_ino == inode else None
            finally:
                os.dup2(self._rest.fileno(), self._own.fileno(), inheritable=False)

    def close(self) -> None:
        with self._lock:
            self._own.close()
            self._rest.close()


def waiting(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """The pending messages of a socket, at most EVENTS_PER_TURN."""

    def receive() -> list[bytes] | None:
        try:
            return socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    return islice(iter(receive, None), EVENTS_PER_TURN)


def resident_bytes() -> int:
    """Resident memory of this process in bytes, 0 if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def is_open(descriptor: int, inode: int) -> bool:
    """Whether this descriptor is still the socket of this inode."""
    try:
        now = os.fstat(descriptor)
    except OSError:
        return False
    return stat.S_ISSOCK(now.st_mode) and now.st_ino == inode
