"""Connection of a controller to a station: receives verdicts, sends pings, triggers and acknowledgements."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import zmq

from edge.channel.client_security import ClientKeys, HandshakeWatch, secure
from edge.channel.control_messages import (
    Acknowledge,
    AskSnapshot,
    Exposed,
    Fate,
    Hello,
    Ping,
    Pong,
    ProductSelected,
    Refused,
    Request,
    SelectProduct,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
    parse_reply,
)
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.station_name import other_station
from edge.errors import ChannelError
from edge.verdict import PROTOCOL, Heartbeat, StateChange, Verdict, parse

IPC = "ipc://"
PING_NS = 100_000_000
MOST_AT_ONCE = 200
"""Messages taken before the controller looks again at what is due: a flood must not hold it up."""

MOST_OWED = 300
"""Acknowledgements sent at each ping, three thousand a second: more than a station judges, and a controller that was
away for long does not flood it.
"""

MOST_PINGS = 64
"""Pings without an answer for which an answer is still accepted."""

LARGEST_MESSAGE = 1 << 20
LINGER_MS = 200


@dataclass(frozen=True)
class Endpoint:
    """Where a station publishes and where it is spoken to; `keys` are those that it asks for, None if it does not."""

    verdicts: str
    control: str
    keys: ClientKeys | None = None

    @classmethod
    def of(cls, verdicts: str, control: str | None = None, keys: ClientKeys | None = None) -> "Endpoint":
        """The control socket is one port above the verdicts, or `.control` beside an ipc path. Raises ChannelError."""
        if control is not None:
            return cls(verdicts, control, keys)
        where = neighbour_endpoint(verdicts, CONTROL)
        if where == verdicts:
            raise ChannelError(f"{verdicts!r} has no port with one above it; say where the station listens: --control")
        return cls(verdicts, where, keys)

    @property
    def is_authentic(self) -> bool:
        """Whether nobody but the station can speak here: by its keys, or by the permissions of an `ipc://` path."""
        return self.keys is not None or (self.verdicts.startswith(IPC) and self.control.startswith(IPC))


class Machine(Protocol):
    """A decision machine that a link feeds, as `Gate` is."""

    @property
    def epoch(self) -> str | None:
        """The epoch that is followed."""

    @property
    def wants_snapshot(self) -> bool:
        """Whether the epoch is still to be joined."""

    def hear(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Take a message of the verdict channel."""

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> None:
        """Take the station's time."""

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the epoch."""

    def number(self, part: str, epoch: str, seq: int) -> None:
        """Take the station's answer to a trigger."""


class StationLink:
    """Sockets to one station, for one decision machine.

    In a loop: `speak`, wait until a socket of `poller` is readable, `hear`; from one thread. More than one endpoint
    lets the machine see a second station of the same name, which is a fault.
    """

    def __init__(
        self,
        endpoints: list[Endpoint],
        station: str,
        name: str,
        machine: Machine,
        most_budget_ms: float | None = None,
        allow_insecure: bool = False,
        poller: zmq.Poller | None = None,
        refused: Callable[[str, str], None] = lambda request, why: None,
        exposed: Callable[[str, str, int], None] = lambda part, epoch, seq: None,
        selected: Callable[[int | None, int | None], None] = lambda number, sent: None,
    ) -> None:
        """Connect; the station need not run yet. Raises ChannelError if an endpoint is none, or if anybody could speak
        as the station there and `allow_insecure` does not say that this is meant.

        `most_budget_ms` is the longest budget whose verdicts reach the controller in time, None if that is not
        constant. `poller` is shared by several links. `refused` is called with the type of a request that the station
        refused, and its reason; `exposed` with part, epoch and number of a triggered part whose frame was exposed;
        `selected` with the number of the product to which the station has changed over, and when, on its clock.
        """
        for endpoint in endpoints:
            if not (endpoint.is_authentic or allow_insecure):
                raise ChannelError(
                    f"{endpoint.verdicts}: without keys any process that reaches it can speak as the station; give the "
                    "key file that edge-keys export wrote, connect over ipc://, or allow it where no real output moves"
                )
        self.malformed = 0
        self.heard_ns = time.monotonic_ns()
        self.poller = poller or zmq.Poller()
        self._machine = machine
        self._watch_due_ns = 0
        self._context = zmq.Context()
        self._watches: list[HandshakeWatch] = []
        self._handshakes: list[str] = []  # why they failed, each once
        self._verdicts: list[zmq.Socket[bytes]] = []
        self._controls: list[_Control] = []
        hello = Hello(client=name, most_budget_ms=most_budget_ms, run=secrets.token_hex(8))
        try:
            for endpoint in endpoints:
                self._verdicts.append(self._socket(zmq.SUB, endpoint.verdicts, endpoint.keys))
                self._verdicts[-1].subscribe(f"{PROTOCOL}/{station}/")
                control = self._socket(zmq.DEALER, endpoint.control, endpoint.keys)
                self._controls.append(_Control(control, hello, station, endpoint.verdicts, refused, exposed, selected))
        except BaseException:
            for watch in self._watches:
                watch.close()
            self._context.destroy(linger=0)
            raise

    def _socket(self, kind: int, endpoint: str, keys: ClientKeys | None) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.RCVHWM, 10_000)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        if kind == zmq.DEALER:
            socket.set(zmq.IMMEDIATE, 1)  # what nobody hears now must not be said later
        if keys is not None:
            secure(socket, keys)
        self._watches.append(HandshakeWatch(socket, endpoint, keys))
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570") from error
        self.poller.register(socket, zmq.POLLIN)
        return socket

    def speak(self, now: int) -> None:
        """Send what is due: the sign of life, acknowledgements, the question how the station stands."""
        for control in self._controls:
            control.speak(self._machine, now)
        if now >= self._watch_due_ns:
            self._watch_due_ns = now + PING_NS
            said = [line for watch in self._watches for line in watch.failures()]
            self._handshakes += [line for line in said if line not in self._handshakes]

    def hear(self) -> None:
        """Give the machine what has come: answers first, they may number a part whose verdict has come too."""
        for control in self._controls:
            control.hear(self._machine)
        for verdicts in self._verdicts:
            self._hear(verdicts)

    def _hear(self, verdicts: zmq.Socket[bytes]) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                topic, *payload = verdicts.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.heard_ns = time.monotonic_ns()
            try:
                message = parse(topic, payload[0] if payload else b"")
            except (ValueError, OverflowError):
                self.malformed += 1
                continue
            self._machine.hear(message, self.heard_ns)

    def trigger(self, trigger: Trigger) -> bool:
        """Tell the station that a part is in front of its camera now. Returns whether anybody hears it."""
        return any([control.say(trigger) for control in self._controls])

    def select(self, request: SelectProduct) -> bool:
        """Ask the station for a changeover. Returns whether anybody hears it."""
        return any([control.say(request) for control in self._controls])

    def acknowledge(self, epoch: str, seq: int, fate: Fate) -> None:
        """Tell the station, at the next ping, what became of a part."""
        try:
            acknowledge = Acknowledge(epoch=epoch, seq=seq, fate=fate)
        except ValueError:  # no station of this project counts so
            return
        for control in self._controls:
            control.owe(acknowledge)

    def close(self) -> None:
        """Send the last acknowledgements, for 0.2 s at most, and leave."""
        for control in self._controls:
            control.flush()
        for watch in self._watches:
            watch.close()
        self._context.destroy(linger=LINGER_MS)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why no connection came about, each reason once, what the station would not do, the last of each, and the name
        of a station that answers in place of this one.
        """
        refused = (f"the station refused {c.refusal}" for c in self._controls if c.refusal is not None)
        return (*self._handshakes, *refused, *(c.other_station for c in self._controls if c.other_station is not None))

    @property
    def long_budgets(self) -> tuple[Welcome, ...]:
        """What the stations said whose budget is longer than `most_budget_ms`."""
        return tuple(control.long_budget for control in self._controls if control.long_budget is not None)

    @property
    def is_required(self) -> bool:
        """Whether a station said that it waits for this controller."""
        return any(control.is_required for control in self._controls)


class _Control:
    """One connection to a control socket. What cannot be sent now is dropped, but for acknowledgements."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        hello: Hello,
        station: str,
        verdicts: str,
        refused: Callable[[str, str], None],
        exposed: Callable[[str, str, int], None],
        selected: Callable[[int | None, int | None], None],
    ) -> None:
        self.long_budget: Welcome | None = None
        self.refusal: str | None = None
        self.other_station: str | None = None
        self.is_required = False
        self._socket, self._hello, self._station, self._verdicts = socket, hello, station, verdicts
        self._refused, self._exposed, self._selected = refused, exposed, selected
        self._pings: dict[int, int] = {}
        self._nonce = 0
        self._asked: str | None = None
        self._due_ns = 0
        self._owed: deque[Acknowledge] = deque(maxlen=10_000)

    def speak(self, machine: Machine, now: int) -> None:
        """The sign of life, the question what time it is and, until it is answered, how the station stands."""
        may_join = machine.wants_snapshot and machine.epoch != self._asked
        if now < self._due_ns and not may_join:
            return
        self._due_ns = now + PING_NS
        self.flush(MOST_OWED)
        self._nonce += 1
        self._pings[self._nonce] = time.monotonic_ns()
        while len(self._pings) > MOST_PINGS:
            del self._pings[next(iter(self._pings))]
        self.say(Ping(nonce=self._nonce))
        if machine.wants_snapshot and self.say(AskSnapshot()):
            self._asked = machine.epoch

    def hear(self, machine: Machine) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                reply = parse_reply(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return
            except (ValueError, OverflowError):
                continue
            received_ns = time.monotonic_ns()
            match reply:
                case Pong():
                    if (sent_ns := self._pings.pop(reply.nonce, None)) is not None:
                        machine.pong(reply.epoch, reply.now, sent_ns, received_ns)
                case Snapshot():
                    machine.snapshot(reply.heartbeat)
                case Triggered():
                    machine.number(reply.part, reply.epoch, reply.seq)
                case Exposed():
                    self._exposed(reply.part, reply.epoch, reply.seq)
                case ProductSelected():
                    self._selected(reply.number, reply.sent)
                case Welcome():
                    self._welcome(reply)
                case Refused():
                    self.refusal = f"{reply.request}: {reply.why}"
                    self._refused(reply.request, reply.why)

    def _welcome(self, welcome: Welcome) -> None:
        self.is_required, self.refusal = welcome.is_required, None
        most = self._hello.most_budget_ms
        is_long = most is not None and welcome.budget_ms > most
        self.long_budget = welcome if is_long else None
        self.other_station = other_station(self._verdicts, welcome.station, self._station)

    def say(self, request: Request) -> bool:
        try:
            self._socket.send(request.model_dump_json().encode(), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def owe(self, acknowledge: Acknowledge) -> None:
        self._owed.append(acknowledge)

    def flush(self, most: int | None = None) -> None:
        """Who speaks, and then the acknowledgements: a reconnect, which is invisible here, makes us nobody there."""
        if self.say(self._hello):
            for _ in range(len(self._owed) if most is None else min(most, len(self._owed))):
                if not self.say(self._owed[0]):
                    return
                self._owed.popleft()
