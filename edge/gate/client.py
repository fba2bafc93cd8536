"""The gate at its sockets: verdicts come in, pings and acknowledgements go out, decisions go to the actuator."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from edge.channel.client_security import ClientKeys, HandshakeWatch, secure
from edge.channel.control_messages import (
    Acknowledge,
    AskSnapshot,
    Fate,
    Hello,
    Ping,
    Pong,
    Refused,
    Request,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
    parse_reply,
)
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.station_name import other_station
from edge.errors import ActuatorError, ChannelError
from edge.gate.belt import Belt
from edge.gate.decision import Decision
from edge.gate.gate import Gate, Rules
from edge.gate.log import GateLog
from edge.verdict import PROTOCOL, parse

IPC = "ipc://"
PING_NS = 100_000_000
MOST_AT_ONCE = 200
"""Messages taken before the gate looks again at what is due: a flood must not hold it up."""

MOST_OWED = 100
"""Acknowledgements sent at each ping, a thousand a second: a gate that was away for long does not flood the station."""

MOST_PINGS = 64
"""Unanswered ones that an answer is still awaited of."""

LONGEST_SLEEP_NS = 20_000_000
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


class Controller:
    """Runs a gate. Call `turn` again and again from one thread; `gate` tells how it stands."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        station: str,
        name: str,
        belt: Belt,
        actuate: Callable[[Decision], None],
        rules: Rules,
        log: GateLog | None = None,
        read_encoder: Callable[[int], None] | None = None,
        allow_insecure: bool = False,
    ) -> None:
        """Connect; the station need not run yet. Raises ChannelError if an endpoint is none, or if anybody could speak
        as the station there and `allow_insecure` does not say that this is meant: for trials, without a real output.

        `actuate`, a function or an `Actuation`, is called with each decision, after it is in the log. If it raises
        ActuatorError, the gate rejects every part from then on; `gate.failure` says why. `read_encoder` is called with
        the local time, every 20 ms at least, and gives the belt a sample. More than one endpoint lets the gate see a
        second station of the same name, which is a fault.
        """
        for endpoint in endpoints:
            if not (endpoint.is_authentic or allow_insecure):
                raise ChannelError(
                    f"{endpoint.verdicts}: without keys any process that reaches it can speak as the station; give the "
                    "key file that edge-keys export wrote, connect over ipc://, or allow it where no real output moves"
                )
        self.gate = Gate(belt, self._decide, self._acknowledge, rules)
        self.malformed = 0
        self.heard_ns = time.monotonic_ns()
        self._watch_due_ns = 0
        self._actuate, self._log, self._read_encoder = actuate, log, read_encoder
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._watches: list[HandshakeWatch] = []
        self._handshakes: list[str] = []  # why they failed, each once
        self._verdicts: list[zmq.Socket[bytes]] = []
        self._controls: list[_Control] = []
        try:
            for endpoint in endpoints:
                self._verdicts.append(self._socket(zmq.SUB, endpoint.verdicts, endpoint.keys))
                self._verdicts[-1].subscribe(f"{PROTOCOL}/{station}/")
                control = self._socket(zmq.DEALER, endpoint.control, endpoint.keys)
                self._controls.append(_Control(control, name, station, endpoint.verdicts, _most_budget_ms(belt, rules)))
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
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def turn(self) -> None:
        """Hear, speak and decide once; sleeps for 20 ms at most. Raises RecordsError if the log cannot be written."""
        now = time.monotonic_ns()
        for control in self._controls:
            control.speak(self.gate, now)
        if now >= self._watch_due_ns:
            self._watch_due_ns = now + PING_NS
            said = [line for watch in self._watches for line in watch.failures()]
            self._handshakes += [line for line in said if line not in self._handshakes]
        self._poller.poll(self._sleep_ns(now) // 1_000_000 + 1)
        if self._read_encoder is not None:
            self._read_encoder(time.monotonic_ns())
        for control in self._controls:
            control.hear(self.gate)
        for verdicts in self._verdicts:
            self._hear(verdicts)
        self.gate.step(time.monotonic_ns())

    def trigger(self, part: str) -> None:
        """Tell the station that this part is in front of its camera now. Needs `Rules(announced=True)`.

        Raises ValueError if `part` is empty, has more than 200 characters or one that is not printable.
        """
        trigger = Trigger(part=part)
        self.gate.expect(part, time.monotonic_ns())
        for control in self._controls:
            control.say(trigger)

    def close(self) -> None:
        """Send the last acknowledgements, for 0.2 s at most, and leave."""
        for control in self._controls:
            control.flush()
        for watch in self._watches:
            watch.close()
        self._context.destroy(linger=LINGER_MS)

    def _sleep_ns(self, now: int) -> int:
        wait = self.gate.wait_ns(now)
        return LONGEST_SLEEP_NS if wait is None else min(wait, LONGEST_SLEEP_NS)

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
            self.gate.hear(message, self.heard_ns)

    def _decide(self, decision: Decision) -> None:
        if self._log is not None:
            self._log.write(decision)
        try:
            self._actuate(decision)
        except ActuatorError as error:
            self.gate.fail(str(error))

    def _acknowledge(self, epoch: str, seq: int, fate: Fate) -> None:
        try:
            acknowledge = Acknowledge(epoch=epoch, seq=seq, fate=fate)
        except ValueError:  # no station of this project counts so
            return
        for control in self._controls:
            control.owe(acknowledge)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why no connection came about, each reason once, what the station would not do, the last of each, and the name
        of a station that answers in place of this one.
        """
        refused = (f"the station refused {c.refusal}" for c in self._controls if c.refusal is not None)
        return (*self._handshakes, *refused, *(c.other_station for c in self._controls if c.other_station is not None))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Stations whose budget is longer than this gate can wait, a line each."""
        return tuple(control.remark for control in self._controls if control.remark is not None)

    @property
    def is_required(self) -> bool:
        """Whether a station said that it waits for this controller."""
        return any(control.is_required for control in self._controls)


def _most_budget_ms(belt: Belt, rules: Rules) -> float | None:
    """The longest budget of a station whose verdicts arrive before the gate decides; None if that is not constant."""
    after_ms = belt.decides_after_ms
    return None if after_ms is None else max(0.0, after_ms - rules.transit_ms)


def _budget_remark(welcome: Welcome, most_budget_ms: float | None) -> str | None:
    """A line about a budget that is too long for this gate."""
    if most_budget_ms is None or welcome.budget_ms <= most_budget_ms:
        return None
    return (
        f"{welcome.station} may take {welcome.budget_ms:g} ms for a verdict, but this gate can use verdicts up to "
        f"{most_budget_ms:g} ms after capture (travel - lead - transit) and rejects later ones; give the station "
        f"--budget-ms {most_budget_ms:g} or less, or this gate a longer --travel-ms"
    )


class _Control:
    """One connection to a control socket. What cannot be sent now is dropped, but for acknowledgements."""

    def __init__(
        self, socket: zmq.Socket[bytes], name: str, station: str, verdicts: str, most_budget_ms: float | None
    ) -> None:
        self.remark: str | None = None
        self.refusal: str | None = None
        self.other_station: str | None = None
        self.is_required = False
        self._socket, self._name, self._station, self._verdicts = socket, name, station, verdicts
        self._most_budget_ms = most_budget_ms
        self._pings: dict[int, int] = {}
        self._nonce = 0
        self._asked: str | None = None
        self._due_ns = 0
        self._owed: deque[Acknowledge] = deque(maxlen=10_000)

    def speak(self, gate: Gate, now: int) -> None:
        """The sign of life, the question what time it is and, until it is answered, how the station stands."""
        may_join = gate.wants_snapshot and gate.epoch != self._asked
        if now < self._due_ns and not may_join:
            return
        self._due_ns = now + PING_NS
        self.flush(MOST_OWED)
        self._nonce += 1
        self._pings[self._nonce] = time.monotonic_ns()
        while len(self._pings) > MOST_PINGS:
            del self._pings[next(iter(self._pings))]
        self.say(Ping(nonce=self._nonce))
        if gate.wants_snapshot and self.say(AskSnapshot()):
            self._asked = gate.epoch

    def hear(self, gate: Gate) -> None:
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
                        gate.pong(reply.epoch, reply.now, sent_ns, received_ns)
                case Snapshot():
                    gate.snapshot(reply.heartbeat)
                case Triggered():
                    gate.number(reply.part, reply.epoch, reply.seq)
                case Welcome():
                    self.is_required, self.refusal = reply.is_required, None
                    self.remark = _budget_remark(reply, self._most_budget_ms)
                    self.other_station = other_station(self._verdicts, reply.station, self._station)
                case Refused():
                    self.refusal = f"{reply.request}: {reply.why}"

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
        if self.say(Hello(client=self._name, most_budget_ms=self._most_budget_ms)):
            for _ in range(len(self._owed) if most is None else min(most, len(self._owed))):
                if not self.say(self._owed[0]):
                    return
                self._owed.popleft()
