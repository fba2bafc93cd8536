"""Whatever station, network and PLC do: pass bit ⊆ in-time final goods of the current epoch for the number beside it.

The model knows the true time of everything, and judges what the PLC reads by it. The PLC is slow, silent, repeats its
acknowledgements, skips some, writes wrong ones, and reads its block in slices while it is written. EDGE_EXAMPLES=N
tries N random runs instead of a fixed fifty.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.simulated_station import BUDGET_MS, MS, ModelledStation

from edge.channel.control_messages import Fate, Trigger
from edge.gate.station_clock import DRIFT_PPM
from edge.gate.station_view import LEASE_NS
from edge.plc.handshake import Handshake, HandshakeRules, Numbers, order_number
from edge.plc.process_image import Entry, Readable, Written
from edge.plc.registers import Status, Words, may_pass, pack, steps
from edge.verdict import Heartbeat, Outcome, State, StateChange, Verdict

TURN_MS = 10
BEAT_MS = 100
TRANSIT_MS, HOLD_MS = 50.0, 100.0
START = 5_000_000 * MS
DRIFT = 0.9 * DRIFT_PPM / 1e6

AGES_MS = st.sampled_from([1.0, 20.0, 60.0, 99.9])
SAYS = st.sampled_from(["good"] * 6 + ["reject", "camera", "late"])
DELAYS_MS = st.sampled_from([0] * 6 + [10, 40, 60, 120, 300, 900])
COPIES = st.sampled_from([1] * 8 + [0, 2])
STATES = st.sampled_from([State.EXECUTING] * 3 + [State.HELD, State.SUSPENDED, State.ERROR, State.STOPPED])

Message = Verdict | Heartbeat | StateChange


@dataclass
class Truth:
    """What the model knows of one verdict."""

    verdict: Verdict
    exposed_ns: int
    came_ns: int
    is_spoilt: bool = False  # a gap, a lost lease, another epoch or an acknowledgement came after it
    why: str = ""


@dataclass
class Run:
    """What the model knows of one run of the station."""

    sent_ns: list[int] = field(default_factory=list)  # true times of the heartbeats that were delivered
    reached: int = 0
    joined_ns: int | None = None
    history_to: int = 0
    former_ns: int = 0
    heard_ns: int = 0
    last_word: tuple[int, State] = (-(10**30), State.PREOPERATIONAL)
    is_over: bool = False


class HandshakeUnderAttack(RuleBasedStateMachine):
    """A handshake, a station, a network, a PLC, and the truth."""

    numbers: Numbers = "order"

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.wire: list[tuple[int, int, Message]] = []
        self.order = 0
        self.runs: dict[str, Run] = {}
        self.truths: dict[int, Truth] = {}  # by the number that the PLC knows the part by, the latest
        self.exposures: dict[tuple[str, int], int] = {}
        self.beats_ns: dict[tuple[str, int], int] = {}
        self.current: str | None = None
        self.left: set[str] = set()
        self.is_fault = False
        self.boot = self.epochs = 0
        self.beats = self.talks = True
        self.beat_as = State.EXECUTING
        self.lag_ms = 0
        self.entries: list[Entry] = []
        self.acks: Counter[tuple[str, int]] = Counter()
        self.image, self.words = Readable(), [0] * 60
        self.slices: list[Words] = []  # the words at moments of a read in slices
        self.written = Written()
        self.triggers: list[str] = []  # accepted by the station, in the order of their verdicts
        self.answered: set[str] = set()
        self.answers = True
        self.next_number = 7
        self.settles = True
        self.triggered_ns: dict[int, int] = {}

    # ------------------------------------------------------------------------------------------------ the station

    @initialize(offset=st.integers(-(10**15), 10**15), drift=st.floats(-DRIFT, DRIFT), rtt_ms=st.sampled_from([0, 1]))
    def start(self, offset: int, drift: float, rtt_ms: int) -> None:
        rules = HandshakeRules(self.numbers, TRANSIT_MS, HOLD_MS)
        self.handshake = Handshake(rules, self.entries.append, self.trigger_station, self.acknowledged)
        self.rtt_ns = rtt_ms * MS
        assert not any(pack(self.handshake.readable(self.now))), "the words of a handshake that has just begun are 0"
        self.begin(offset, drift)
        self.turn(300)

    def begin(self, offset: int, drift: float) -> None:
        self.boot += 1
        self.epochs += 1
        self.station = ModelledStation(f"{self.epochs:016x}", self.boot, offset, drift)
        self.beats, self.beat_as = True, State.EXECUTING
        self.triggers.clear()

    @rule(drift=st.floats(-DRIFT, DRIFT), settle=st.booleans())
    def restart(self, drift: float, settle: bool) -> None:
        self.begin(self.station.offset_ns, drift)
        if settle:
            self.turn(500)

    @rule(
        says=SAYS, age_ms=AGES_MS, delay_ms=DELAYS_MS, copies=COPIES, simulated=st.sampled_from([False] * 5 + [True]),
        parts=st.integers(1, 4), after_ms=st.sampled_from([0, 10, 40]),
    )  # fmt: skip
    def publish(
        self, says: str, age_ms: float, delay_ms: int, copies: int, simulated: bool, parts: int, after_ms: int
    ) -> None:
        """Parts, of which the network loses, doubles or delays the first."""
        for part in range(parts):
            changes: dict[str, Any] = {"simulated": simulated}
            if self.numbers == "plc":
                if not self.triggers:
                    return
                changes["part"] = self.triggers.pop(0)
            verdict = self.station.verdict(self.now, age_ms, says, **changes)
            self.exposures[verdict.epoch, verdict.timing.captured] = self.now - round(age_ms * MS)
            for copy in range(copies if part == 0 else 1):
                self.send(verdict, (delay_ms if part == 0 else 0) + 70 * copy)
            self.turn(after_ms)

    @precondition(lambda self: self.station.seq > 0)
    @rule(back=st.integers(0, 3))
    def contradict(self, back: int) -> None:
        """A station that gives a second verdict for a number."""
        seq = max(1, self.station.seq - back)
        verdict = self.station.verdict(self.now, 5.0, "good", seq=seq, part=str(seq))
        self.exposures[verdict.epoch, verdict.timing.captured] = self.now - 5 * MS
        self.send(verdict, 0)

    @rule(skipped=st.sampled_from([1, 2, 12, 2**40]))
    def skip(self, skipped: int) -> None:
        """Verdicts that nobody ever sees, those of all accepted triggers among them."""
        self.station.seq = min(self.station.seq + max(skipped, len(self.triggers)), 2**50)
        self.triggers.clear()

    @rule(beats=st.sampled_from([True, False]), state=STATES)
    def change_state(self, beats: bool, state: State) -> None:
        self.beats, self.beat_as = beats, state
        self.send(self.station.state(self.now, state), 0)

    @rule(goods=st.integers(1, 4))
    def recover(self, goods: int) -> None:
        """All is well: heartbeats, goods one after the other, a PLC that reads and acknowledges."""
        if self.beat_as is State.STOPPED:
            self.begin(self.station.offset_ns, self.station.drift)
        self.beats, self.talks, self.beat_as = True, True, State.EXECUTING
        self.turn(500)
        for _ in range(goods):
            if self.numbers == "plc":
                self.trigger(False)
                self.turn(20)
            self.publish("good", 1.0, 0, 1, False, 1, 10)
            self.plc_cycle(True)
            self.turn(20)

    @precondition(lambda self: len(self.runs) > 1)
    @rule()
    def old_station_speaks(self) -> None:
        old = list(self.runs)[-2]
        self.send(ModelledStation(old, self.boot, self.station.offset_ns, 0.0, 5).heartbeat(self.now), 0)

    # ------------------------------------------------------------------------------------------------ the network

    def send(self, message: Message, delay_ms: int) -> None:
        self.order += 1
        self.wire.append((self.now + (self.lag_ms + delay_ms) * MS, self.order, message))

    @rule(lag_ms=st.sampled_from([0, 60, 200, 400]))
    def lag(self, lag_ms: int) -> None:
        self.lag_ms = lag_ms
        self.turn(500)
        self.lag_ms = 0

    @rule(ms=st.sampled_from([100, 700]))
    def cut_control(self, ms: int) -> None:
        self.talks = False
        self.turn(ms)
        self.talks = True

    # ------------------------------------------------------------------------------------------------ the PLC

    def trigger_station(self, trigger: Trigger) -> bool:
        if self.talks:
            self.triggers.append(trigger.part)
            self.answered.discard(trigger.part)
        return self.talks

    def acknowledged(self, epoch: str, seq: int, fate: Fate) -> None:
        self.acks[epoch, seq] += 1
        assert self.acks[epoch, seq] == 1, "acknowledged twice to the station"

    def write(self, **changes: Any) -> None:
        self.written = Written(**(vars(self.written) | changes))
        number = self.written.acknowledged
        shown, epoch = (self.image.number, self.image.result_epoch) if self.image.valid else (None, "")
        self.handshake.write(self.written, self.now)
        truth = self.truths.get(number)
        if number == shown and truth is not None and truth.verdict.epoch == epoch:
            self.spoil(truth, "acknowledged")
        self.sync()

    @rule(zeroes=st.booleans())
    def plc_cycle(self, zeroes: bool) -> None:
        """As the guide says: read the block, acknowledge what is shown."""
        self.read(self.words)
        if self.words[0] & Status.VALID:
            self.write(acknowledged=self.words[2] << 16 | self.words[3])
        elif zeroes:
            self.write(acknowledged=0)

    @rule(number=st.one_of(st.integers(0, 12), st.just(2**32 - 1)), ahead=st.integers(-2, 3))
    def acknowledge_wrongly(self, number: int, ahead: int) -> None:
        shown = self.words[2] << 16 | self.words[3]
        self.write(acknowledged=max(0, shown + ahead) if number > 6 else number)

    @rule()
    def repeat(self) -> None:
        """A PLC that writes its registers in each cycle."""
        self.write()
        self.write()

    @rule(clear=st.booleans())
    def clear(self, clear: bool) -> None:
        self.write(clear=clear)

    @rule(reuse=st.booleans())
    def trigger(self, reuse: bool) -> None:
        if not reuse:
            self.next_number += 1
        self.triggered_ns[self.next_number] = self.now
        self.write(trigger=False)
        self.write(trigger=True, trigger_number=self.next_number)

    @rule(answers=st.booleans())
    def answer_triggers(self, answers: bool) -> None:
        self.answers = answers

    @rule()
    def refuse_trigger(self) -> None:
        if self.triggers and self.triggers[-1] not in self.answered:
            self.triggers.pop()
            self.handshake.refuse("trigger", "no")
            self.sync()

    @rule(at=st.integers(1, 16), last=st.booleans())
    def read_slice(self, at: int, last: bool) -> None:
        """A PLC that reads its block in several requests, with anything in between."""
        self.slices.append(self.words)
        if last:
            self.read_slices(at)

    def read_slices(self, at: int) -> None:
        """The words before `at` from the first moment, the others from the last, and the reverse: what a PLC lets pass
        is a part that the registers let pass at one of the moments.
        """
        first, last = self.slices[0], self.slices[-1]
        let_pass = [whole[4:6] for whole in (first, last) if whole[0] & Status.PASS]
        for words in (first[:at] + last[at:], last[:at] + first[at:]):
            if may_pass(words, words[2] << 16 | words[3]):
                assert words[2:4] in let_pass
        self.slices.clear()

    # --------------------------------------------------------------------------------------------------- time

    @rule(ms=st.sampled_from([10, 50, 100, 300, 700]))
    def turn(self, ms: int) -> None:
        """Time passes."""
        for _ in range(ms // TURN_MS):
            self.tick()
            self.hear()

    @rule(ms=st.sampled_from([50, 200, 400]))
    def freeze(self, ms: int) -> None:
        """The process of the handshake does not run; whoever serves the registers still does."""
        for _ in range(ms // TURN_MS):
            self.tick()
            self.read(pack(self.image.at(self.now)))
        self.hear()

    def tick(self) -> None:
        self.now += TURN_MS * MS
        for truth in self.truths.values():
            if self.now >= truth.exposed_ns + (BUDGET_MS + HOLD_MS) * MS * (1 + DRIFT) + MS:
                self.spoil(truth, "its time is over")
        if not self.is_beating(self.now):
            self.spoil_all("no heartbeat")
        if self.now // MS % BEAT_MS < TURN_MS and self.beats:
            beat = self.station.heartbeat(self.now, self.beat_as)
            self.beats_ns[beat.epoch, beat.sent] = self.now
            self.send(beat, 0)

    def is_beating(self, at_ns: int) -> bool:
        run = self.runs.get(self.current or "")
        return run is not None and any(at_ns - sent < LEASE_NS * (1 + 2 * DRIFT) for sent in run.sent_ns[-8:])

    def hear(self) -> None:
        if self.talks and self.beats:
            self.handshake.pong(self.station.epoch, self.station.clock(self.now), self.now - self.rtt_ns, self.now)
            run = self.runs.get(self.station.epoch)
            if self.handshake.wants_snapshot and self.current == self.station.epoch and run is not None:
                self.handshake.snapshot(self.station.heartbeat(self.now))
                run.joined_ns, run.history_to = self.now, self.station.seq
            for ahead, part in enumerate(self.triggers if self.answers else (), 1):
                if part not in self.answered:
                    self.answered.add(part)
                    self.handshake.number(part, self.station.epoch, self.station.seq + ahead)
        due = sorted(entry for entry in self.wire if entry[0] <= self.now)
        self.wire = [entry for entry in self.wire if entry[0] > self.now]
        for _, _, message in due:
            self.know(message)
            self.handshake.hear(message, self.now)
        self.handshake.step(self.now)
        self.sync()

    def sync(self) -> None:
        """The words as a bus writes them that cannot change a block at once, each read in between."""
        after = self.handshake.readable(self.now)
        for image in steps(self.image, after):
            self.words = pack(image)
            self.read(self.words)
            if self.slices:
                self.slices.append(self.words)
        self.image = after

    # -------------------------------------------------------------------------------------------------- the truth

    def know(self, message: Message) -> None:
        """The model's own books of what was delivered."""
        run = self.runs.setdefault(message.epoch, Run())
        if message.epoch != self.current:
            self.is_fault = self.is_fault or message.epoch in self.left
            if self.is_fault:
                self.spoil_all("two stations")
                return
            self.spoil_all("another epoch")
            if self.current is not None:
                self.left.add(self.current)
                run.former_ns = self.runs[self.current].heard_ns
            else:
                run.reached = message.seq - 1 if isinstance(message, Verdict) else message.last_seq
            self.current = message.epoch
        run.heard_ns = self.now
        if isinstance(message, Verdict):
            if message.seq > run.reached + 1:
                self.spoil_all("gap")
            if message.seq > run.reached and message.part.isdigit() | (self.numbers == "order"):
                number = order_number(message.seq) if self.numbers == "order" else int(message.part)
                exposed_ns = self.exposures[message.epoch, message.timing.captured]
                self.truths[number] = Truth(message, exposed_ns, self.now)
            run.reached = max(run.reached, message.seq)
            return
        if message.last_seq > run.reached:
            self.spoil_all("gap")
        run.reached = max(run.reached, message.last_seq)
        if message.sent >= run.last_word[0]:
            run.last_word = message.sent, message.state
        if message.state is State.STOPPED:
            run.is_over = True
            self.spoil_all("stopped")
        if isinstance(message, Heartbeat) and (sent := self.beats_ns.get((message.epoch, message.sent))) is not None:
            run.sent_ns.append(sent)

    def spoil_all(self, why: str) -> None:
        for truth in self.truths.values():
            self.spoil(truth, why)

    def spoil(self, truth: Truth, why: str) -> None:
        truth.is_spoilt, truth.why = True, truth.why or why

    def read(self, words: Words) -> None:
        """The rule above all others: what a PLC that reads now may let pass."""
        status = Status(words[0])
        assert not (Status.PASS in status and Status.FAIL in status)
        assert Status.VALID in status or not status & (Status.PASS | Status.FAIL)
        passing = words[4] << 16 | words[5]
        assert (passing != 0) == (Status.PASS in status)
        if Status.PASS not in status:
            return
        truth = self.truths.get(words[2] << 16 | words[3])
        assert truth is not None, "no verdict has this number"
        verdict, run = truth.verdict, self.runs[truth.verdict.epoch]
        assert not truth.is_spoilt, truth.why
        assert verdict.epoch == self.current
        assert verdict.verdict is Outcome.GOOD
        assert not verdict.simulated
        assert run.joined_ns is not None
        assert truth.came_ns >= run.joined_ns
        assert verdict.seq > run.history_to
        assert truth.came_ns >= run.former_ns + LEASE_NS
        assert (truth.came_ns - truth.exposed_ns) / MS <= BUDGET_MS + TRANSIT_MS + 1
        assert self.is_beating(self.now)
        assert not run.is_over
        assert run.last_word[1] not in (State.PREOPERATIONAL, State.ERROR, State.STOPPED)
        if self.numbers == "plc":
            assert passing in self.triggered_ns

    def teardown(self) -> None:
        """In the end each result was shown once, and each pass bit was logged once."""
        if not hasattr(self, "handshake"):
            return
        for _ in range(20):
            self.turn(10)
            self.plc_cycle(True)
        assert not self.image.valid, "a PLC that acknowledges empties the queue"
        shown = Counter((e.epoch, e.seq) for e in self.entries if e.event in ("pass", "fail", "overrun") and e.seq)
        assert not [key for key, count in shown.items() if count > 1]
        logged = sum(entry.event == "pass" for entry in self.entries)
        assert logged == self.handshake.passed


class NumberedHandshakeUnderAttack(HandshakeUnderAttack):
    """The same with parts that the PLC triggers and numbers."""

    numbers: Numbers = "plc"


_SETTINGS = settings(
    max_examples=int(os.environ.get("EDGE_EXAMPLES", 50)),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="EDGE_EXAMPLES" not in os.environ,
    report_multiple_bugs=False,
)
TestHandshake = HandshakeUnderAttack.TestCase
TestHandshake.settings = _SETTINGS
TestNumberedHandshake = NumberedHandshakeUnderAttack.TestCase
TestNumberedHandshake.settings = _SETTINGS


def test_a_run_without_faults_passes_its_goods() -> None:
    """The model is no proof of anything if nothing ever passes in it."""
    for kind in (HandshakeUnderAttack, NumberedHandshakeUnderAttack):
        machine = kind()
        machine.start(0, 0.0, 1)
        machine.recover(4)
        assert machine.handshake.passed == 4
        assert [entry.event for entry in machine.entries] == ["pass", "acknowledged"] * 4
