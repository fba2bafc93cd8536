"""Whatever the station and the network do: passed ⊆ in-time final goods of the current epoch for that very part.

The test's model has the true time of every event, and checks each decision by these times, not by the messages that the
gate received. The gate's clock shows the true time. The station's clock has an offset, and runs faster or slower.
EDGE_EXAMPLES=N tries N random examples instead of fifty fixed ones.
"""

import os
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.simulated_station import BUDGET_MS, MS, ModelledStation

from edge.channel.control_messages import Fate
from edge.gate.belt import Belt, EncoderBelt, SteadyBelt
from edge.gate.decision import Decision
from edge.gate.gate import Gate, Rules
from edge.gate.station_clock import DRIFT_PPM
from edge.gate.station_view import LEASE_NS
from edge.verdict import Heartbeat, Outcome, State, StateChange, Verdict

TURN_MS = 20
BEAT_MS = 100
TRANSIT_MS = 50.0
LEAD_MS = 50
PULSES_A_MS = 1
START = 5_000_000 * MS

DRIFT = 0.9 * DRIFT_PPM / 1e6
AGES_MS = st.sampled_from([1.0, 20.0, 60.0, 99.9])
SAYS = st.sampled_from(["good"] * 5 + ["reject", "camera", "late"])
DELAYS_MS = st.sampled_from([0] * 6 + [3, 40, 120, 160, 300, 900])
STATES = st.sampled_from([State.EXECUTING] * 3 + [State.HELD, State.SUSPENDED, State.ERROR, State.STOPPED])
COPIES = st.sampled_from([1] * 8 + [0, 2, 3])

Message = Verdict | Heartbeat | StateChange


@dataclass
class Truth:
    """The true history of one run of the station."""

    sent: list[int] = field(default_factory=list)  # true times of the heartbeats that were delivered
    reached: int = 0  # the largest number in a delivered message
    first: dict[int, tuple[Verdict, int]] = field(default_factory=dict)  # by number, the first verdict and its arrival
    in_order: set[int] = field(default_factory=set)  # numbers delivered before any later number
    captured: dict[str, int] = field(default_factory=dict)  # true time of exposure, by part
    pong_ns: int | None = None
    joined_ns: int | None = None
    history_to: int = 0
    is_over: bool = False  # the end was announced
    last_word: tuple[int, State] = (-(10**30), State.PREOPERATIONAL)
    former_ns: int = 0  # last delivery of a message of the previous run
    heard_ns: int = 0


class GateUnderAttack(RuleBasedStateMachine):
    """A gate, a station, a network between them, and the true history."""

    encoder = False

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.names = count()
        self.wire: list[tuple[int, int, Message]] = []
        self.order = count()
        self.truths: dict[str, Truth] = {}
        self.sent_ns: dict[tuple[str, int], int] = {}  # true time at which a heartbeat left, by epoch and station time
        self.decided: set[tuple[str | None, int | None]] = set()
        self.before_reset: set[tuple[str | None, int | None]] = set()
        self.owed: set[tuple[str, int]] = set()
        self.acks: list[tuple[str, int, Fate]] = []
        self.current: str | None = None
        self.left: set[str] = set()
        self.is_fault = False
        self.beats, self.talks, self.is_cut = True, True, False
        self.beat_as = State.EXECUTING
        self.boot = self.heard_boot = 0
        self.lag_ms = 0
        self.reset_ns = 0
        self.shows = True
        self.speed = PULSES_A_MS
        self.track: list[tuple[int, int]] = [(START - 1000 * MS, 0)]  # true time and place of the belt

    # --------------------------------------------------------------------------------------------------- the belt

    def place(self, t: int) -> float:
        """True place of the belt at the time `t`."""
        if not self.encoder:
            return t
        after = bisect_right(self.track, t, key=lambda sample: sample[0])
        before, here = self.track[after - 1]
        if after == len(self.track):
            return here + (t - before) / MS * self.speed
        later, there = self.track[after]
        return here + (there - here) * (t - before) / (later - before)

    def move(self) -> None:
        if isinstance(self.belt, EncoderBelt):
            self.track.append((self.now, self.track[-1][1] + round((self.now - self.track[-1][0]) / MS * self.speed)))
            self.belt.sample(*self.track[-1])

    # ------------------------------------------------------------------------------------------------ the station

    @initialize(
        travel_ms=st.sampled_from([600, 600, 120]),
        rtt_ms=st.sampled_from([0, 1, 80]),
        way_there=st.sampled_from([0.0, 0.5, 1.0]),
        offset=st.integers(-(10**15), 10**15),
        drift=st.floats(-DRIFT, DRIFT),
    )
    def start(self, travel_ms: int, rtt_ms: int, way_there: float, offset: int, drift: float) -> None:
        """Start a line. `rtt_ms` is the time of a ping and its pong, `way_there` the share of the ping."""
        if self.encoder:
            self.belt: Belt = EncoderBelt(travel_ms * PULSES_A_MS, LEAD_MS * PULSES_A_MS)
        else:
            self.belt = SteadyBelt(travel_ms, LEAD_MS)
        rules = Rules(transit_ms=TRANSIT_MS)
        self.gate = Gate(self.belt, self.judge, lambda *ack: self.acks.append(ack), rules)
        self.rtt_ns, self.there_ns = rtt_ms * MS, round(rtt_ms * MS * way_there)
        self.move()
        self.begin(offset, drift)
        self.turn(300, False)

    def begin(self, offset: int, drift: float) -> None:
        self.boot += 1
        self.station = ModelledStation(f"e{next(self.names)}", self.boot, offset, drift)
        self.beats, self.beat_as = True, State.EXECUTING

    @rule(
        offset=st.integers(-(10**15), 10**15) | st.none(),
        drift=st.floats(-DRIFT, DRIFT),
        settle=st.booleans(),
    )
    def restart(self, offset: int | None, drift: float, settle: bool) -> None:
        """Start another run, on this machine or another. Messages of the previous run are still under way."""
        self.begin(
            self.station.offset_ns if offset is None else offset, self.station.drift if offset is None else drift
        )
        if settle:
            self.turn(500, False)

    @rule(says=SAYS, lag_ms=st.sampled_from([0, 100]), settle=st.booleans())
    def restart_and_be_slow_to_tell(self, says: str, lag_ms: int, settle: bool) -> None:
        """Restart with a late snapshot: the first parts arrive before it, or after it although it includes them."""
        self.shows = False
        self.restart(None, self.station.drift, settle)
        for part in range(4):
            self.shows = part > 1
            self.lag_ms = lag_ms
            self.send(self.part(says, 20.0), 0)
            self.lag_ms = 0
            self.turn(60, False)
        self.shows = True
        self.turn(700, False)

    @rule(
        says=SAYS, age_ms=AGES_MS, delay_ms=DELAYS_MS, copies=COPIES, simulated=st.sampled_from([False] * 5 + [True]),
        after_ms=st.sampled_from([20, 40]), parts=st.integers(1, 4),
    )  # fmt: skip
    def publish(
        self, says: str, age_ms: float, delay_ms: int, copies: int, simulated: bool, after_ms: int, parts: int
    ) -> None:
        """Publish parts; the network loses, duplicates or delays the first of them."""
        for part in range(parts):
            verdict = self.part(says, age_ms, simulated=simulated)
            for copy in range(copies if part == 0 else 1):
                self.send(verdict, (delay_ms if part == 0 else 0) + 70 * copy)
            self.turn(after_ms, False)

    @precondition(lambda self: self.station.seq > 0)
    @rule(back=st.integers(0, 3), delay_ms=DELAYS_MS)
    def contradict(self, back: int, delay_ms: int) -> None:
        """Send a second verdict with an earlier number: a faulty station, or another sender in its name."""
        seq = max(1, self.station.seq - back)
        self.send(self.part("good", 5.0, seq=seq, part=f"another {self.now}"), delay_ms)

    def part(self, says: str, age_ms: float, **changes: Any) -> Verdict:
        verdict = self.station.verdict(self.now, age_ms, says, **changes)
        self.truth(verdict).captured[verdict.part] = self.now - round(age_ms * MS)
        return verdict

    @rule(skipped=st.sampled_from([1, 2, 1100, 2**50]))
    def skip(self, skipped: int) -> None:
        """Lose verdicts: the station counts them, and none is delivered."""
        self.station.seq = min(self.station.seq + skipped, 2**52)

    @rule(beats=st.sampled_from([True] * 3 + [False]), state=STATES)
    def change_state(self, beats: bool, state: State) -> None:
        self.beats, self.beat_as = beats, state
        self.send(self.station.state(self.now, state), 0)

    @rule(ms=st.sampled_from([0, 100, 700]))
    def recover(self, ms: int) -> None:
        """Restore normal operation. If the run had ended, another one begins."""
        if self.beat_as is State.STOPPED:
            self.begin(self.station.offset_ns, self.station.drift)
        self.beats, self.beat_as, self.speed = True, State.EXECUTING, PULSES_A_MS
        self.turn(500, False)
        for _ in range(3):
            self.send(self.part("good", 20.0), 0)
            self.turn(40, False)
        self.turn(ms, False)

    @rule(speed=st.sampled_from([0, PULSES_A_MS, PULSES_A_MS, 3 * PULSES_A_MS]))
    def drive(self, speed: int) -> None:
        self.speed = speed

    # ------------------------------------------------------------------------------------------------ the network

    def send(self, message: Message, delay_ms: int) -> None:
        self.wire.append((self.now + (self.lag_ms + delay_ms) * MS, next(self.order), message))

    @rule(lag_ms=st.sampled_from([0, 60, 200, 400]), says=SAYS)
    def lag(self, lag_ms: int, says: str) -> None:
        """Delay all published messages by `lag_ms`, but not the pongs."""
        self.send(self.part(says, 20.0), 0)
        self.lag_ms = lag_ms
        self.turn(700, False)
        self.lag_ms = 0

    @rule(ms=st.sampled_from([100, 700]))
    def cut_control(self, ms: int) -> None:
        self.talks = False
        self.turn(ms, False)
        self.talks = True

    @rule(ms=st.sampled_from([60, 200, 700]), judged=SAYS)
    def partition(self, ms: int, judged: str) -> None:
        """Deliver nothing for `ms`, and all pending messages at once afterwards."""
        self.is_cut = True
        self.send(self.part(judged, 20.0), 0)
        self.turn(ms, False)
        self.is_cut = False

    @precondition(lambda self: len(self.truths) > 1)
    @rule(back=st.integers(0, 2))
    def old_station_speaks(self, back: int) -> None:
        """Send a heartbeat of a run that had been replaced."""
        old = list(self.truths)[max(0, len(self.truths) - 2 - back)]
        if old != self.station.epoch:
            ghost = ModelledStation(old, self.boot, self.station.offset_ns, self.station.drift, 5)
            self.send(ghost.heartbeat(self.now), 0)

    @precondition(lambda self: self.is_fault)
    @rule()
    def reset(self) -> None:
        """Stop the second station and reset the fault, as a person does."""
        self.wire.clear()
        self.gate.reset(self.now)
        self.reset_ns = self.now
        self.current, self.heard_boot, self.is_fault = None, 0, False
        self.left.clear()
        for truth in self.truths.values():
            truth.pong_ns = truth.joined_ns = None
            truth.is_over, truth.former_ns = False, 0
            truth.last_word = Truth.last_word
        self.before_reset |= self.decided
        self.decided.clear()
        self.owed.clear()
        self.acks.clear()

    # --------------------------------------------------------------------------------------------------- the gate

    @rule(ms=st.sampled_from([20, 100, 300, 700]), sleeps=st.sampled_from([False] * 3 + [True]))
    def turn(self, ms: int, sleeps: bool) -> None:
        """Advance the time by `ms`. A gate that sleeps receives and decides only at the end."""
        for turn in range(ms // TURN_MS):
            self.now += TURN_MS * MS
            if self.now // MS % BEAT_MS < TURN_MS and self.beats:
                beat = self.station.heartbeat(self.now, self.beat_as)
                self.sent_ns[beat.epoch, beat.sent] = self.now
                self.send(beat, 0)
            if not sleeps or turn == ms // TURN_MS - 1:
                self.move()
                self.deliver()
                self.talk()
                self.gate.step(self.now)
            self.check_books()

    def deliver(self) -> None:
        if self.is_cut:
            return
        due = sorted(entry for entry in self.wire if entry[0] <= self.now)
        self.wire = [entry for entry in self.wire if entry[0] > self.now]
        for _, _, message in due:
            self.know(message)
            self.gate.hear(message, self.now)

    def talk(self) -> None:
        """Deliver a pong, whose ping arrived at `way_there` of the round trip, and a snapshot if the gate wants it."""
        if not self.talks or self.is_cut or not self.beats:
            return
        sent = self.now - self.rtt_ns
        self.gate.pong(self.station.epoch, self.station.clock(sent + self.there_ns), sent, self.now)
        truth = self.truths.get(self.station.epoch)
        if truth is not None and self.current == self.station.epoch:
            truth.pong_ns = truth.pong_ns or self.now
        if self.gate.wants_snapshot and self.shows:
            self.gate.snapshot(self.station.heartbeat(self.now))
            if truth is not None and self.current == self.station.epoch and truth.joined_ns is None:
                truth.joined_ns, truth.history_to = self.now, self.station.seq

    # -------------------------------------------------------------------------------------------------- the truth

    def truth(self, message: Message) -> Truth:
        return self.truths.setdefault(message.epoch, Truth())

    def know(self, message: Message) -> None:
        """Record the delivery of a message in the true history."""
        truth = self.truth(message)
        if message.epoch != self.current:
            if message.epoch in self.left or message.boot < self.heard_boot:
                self.is_fault = True
            if self.is_fault:
                return
            if self.current is not None:
                self.left.add(self.current)
                truth.former_ns = self.truths[self.current].heard_ns
            else:
                truth.reached = message.seq - 1 if isinstance(message, Verdict) else message.last_seq
            self.current, self.heard_boot = message.epoch, message.boot
        truth.heard_ns = self.now
        if isinstance(message, Verdict):
            if message.seq not in truth.first:
                truth.first[message.seq] = message, self.now
                if message.seq > truth.reached:
                    truth.in_order.add(message.seq)
                    self.owed.add((message.epoch, message.seq))
            truth.reached = max(truth.reached, message.seq)
            return
        truth.reached = max(truth.reached, message.last_seq)
        if message.sent >= truth.last_word[0]:
            truth.last_word = message.sent, message.state
        truth.is_over |= message.state is State.STOPPED
        if isinstance(message, Heartbeat) and (sent := self.sent_ns.get((message.epoch, message.sent))) is not None:
            truth.sent.append(sent)

    def judge(self, decision: Decision) -> None:
        """Check that each part is decided once, and that a pass is allowed by the true history."""
        named = (decision.epoch, decision.seq)
        assert named not in self.decided, "decided twice"
        self.decided.add(named)
        if not decision.passes:
            return
        assert named not in self.before_reset, "decided before a person reset a fault"
        assert decision.epoch is not None
        assert decision.seq is not None
        truth = self.truths[decision.epoch]
        verdict, came_ns = truth.first[decision.seq]
        assert decision.epoch == self.current, "of another epoch"
        assert not self.is_fault, "two stations"
        assert came_ns >= truth.former_ns + LEASE_NS, "while the former run may have lived"
        assert truth.last_word[1] not in (State.PREOPERATIONAL, State.ERROR, State.STOPPED)
        assert not truth.is_over, "the station had stopped"
        captured_ns = truth.captured[verdict.part]
        assert verdict.verdict is Outcome.GOOD
        assert not verdict.simulated
        assert decision.part == verdict.part
        assert came_ns > self.reset_ns, "judged before a person reset a fault"
        assert decision.seq in truth.in_order, "its number had been passed over"
        assert truth.pong_ns is not None, "before the first pong"
        assert truth.joined_ns is not None, "before the gate had joined"
        assert came_ns >= max(truth.pong_ns, truth.joined_ns), "on its way before the gate had joined"
        assert decision.seq > truth.history_to, "history"
        assert (came_ns - captured_ns) / MS <= BUDGET_MS + TRANSIT_MS, "too old when it came"
        at_the_gate = self.place(captured_ns) + self.belt.travel
        assert self.place(came_ns) < at_the_gate - self.belt.lead + self.rounding, "after the gate had to decide"
        assert self.place(self.now) < at_the_gate + self.rounding, "after its part was at the gate"
        assert any(self.now - sent < LEASE_NS * (1 + 2 * DRIFT) for sent in truth.sent), "no heartbeat"

    @property
    def rounding(self) -> float:
        return 1.0 if self.encoder else 0.0

    def check_books(self) -> None:
        assert self.gate.fault is None or self.is_fault
        assert not self.is_fault or self.gate.fault is not None

    def teardown(self) -> None:
        """Check that in the end no part is undecided."""
        self.speed = PULSES_A_MS
        self.turn(2000, False)
        assert self.owed <= self.decided
        acknowledged = [(epoch, seq) for epoch, seq, _ in self.acks if (epoch, seq) in self.owed]
        assert len(acknowledged) == len(set(acknowledged))


class GateWithEncoderUnderAttack(GateUnderAttack):
    """The same rules with a belt that stands still or runs faster at times."""

    encoder = True


_SETTINGS = settings(
    max_examples=int(os.environ.get("EDGE_EXAMPLES", 50)),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="EDGE_EXAMPLES" not in os.environ,
    report_multiple_bugs=False,
)
TestGate = GateUnderAttack.TestCase
TestGate.settings = _SETTINGS
TestGateWithEncoder = GateWithEncoderUnderAttack.TestCase
TestGateWithEncoder.settings = _SETTINGS
