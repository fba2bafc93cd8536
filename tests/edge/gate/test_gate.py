"""The parts that the gate passes, and those that it never passes: one claim a test, with simulated time."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulated_station import BUDGET_MS, MS, ModelledStation

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.gate.belt import Belt, EncoderBelt, SteadyBelt
from edge.gate.decision import Decision, Why
from edge.gate.gate import LATE_ALARM, MOST_IN_FLIGHT, MOST_LISTED, Gate, Rules
from edge.gate.log import GateLog
from edge.gate.station_clock import DRIFT_PPM, StationClock
from edge.verdict import State

TRAVEL_S, LEAD_S = 1.0, 0.05
START = 5_000_000 * MS
DEFAULT = Rules()


class Line:
    """A gate, a station that sends heartbeats, and simulated time."""

    def __init__(self, rules: Rules = DEFAULT, belt: Belt | None = None, joined: bool = True) -> None:
        self.decisions: list[Decision] = []
        self.acks: list[tuple[str, int, Fate]] = []
        self.belt = belt or SteadyBelt(TRAVEL_S * 1e3, LEAD_S * 1e3)
        self.gate = Gate(self.belt, self.decisions.append, lambda *ack: self.acks.append(ack), rules)
        self.station = ModelledStation()
        self.now = START
        self.beats = True
        self.beat_as = State.EXECUTING
        if joined:
            self.join()

    def join(self) -> None:
        self.gate.hear(self.station.heartbeat(self.now), self.now)
        self.pong()
        self.gate.snapshot(self.station.heartbeat(self.now))

    def pong(self) -> None:
        self.gate.pong(self.station.epoch, self.station.clock(self.now), self.now - MS // 2, self.now + MS // 2)

    def go(self, ms: float, each_ms: int = 10) -> None:
        """Advance the time by `ms`: a heartbeat and a pong every 100 ms, a step of the gate every `each_ms`."""
        for _ in range(int(ms / each_ms)):
            self.now += each_ms * MS
            if self.beats and self.now // MS % 100 < each_ms:
                self.gate.hear(self.station.heartbeat(self.now, self.beat_as), self.now)
                self.pong()
            self.gate.step(self.now)

    def say(self, says: str = "good", age_ms: float = 20.0, **changes: Any) -> None:
        self.gate.hear(self.station.verdict(self.now, age_ms, says, **changes), self.now)

    @property
    def whys(self) -> list[Why]:
        return [decision.why for decision in self.decisions]

    @property
    def passed(self) -> list[int | None]:
        return [decision.seq for decision in self.decisions if decision.passes]


def test_a_good_in_time_passes_just_before_its_part_is_at_the_gate() -> None:
    line = Line()
    line.say(age_ms=20)
    exposed = line.now - 20 * MS
    line.go(900)
    assert line.decisions == []
    line.go(100)
    (decision,) = line.decisions
    assert (decision.epoch, decision.seq, decision.part, decision.passes) == ("a1", 1, "part 1", True)
    assert TRAVEL_S - LEAD_S - 0.01 <= (decision.at_ns - exposed) / 1e9 < TRAVEL_S
    assert line.acks == [("a1", 1, Fate.PASSED)]


@pytest.mark.parametrize(
    ("says", "why"),
    [("reject", Why.DEFECT), ("camera", Why.UNKNOWN), ("backend", Why.UNKNOWN), ("late", Why.LATE)],
)
def test_whatever_is_not_good_is_rejected_with_its_reason(says: str, why: Why) -> None:
    line = Line()
    line.say(says)
    line.go(1100)
    assert line.whys == [why]
    assert line.acks == [("a1", 1, Fate.REJECTED)]


def test_a_part_without_a_verdict_is_never_passed_by_the_good_of_its_neighbour() -> None:
    line = Line()
    line.say()
    line.say("reject")
    line.say()
    line.go(1100)
    assert line.passed == [1, 3]


def test_a_late_good_is_never_passed() -> None:
    line = Line()
    held_up = line.station.verdict(line.now, 20)
    line.beats = False  # what is sent after it comes after it
    line.go(BUDGET_MS + 50)
    line.gate.hear(held_up, line.now)
    line.go(1100)
    assert line.whys == [Why.LATE]
    assert line.acks == [("a1", 1, Fate.LATE_REJECT)]


def test_a_good_that_comes_after_its_part_moves_nothing() -> None:
    line = Line(Rules(transit_ms=10_000))
    held_up = line.station.verdict(line.now, 20)
    line.beats = False  # what is sent after it comes after it
    line.go(940)
    line.gate.hear(held_up, line.now)
    line.go(100)
    assert line.passed == []
    assert line.acks == [("a1", 1, Fate.LATE_REJECT)]


def test_a_gate_that_overslept_rejects_the_part_that_went_by() -> None:
    line = Line()
    line.say()
    line.go(900)
    line.go(1000, each_ms=500)
    assert line.whys == [Why.GATE_LATE]


def test_a_lost_heartbeat_closes_the_gate_within_300_ms_and_the_next_one_opens_it() -> None:
    line = Line()
    line.go(1000)
    line.beats = False
    silent_since = line.now
    for _ in range(20):
        line.say(age_ms=50)
        line.now += 50 * MS
    line.go(900)
    assert all(d.at_ns <= silent_since + 300 * MS for d in line.decisions if d.passes)
    assert Why.HEARTBEAT_LOST in line.whys
    line.beats = True
    line.go(200)
    line.say()
    line.go(1100)
    assert line.decisions[-1].passes


def test_a_heartbeat_that_was_held_up_renews_nothing() -> None:
    line = Line()
    line.say()
    line.beats = False
    line.go(600)
    held_up = line.station.heartbeat(line.now)
    line.go(320)
    line.gate.hear(held_up, line.now)
    line.pong()
    line.go(100)
    assert line.whys == [Why.HEARTBEAT_LOST]


def test_no_heartbeat_is_believed_for_longer_than_a_lease() -> None:
    line = Line()
    line.beats = False
    line.say()
    line.gate.hear(line.station.heartbeat(line.now, valid_until=line.station.clock(line.now) + 10**12), line.now)
    line.go(1100)
    assert line.whys == [Why.HEARTBEAT_LOST]


def test_held_and_suspended_let_pass_what_was_judged_before_and_stopped_does_not() -> None:
    for state, passes in ((State.HELD, [1]), (State.SUSPENDED, [1]), (State.ERROR, []), (State.STOPPED, [])):
        line = Line()
        line.say()
        line.beat_as = state
        line.go(1100)
        assert line.passed == passes, state


def test_a_held_up_heartbeat_is_old_however_long_it_says_that_it_holds() -> None:
    line = Line()
    line.say()
    line.beats = False
    held_up = line.station.heartbeat(line.now, valid_until=line.station.clock(line.now) + 10**12)
    line.go(920)
    line.gate.hear(held_up, line.now)
    line.go(100)
    assert line.whys == [Why.HEARTBEAT_LOST]


def test_an_older_heartbeat_does_not_undo_what_the_station_said_since() -> None:
    line = Line()
    line.say()
    line.go(860)
    line.beats = False
    overtaken = line.station.heartbeat(line.now)
    line.now += 20 * MS
    line.gate.hear(line.station.state(line.now, State.ERROR), line.now)
    line.gate.hear(overtaken, line.now)
    line.go(100)
    assert line.whys == [Why.HEARTBEAT_LOST]


def test_after_goodbye_an_epoch_does_not_come_back() -> None:
    line = Line()
    line.beat_as = State.STOPPED
    line.go(200)
    line.beat_as = State.EXECUTING
    line.go(200)
    line.say()
    line.go(1100)
    assert line.whys == [Why.HEARTBEAT_LOST]


def test_the_clock_of_the_former_run_says_nothing_of_the_new_one() -> None:
    line = Line()
    line.go(500)
    line.station = ModelledStation("b2", boot=2, offset_ns=line.station.offset_ns)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    line.gate.snapshot(line.station.heartbeat(line.now))
    line.now += 500 * MS
    line.say()
    assert line.whys == [Why.NO_CLOCK]


def test_an_age_that_may_be_too_much_is_too_much() -> None:
    line = Line(joined=False)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    line.gate.pong("a1", line.station.clock(line.now), line.now - 100 * MS, line.now)
    line.gate.snapshot(line.station.heartbeat(line.now))
    line.say(age_ms=100)
    line.beats = False
    line.go(1100)
    assert line.whys == [Why.LATE]


def test_a_new_epoch_rejects_every_part_in_flight_at_once() -> None:
    line = Line()
    line.say()
    line.say()
    line.go(400)
    line.station = ModelledStation("b2", boot=2)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    assert line.whys == [Why.EPOCH_CHANGED] * 2
    line.go(1100)
    assert len(line.decisions) == 2


def test_nothing_passes_before_the_first_pong_of_the_epoch() -> None:
    line = Line(joined=False)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    line.gate.snapshot(line.station.heartbeat(line.now))
    line.gate.pong("b2", line.station.clock(line.now), line.now, line.now)
    line.say()
    assert line.whys == [Why.NO_CLOCK]


def test_a_late_joiner_takes_history_for_history() -> None:
    line = Line(joined=False)
    line.station.seq = 40
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    line.pong()
    line.say()  # 41, on its way when the snapshot was asked for
    snapshot = line.station.heartbeat(line.now, last_seq=42)
    line.gate.snapshot(snapshot)
    line.say()
    line.say()  # 43, the first after the snapshot
    line.go(1100)
    assert [(d.seq, d.why) for d in line.decisions] == [
        (41, Why.NOT_JOINED), (42, Why.NOT_JOINED), (43, Why.CLEAR),
    ]  # fmt: skip


def test_a_gap_is_rejected_and_what_was_passed_over_never_comes_back() -> None:
    line = Line()
    line.say()
    lost = line.station.verdict(line.now)
    line.say()
    line.gate.hear(lost, line.now)
    line.go(1100)
    assert {d.seq: d.why for d in line.decisions} == {1: Why.CLEAR, 2: Why.GAP, 3: Why.CLEAR}
    assert sorted(line.acks, key=lambda ack: ack[1])[1] == ("a1", 2, Fate.MISSED)
    assert line.gate.repeated == 1


def test_a_heartbeat_shows_the_gap_at_the_end() -> None:
    line = Line()
    line.station.verdict(line.now)
    line.go(110)
    assert line.whys == [Why.GAP]


def test_the_first_verdict_of_a_number_stands() -> None:
    line = Line()
    line.say("reject")
    line.say("good", seq=1)
    line.go(1100)
    assert line.whys == [Why.DEFECT]


def test_a_simulated_good_passes_only_where_that_was_said() -> None:
    for allow, why in ((False, Why.SIMULATED), (True, Why.CLEAR)):
        line = Line(Rules(allow_simulated=allow))
        line.say(simulated=True)
        line.go(1100)
        assert line.whys == [why]


def test_two_stations_of_one_name_are_a_fault_until_a_person_resets_it() -> None:
    line = Line()
    line.say()
    other = ModelledStation("b2", boot=1)
    line.gate.hear(other.heartbeat(line.now), line.now)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    assert line.gate.fault is not None
    assert "two stations" in line.gate.fault
    line.say()
    line.gate.hear(other.verdict(line.now), line.now)
    line.go(1100)
    assert line.passed == []
    line.say()
    line.gate.reset(line.now)
    line.join()
    line.say()
    line.go(1100)
    assert line.passed == [line.station.seq]


def test_an_earlier_run_that_speaks_after_a_later_one_is_a_fault() -> None:
    line = Line()
    line.say()
    line.gate.hear(ModelledStation("b2", boot=0).heartbeat(line.now), line.now)
    assert line.gate.fault is None, "0: unknown"
    line.station = ModelledStation("c3", boot=5)
    line.gate.hear(line.station.heartbeat(line.now), line.now)
    line.gate.hear(ModelledStation("d4", boot=4).heartbeat(line.now), line.now)
    assert line.gate.fault is not None


def test_a_new_epoch_passes_nothing_while_the_former_one_may_still_live() -> None:
    line = Line(belt=SteadyBelt(200, 50))
    line.station = ModelledStation("b2", boot=2)
    line.join()
    line.say()
    line.go(200)
    assert line.whys == [Why.NOT_JOINED]
    line.go(200)
    line.say()
    line.go(200)
    assert line.whys == [Why.NOT_JOINED, Why.CLEAR]


def test_three_late_in_a_row_are_an_alarm_and_three_with_a_good_between_are_none() -> None:
    line = Line()
    for says in ("late", "late", "good", "late"):
        line.say(says)
    line.go(1100)
    assert line.gate.alarms == 0
    for _ in range(LATE_ALARM):
        line.say("late")
    line.go(1100)
    assert line.gate.alarms == 1


# ---------------------------------------------------------------------------------------------------- announced parts


def test_an_announced_part_without_a_verdict_is_rejected_and_acknowledged_when_the_verdict_comes() -> None:
    line = Line(Rules(announced=True))
    line.gate.expect("X", line.now)
    line.gate.number("X", "a1", 1)
    line.go(1100)
    assert [(d.seq, d.part, d.why, d.fate) for d in line.decisions] == [(1, "X", Why.LATE, Fate.MISSED)]
    assert line.acks == []
    line.say(part="X")
    line.go(1100)
    assert len(line.decisions) == 1
    assert line.acks == [("a1", 1, Fate.LATE_REJECT)]


def test_an_announced_part_passes_on_its_own_good_and_on_no_other() -> None:
    line = Line(Rules(announced=True))
    line.gate.expect("X", line.now)
    line.gate.expect("Y", line.now)
    line.go(100)
    line.say(part="Y", age_ms=90)
    line.say(part="Z", age_ms=90)
    line.go(1000)
    assert {d.part: d.why for d in line.decisions} == {"X": Why.LATE, "Y": Why.CLEAR, "Z": Why.NOT_ANNOUNCED}


def test_a_good_exposed_before_its_id_was_announced_is_of_another_part() -> None:
    line = Line(Rules(announced=True))
    earlier = line.station.verdict(line.now, 10, part="X")
    line.now += 5 * MS
    line.gate.expect("X", line.now)
    line.gate.hear(earlier, line.now)
    line.go(1100)
    assert {(d.seq, d.why) for d in line.decisions} == {(1, Why.NOT_ANNOUNCED), (None, Why.LATE)}


def test_an_id_announced_twice_passes_neither_part() -> None:
    line = Line(Rules(announced=True))
    line.gate.expect("X", line.now)
    line.gate.expect("X", line.now + MS)
    line.go(50)
    line.say(part="X", age_ms=30)
    line.go(1100)
    assert line.whys == [Why.ANNOUNCED_TWICE] * 2


def test_a_numbered_part_whose_verdict_names_another_is_rejected() -> None:
    line = Line(Rules(announced=True))
    line.gate.expect("X", line.now)
    line.gate.number("X", "a1", 1)
    line.go(50)
    line.say(part="Y", age_ms=30)
    line.go(1100)
    assert line.whys == [Why.NOT_ANNOUNCED]


def test_a_numbered_part_that_became_a_gap_is_decided_once() -> None:
    line = Line(Rules(announced=True))
    line.gate.expect("X", line.now)
    line.gate.number("X", "a1", 1)
    line.station.seq = 1
    line.go(1100)
    assert [(d.seq, d.part, d.why) for d in line.decisions] == [(1, "X", Why.GAP)]
    assert line.acks == [("a1", 1, Fate.MISSED)]


# -------------------------------------------------------------------------------------------------------------- bounds


def test_an_absurd_jump_of_the_sequence_costs_a_thousand_decisions_and_passes_nothing() -> None:
    line = Line()
    line.say(seq=2**53)
    line.say(seq=1)
    line.go(1100)
    assert len(line.decisions) == MOST_LISTED + 2
    assert line.decisions[0].seq == 1
    assert line.decisions[0].to_seq == 2**53 - 1 - MOST_LISTED
    assert line.gate.counts[Why.GAP] == 2**53 - 1


def test_a_flood_of_verdicts_is_bounded_and_each_is_decided() -> None:
    line = Line()
    for _ in range(MOST_IN_FLIGHT + 5):
        line.say()
    assert line.whys == [Why.OVERFLOW] * 5
    line.go(1100)
    assert Counter(d.seq for d in line.decisions) == Counter(range(1, MOST_IN_FLIGHT + 6))


@pytest.mark.parametrize("age_ms", [-(10.0**12), 10.0**15])
def test_a_verdict_from_another_time_passes_nothing(age_ms: float) -> None:
    line = Line()
    good = line.station.verdict(line.now)
    shift = round(age_ms * MS)
    timing = good.timing.model_copy(
        update={"captured": good.timing.captured - shift, "published": good.timing.published - shift}
    )
    line.gate.hear(good.model_copy(update={"timing": timing}), line.now)
    line.go(1100)
    assert len(line.decisions) == 1
    assert line.passed == []


# --------------------------------------------------------------------------------------------------------------- belts


def encoder_line() -> tuple[Line, EncoderBelt, Callable[[int, int], None]]:
    """A line with an encoder of 1000 pulses per second, and the function that runs it for a number of ms at a number of
    pulses per ms.
    """
    belt = EncoderBelt(travel_pulses=1000, lead_pulses=50)
    belt.sample(START - 100 * MS, 0)
    belt.sample(START, 100)
    line = Line(belt=belt)
    pulses = 100

    def run(ms: int, pulses_a_ms: int) -> None:
        nonlocal pulses
        for _ in range(ms // 10):
            pulses += 10 * pulses_a_ms
            belt.sample(line.now + 10 * MS, pulses)
            line.go(10)

    return line, belt, run


def test_a_belt_that_stands_still_brings_nothing() -> None:
    line, _, run = encoder_line()
    line.say(age_ms=20)
    run(500, 1)
    run(5000, 0)
    assert line.decisions == []
    run(400, 1)
    assert line.decisions == []
    run(50, 1)
    assert line.passed == [1]


def test_between_two_samples_the_encoder_is_in_proportion() -> None:
    belt = EncoderBelt(1000, 50)
    belt.sample(0, 0)
    belt.sample(100 * MS, 200)
    assert [belt.place(t * MS) for t in (-1, 0, 25, 100, 250, 301)] == [None, 0, 50, 200, 200, None]


def test_a_part_exposed_while_the_encoder_was_silent_is_rejected() -> None:
    line, _, _ = encoder_line()
    line.go(300)
    line.say()
    assert line.whys == [Why.NO_BELT]


def test_an_encoder_that_was_silent_passes_nothing_that_went_by_meanwhile() -> None:
    line, belt, run = encoder_line()
    line.say(age_ms=20)
    run(800, 1)
    line.go(400)
    belt.sample(line.now, 1300)
    line.go(10)
    assert line.whys == [Why.GATE_LATE]


# ---------------------------------------------------------------------------------------------------------------- time


@given(
    offset=st.integers(-(10**18), 10**18),
    drift=st.floats(-0.99 * DRIFT_PPM / 1e6, 0.99 * DRIFT_PPM / 1e6),
    pings=st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1),
    moment=st.integers(-(10**10), 2 * 10**10),
)
def test_the_bounds_of_a_clock_that_drifts_hold_at_every_moment(
    offset: int, drift: float, pings: list[tuple[int, int, int]], moment: int
) -> None:
    station = ModelledStation(offset_ns=offset, drift=drift)
    clock = StationClock()
    for answered, there, back in pings:
        clock.pong(station.clock(answered), answered - there, answered + back)
    earliest, latest = (bound(station.clock(moment), 10**10) for bound in (clock.earliest, clock.latest))
    assert earliest is not None
    assert latest is not None
    assert earliest <= moment <= latest


def test_a_slow_pong_makes_the_age_larger_never_smaller() -> None:
    clock = StationClock()
    clock.pong(now=1_000 * MS, sent_ns=0, received_ns=80 * MS)
    earliest = clock.earliest(1_000 * MS, 80 * MS)
    assert earliest is not None
    assert earliest <= 0
    clock.pong(now=1_100 * MS, sent_ns=140 * MS, received_ns=142 * MS)  # the first pong took 39 to 41 ms
    earliest, latest = clock.earliest(1_000 * MS, 142 * MS), clock.latest(1_000 * MS, 142 * MS)
    assert earliest is not None
    assert latest is not None
    assert 39.8 * MS <= earliest <= latest <= 42.2 * MS


def test_a_station_whose_clock_stood_still_is_not_believed_about_the_time_before() -> None:
    clock = StationClock()
    clock.pong(now=0, sent_ns=0, received_ns=MS)
    clock.pong(now=200 * MS, sent_ns=10_000 * MS, received_ns=10_001 * MS)
    assert clock.earliest(100 * MS, 10_001 * MS) is None
    assert clock.earliest(300 * MS, 10_101 * MS) is not None


# ----------------------------------------------------------------------------------------------------------------- log


def test_the_log_has_a_line_for_each_part_before_the_gate_moves(tmp_path: Path) -> None:
    log = GateLog(tmp_path / "gate.jsonl")
    line = Line()
    lines_when_it_moved = []

    def decided(decision: Decision) -> None:
        log.write(decision)
        lines_when_it_moved.append(len((tmp_path / "gate.jsonl").read_text().splitlines()))

    line.gate = Gate(line.belt, decided, lambda *_: None)
    line.join()
    line.say()
    line.say("camera", detail="the camera's process died")
    line.go(1100)
    log.close()
    first, second = map(json.loads, (tmp_path / "gate.jsonl").read_text().splitlines())
    assert lines_when_it_moved == [1, 2]
    assert first.pop("time").endswith("+00:00")
    assert first == {"epoch": "a1", "seq": 1, "part": "part 1", "decision": "pass", "why": "clear", "fate": "passed"}
    assert (second["decision"], second["why"], second["detail"]) == ("reject", "unknown", "the camera's process died")


def test_a_log_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="--log"):
        GateLog(tmp_path / "nowhere" / "gate.jsonl")
    log = GateLog(Path("/dev/full"))
    line = Line()
    line.gate = Gate(line.belt, log.write, lambda *_: None)
    line.join()
    line.say()
    with pytest.raises(RecordsError, match="/dev/full"):
        line.go(1100)
