"""The windows of time in which parts pass and are rejected, and which parts are too close for one to pass alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simulated_station import MS, ModelledStation

from edge.gate.belt import EncoderBelt, SteadyBelt
from edge.gate.decision import Decision, Why
from edge.gate.gate import Gate
from edge.gate.outputs import windows as windows_module
from edge.gate.outputs.part_list import PartList
from edge.gate.outputs.windows import Windows


def test_a_window_begins_after_the_delay_and_lasts_for_the_pulse() -> None:
    windows = Windows(delay_ns=10, pulse_ns=20)
    assert windows.allow(100, "a")
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(110, 130))
    assert (windows.next_ns(100), windows.next_ns(110), windows.next_ns(130)) == (110, 130, None)


def test_a_rejected_part_ends_an_overlapping_window_at_once_and_at_no_other_time() -> None:
    windows = Windows(0, 20)
    assert windows.allow(100, "good")
    assert windows.reject(120, "after it")[1] == []
    assert windows.reject(80, "before it")[1] == []
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(100, 120))
    assert [window.part for window in windows.reject(119, "bad")[1]] == ["good"]
    assert not any(windows.passing(at) for at in range(90, 150))


def test_a_good_part_does_not_end_the_window_of_a_rejected_part() -> None:
    windows = Windows(0, 20)
    windows.reject(100, "bad")
    assert not windows.allow(119, "good")
    assert not windows.allow(81, "good")
    assert [at for at in range(90, 150) if windows.is_rejecting(at)] == list(range(100, 120))
    assert windows.allow(120, "good")
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(120, 140))


def test_parts_that_may_pass_pass_together() -> None:
    windows = Windows(0, 20)
    assert windows.allow(100, "a")
    assert windows.allow(110, "b")
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(100, 130))


def test_a_reject_at_an_unknown_place_pulses_and_ends_no_window() -> None:
    windows = Windows(0, 20)
    assert windows.allow(100, "good")
    windows.reject_at(105)
    assert [at for at in range(90, 150) if windows.is_rejecting(at)] == list(range(90, 125))
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(100, 120))


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12),
    pulse=st.integers(1, 20),
    delay=st.integers(0, 9),
)
def test_a_part_passes_in_its_whole_time_at_the_gate_or_not_with_a_rejected_one(
    parts: list[tuple[int, bool]], pulse: int, delay: int
) -> None:
    """The times at the gate are sets of moments here; a good part passes if its set has none of a rejected one."""
    windows = Windows(delay, pulse)
    at_gate = {part: set(range(due + delay, due + delay + pulse)) for part, (due, _) in enumerate(parts)}
    rejected = []
    for part, (due, is_good) in enumerate(parts):
        if not (is_good and windows.allow(due, str(part))):
            windows.reject(due, str(part))
            rejected.append(part)
    stopped = set().union(*(at_gate[part] for part in rejected))
    let_through = set().union(*(at_gate[part] for part in at_gate if not at_gate[part] & stopped))
    moments = range(100)
    assert {at for at in moments if windows.passing(at)} == let_through
    assert {at for at in moments if windows.is_rejecting(at)} == stopped
    assert all(int(window.part) not in rejected for at in moments if (window := windows.passing(at)))


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12),
    looks=st.lists(st.integers(0, 90), min_size=1, max_size=12).map(sorted),
    pulse=st.integers(1, 20),
)
def test_windows_are_taken_away_when_they_are_over_and_not_before(
    parts: list[tuple[int, bool]], looks: list[int], pulse: int
) -> None:
    windows = Windows(0, pulse)
    for due, is_good in parts:
        if not (is_good and windows.allow(due, "good")):
            windows.reject(due, "bad")
    before = {at: (windows.passing(at), windows.is_rejecting(at)) for at in range(100)}
    for now in looks:
        assert all(window.start_ns + pulse <= now for window in windows.past(now))
        assert all(window.start_ns + pulse > now for window in windows.begun(now))
        assert {at: (windows.passing(at), windows.is_rejecting(at)) for at in range(now, 100)} == {
            at: said for at, said in before.items() if at >= now
        }


def test_the_spacing_is_that_to_the_nearest_part_also_if_its_window_is_over() -> None:
    windows = Windows(0, 20)
    assert windows.spacing_ns(100) is None
    windows.reject(100, "bad")
    assert windows.allow(180, "good")
    assert (windows.spacing_ns(150), windows.spacing_ns(120), windows.spacing_ns(185)) == (30, 20, 5)
    windows.past(1_000)
    assert windows.spacing_ns(230) == 50


def test_more_rejected_parts_than_are_kept_let_nothing_pass_until_the_last_is_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows_module, "MOST_WINDOWS", 3)
    windows = Windows(0, 20)
    for due in (100, 200, 300):
        assert windows.allow(0, "good")
        windows.clear_passes()
        windows.reject(due, str(due))
    assert not windows.allow(0, "good"), "nor while as many are kept"
    for due in (400, 350):
        windows.reject(due, str(due))
    assert len(windows.begun(1_000)) == 3
    for due in (0, 150, 380, 419):
        assert not windows.allow(due, "good"), due
    assert windows.past(420)
    assert not windows.allow(419, "good")
    assert windows.allow(420, "good")


def test_parts_are_named_or_the_first_and_the_last_of_many() -> None:
    assert str(PartList(["a", "b"])) == "a, b"
    assert str(PartList(f"A{number}" for number in range(23))) == "A0 to A22 (23 parts)"
    assert not PartList()


# ------------------------------------------------------------------------------------------------------ when it is due


def test_a_decision_says_when_its_part_is_due_also_if_it_comes_sooner() -> None:
    decisions: list[Decision] = []
    gate = Gate(SteadyBelt(800, 100), decisions.append, lambda epoch, seq, fate: None)
    gate.expect("early", 1_000 * MS)
    gate.reset(1_001 * MS)
    gate.expect("in time", 2_000 * MS)
    gate.step(2_700 * MS)
    assert [(one.part, one.due_ns) for one in decisions] == [("early", 1_700 * MS), ("in time", 2_700 * MS)]


def test_with_an_encoder_the_moment_is_known_when_the_part_is_there() -> None:
    decisions: list[Decision] = []
    belt = EncoderBelt(800, 100)
    gate = Gate(belt, decisions.append, lambda epoch, seq, fate: None)
    belt.sample(1_000 * MS, 0)
    gate.expect("early", 1_000 * MS)
    gate.reset(1_001 * MS)
    gate.expect("in time", 1_000 * MS)
    belt.sample(1_100 * MS, 700)
    gate.step(1_100 * MS)
    assert [(one.part, one.due_ns) for one in decisions] == [("early", None), ("in time", 1_100 * MS)]


# --------------------------------------------------------------------------------------------- parts that are too close

PULSE_MS = 60


def decided(*shown: tuple[int, str]) -> list[Why]:
    """The decisions of a gate with windows of 60 ms on verdicts that come at these times, in ms."""
    windows, whys = Windows(0, PULSE_MS * MS), []

    def follow(decision: Decision) -> None:
        whys.append(decision.why)
        assert decision.due_ns is not None
        if decision.passes:
            assert windows.allow(decision.due_ns, str(decision.part))
        else:
            assert windows.reject(decision.due_ns, str(decision.part))[1] == []

    gate = Gate(SteadyBelt(600, 50), follow, lambda *ack: None, separates=windows.separates)
    station, start = ModelledStation(), 5_000_000 * MS
    gate.hear(station.heartbeat(start), start)
    gate.snapshot(station.heartbeat(start))
    for ms in range(0, 2_000, 10):
        now = start + ms * MS
        gate.pong(station.epoch, station.clock(now), now, now)
        gate.hear(station.heartbeat(now), now)
        for at_ms, says in shown:
            if at_ms == ms:
                gate.hear(station.verdict(now, says=says), now)
        gate.step(now)
    return whys


@pytest.mark.parametrize("says", ["reject", "camera"])
def test_a_good_part_within_the_pulse_of_a_rejected_one_is_rejected_as_too_close(says: str) -> None:
    word = Why.DEFECT if says == "reject" else Why.UNKNOWN
    assert decided((100, says), (150, "good")) == [word, Why.TOO_CLOSE]
    assert decided((100, "good"), (150, says)) == [Why.TOO_CLOSE, word], "also if it comes first"
    assert decided((100, says), (160, "good")) == [word, Why.CLEAR]
    assert decided((100, "good"), (160, says)) == [Why.CLEAR, word]


def test_good_parts_within_the_pulse_pass_together() -> None:
    assert decided((100, "good"), (150, "good")) == [Why.CLEAR, Why.CLEAR]


def test_a_good_part_is_too_close_to_one_that_nobody_has_judged_yet() -> None:
    windows, whys = Windows(0, PULSE_MS * MS), []
    gate = Gate(SteadyBelt(600, 50), lambda one: whys.append(one.why), lambda *ack: None, separates=windows.separates)
    station, now = ModelledStation(), 5_000_000 * MS
    gate.hear(station.heartbeat(now), now)
    gate.pong(station.epoch, station.clock(now), now, now)
    gate.snapshot(station.heartbeat(now))
    gate.expect("judged", now)
    gate.expect("not judged", now + 50 * MS)
    gate.hear(station.verdict(now + 70 * MS, age_ms=70, part="judged"), now + 70 * MS)
    gate.hear(station.heartbeat(now + 400 * MS), now + 400 * MS)
    gate.step(now + 551 * MS)
    assert whys == [Why.TOO_CLOSE]
