"""State of a station as a controller heard it: epoch, state, lease, clock and last sequence number.

The gate, the PLC handshake and the groups of stations share this class. It has no socket and reads no clock.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from edge.gate.station_clock import StationClock
from edge.verdict import Heartbeat, State, StateChange, Verdict

LEASE_NS = 300_000_000
"""Longest validity of a heartbeat, whatever it says: three heartbeat intervals."""

LIVING = frozenset({State.READY, State.EXECUTING, State.HELD, State.SUSPENDED})
"""States of a station whose goods count."""

MOST_LEFT = 1_000
"""Former epochs that are kept, to detect a message of one of them."""


class Speaker(Enum):
    """Sender of a message: the current epoch, a new epoch, or a second station of the same name."""

    CURRENT = auto()
    NEW = auto()
    FOREIGN = auto()


@dataclass
class _Epoch:
    """State of the station's present run. `told` and `valid_until` are times of the station's clock."""

    opens_ns: int  # nothing passes before
    last_seq: int  # the last number heard or missed
    clock: StationClock = field(default_factory=StationClock)
    has_heartbeat: bool = False
    is_joined: bool = False
    history_to: int = 0
    state: State = State.PREOPERATIONAL
    cause: str | None = None
    is_ready: bool = False
    told: int | None = None  # when it said last how it stands
    valid_until: int = 0
    beat_ns: int = 0


class StationView:
    """Follows one station. All times are local, `time.monotonic_ns()`, and never go back from call to call.

    `fault` says that two stations seem to have the name; it stays until `forget`.
    """

    def __init__(self) -> None:
        """Start without an epoch."""
        self.forget()

    def forget(self) -> None:
        """Forget every epoch and the fault."""
        self.fault: str | None = None
        self.epoch: str | None = None
        self._left: deque[str] = deque(maxlen=MOST_LEFT)
        self._boot = 0
        self._heard_ns = 0
        self._run = _Epoch(0, 0)

    # ---------------------------------------------------------------------------------------------------- messages

    def identify(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> Speaker:
        """The sender of a message. An epoch that comes back, or an earlier boot, is a second station: `fault` is set.

        After NEW the caller settles what it holds of the former epoch, and then calls `begin`.
        """
        if message.epoch != self.epoch:
            if self.fault is None and message.epoch in self._left:
                self.fault = f"two stations seem to have this name: epoch {message.epoch} had ended and speaks again"
            elif self.fault is None and 0 < message.boot < self._boot:
                self.fault = f"two stations seem to have this name: run {message.boot} speaks after run {self._boot}"
            return Speaker.NEW if self.fault is None else Speaker.FOREIGN
        self._heard_ns = at_ns
        return Speaker.CURRENT

    def begin(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Follow the epoch of this message. Nothing passes until the former epoch was silent for a whole lease."""
        if self.epoch is None:  # what went before is history, not lost
            reached = message.seq - 1 if isinstance(message, Verdict) else message.last_seq
            self._run = _Epoch(at_ns, reached)
        else:
            self._left.append(self.epoch)
            self._run = _Epoch(self._heard_ns + LEASE_NS, 0)
        self.epoch, self._boot = message.epoch, message.boot or self._boot
        self._heard_ns = at_ns

    def tell(self, message: Heartbeat | StateChange, at_ns: int) -> bool:
        """Take a heartbeat or a change of state of the current epoch. Returns whether it says something new."""
        run = self._run
        if run.told is not None and message.sent < run.told:
            return False
        if run.state is State.STOPPED:  # that was its last word
            return False
        run.told, run.state, run.cause = message.sent, message.state, message.cause
        if isinstance(message, Heartbeat):
            run.has_heartbeat, run.is_ready = True, message.ready
            run.valid_until = min(message.valid_until, message.sent + LEASE_NS)
            run.beat_ns = at_ns
        return True

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> bool:
        """Take the station's time: `now` of its clock was between local `sent_ns` and `received_ns`.

        Returns whether it contradicts earlier ones: then the time of this machine or of the station's stood still.
        """
        return epoch == self.epoch and self._run.clock.pong(now, sent_ns, received_ns)

    def suspended(self) -> None:
        """Drop what is known of the station's clock, because this machine's clock stood still."""
        self._run.clock.begin_anew()

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the epoch: verdicts up to the snapshot's last one are history and pass nothing."""
        if self.wants_snapshot and heartbeat.epoch == self.epoch:
            self._run.is_joined, self._run.history_to = True, heartbeat.last_seq

    # ---------------------------------------------------------------------------------------------------- what is known

    @property
    def end_cause(self) -> str | None:
        """Why the station stopped, in its words; None while it runs."""
        return (self._run.cause or "no cause given") if self._run.state is State.STOPPED else None

    @property
    def wants_snapshot(self) -> bool:
        """Whether a heartbeat of an epoch was heard that is not joined yet."""
        return self._run.has_heartbeat and not self._run.is_joined

    @property
    def state(self) -> State:
        """The station's state, as it said last."""
        return self._run.state

    @property
    def last_seq(self) -> int:
        """The last number of the epoch that was heard or missed."""
        return self._run.last_seq

    @last_seq.setter
    def last_seq(self, seq: int) -> None:
        self._run.last_seq = seq

    @property
    def is_ready(self) -> bool:
        """Whether the epoch is joined, and its last heartbeat said that parts that come now are judged."""
        return self._run.is_joined and self._run.is_ready and self._run.state in LIVING

    def lease_ns(self, at_ns: int) -> int | None:
        """The local time until which the last heartbeat holds, by the station's clock and by when it was heard; None
        if that is not known, or if the station's state is none in which its goods count.
        """
        until = self._run.clock.earliest(self._run.valid_until, at_ns)
        return None if until is None or self._run.state not in LIVING else min(until, self._run.beat_ns + LEASE_NS)

    def is_leased(self, at_ns: int) -> bool:
        """Whether the station's last heartbeat still holds."""
        until = self.lease_ns(at_ns)
        return until is not None and at_ns < until

    def is_history(self, verdict: Verdict, at_ns: int) -> bool:
        """Whether a verdict that comes now was given before this controller joined, or while a former run may live."""
        return not self._run.is_joined or verdict.seq <= self._run.history_to or at_ns < self._run.opens_ns

    def exposed(self, verdict: Verdict, at_ns: int) -> int | None:
        """The local time before which the part cannot have been exposed; None if that is not known."""
        exposed = self._run.clock.earliest(verdict.timing.captured, at_ns)
        return None if exposed is not None and exposed > at_ns else exposed  # no clock shows the future

    def exposed_by(self, verdict: Verdict, at_ns: int) -> int | None:
        """The local time after which the part cannot have been exposed; None if that is not known."""
        return self._run.clock.latest(verdict.timing.captured, at_ns)
