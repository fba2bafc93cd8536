"""What the views of a group say of a part becomes one finding: decisions without sockets or a clock."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simulated_station import MS, ModelledStation

from edge.group.joining import LATEST_NS, MOST_DECIDED, MOST_IN_FLIGHT, Finding, JoinedPart, Joining, Said, Taken
from edge.verdict import Outcome, Reason, Verdict

VIEWS = ("top", "side", "back")
BUDGET_MS = 100.0


class Rig:
    """A group of three views; `now` is the local time."""

    def __init__(self, takes_unannounced: bool = False) -> None:
        self.joining = Joining(VIEWS, BUDGET_MS, takes_unannounced)
        self.stations = {view: ModelledStation(name=view) for view in VIEWS}
        self.now = 10_000 * MS

    def said(self, view: str, part: str, says: str = "good", age_ms: float = 20.0, **changes: Any) -> Said:
        against = changes.pop("against", None)
        verdict = self.stations[view].verdict(self.now, age_ms, says, part=part, **changes)
        return Said(verdict, self.now - int(age_ms * MS), against)

    def take(self, view: str, part: str, says: str = "good", age_ms: float = 20.0, **changes: Any) -> Taken:
        said = self.said(view, part, says, age_ms, **changes)
        return self.joining.take(view, said, self.now - int(age_ms * MS) + MS, self.now)

    def decided(self, **lost: str) -> list[tuple[JoinedPart, Finding]]:
        return [(part, self.joining.finding(part, lost)) for part in self.joining.decided(self.now)]

    def one(self, **lost: str) -> Finding:
        ((_, finding),) = self.decided(**lost)
        return finding


def test_a_part_is_good_if_every_view_calls_it_good_and_the_nearest_to_its_threshold_stands_for_it() -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.take("top", "7")
    rig.take("side", "7", score=0.45)
    assert rig.decided() == []
    rig.take("back", "7")
    finding = rig.one()
    assert (finding.outcome, finding.view) == (Outcome.GOOD, "side")
    assert finding.verdict is not None
    assert finding.verdict.score == 0.45


def test_a_defect_is_said_at_once_also_if_a_view_is_missing_and_the_worst_view_stands_for_it() -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.take("top", "7", "reject")
    rig.take("side", "7", "reject", score=0.9)
    finding = rig.one()
    assert (finding.outcome, finding.reason, finding.view) == (Outcome.REJECT, Reason.DEFECT, "side")
    assert finding.detail == "side, also top"
    assert rig.take("back", "7") is Taken.LATE


@pytest.mark.parametrize(
    ("case", "reason", "detail"),
    [
        ("missing", Reason.LATE, "side: no verdict came in time"),
        ("unknown", Reason.BLACK, "side: black"),
        ("against", Reason.LATE, "side: its clock is not known"),
        ("lost", Reason.LATE, "side: heartbeats stopped"),
        ("stopped", Reason.LATE, "side: its station has stopped"),
    ],
)
def test_a_view_that_does_not_call_it_good_in_time_makes_it_unknown(case: str, reason: Reason, detail: str) -> None:
    rig, lost = Rig(), {}
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.take("top", "7")
    rig.take("back", "7")
    if case == "unknown":
        rig.take("side", "7", "black")
    elif case == "against":
        rig.take("side", "7", against="its clock is not known")
    elif case == "lost":
        rig.take("side", "7")
        lost = {"side": "heartbeats stopped"}
    elif case == "stopped":
        rig.joining.lose("side", "its station has stopped")
    else:
        rig.now += 69 * MS
        assert rig.decided() == []
        rig.now += MS
    finding = rig.one(**lost)
    assert (finding.outcome, finding.reason, finding.detail) == (Outcome.UNKNOWN, reason, detail)


def test_a_verdict_that_was_exposed_before_the_trigger_is_of_another_part() -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 10 * MS)
    for view in VIEWS:
        rig.take(view, "7", age_ms=20)
    rig.now += 100 * MS
    assert rig.one().detail == "top: no verdict came in time"


def test_two_verdicts_of_a_view_for_one_part_make_it_unknown() -> None:
    for second in ("good", "reject"):
        rig = Rig()
        rig.joining.begin("7", rig.now - 30 * MS)
        for view in VIEWS[:2]:
            rig.take(view, "7")
        assert rig.take("top", "7", second) is Taken.FOREIGN
        rig.take("back", "7")
        finding = rig.one()
        assert (finding.reason, finding.detail) == (Reason.REPEATED, "top: two verdicts name this part")


def test_a_verdict_with_another_number_than_the_part_has_at_its_station_is_of_another_part() -> None:
    rig = Rig()
    part = rig.joining.begin("7", rig.now - 30 * MS)
    part.numbers["top"] = "a1", 5
    assert rig.take("top", "7", seq=4) is Taken.FOREIGN
    assert rig.take("top", "7", seq=5) is Taken.TAKEN


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_view_has_said_does_not_count_once_it_is_lost(when: str) -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.joining.begin("8", rig.now - 30 * MS)
    for part in ("7", "8"):
        rig.take("top", part)
        if when == "before":
            rig.joining.lose("top", "its station was started again", is_over=True)
        for view in ("side", "back"):
            rig.take(view, part)
        rig.joining.lose("top", "its station was started again", is_over=True)
    assert [finding.detail for _, finding in rig.decided()] == ["top: its station was started again"] * 2


def test_a_view_that_is_lost_owes_nothing_any_more_and_neither_does_one_that_is_a_minute_late() -> None:
    rig = Rig()
    for name in ("1", "2", "3"):
        rig.joining.begin(name, rig.now - 30 * MS)
    rig.joining.part("3").silent.add("top")  # type: ignore[union-attr]
    rig.now += 100 * MS
    assert len(rig.decided()) == 3
    assert rig.joining.refusal("1", rig.now) == "the last part 1 is still to be judged by back, side, top"
    assert rig.joining.refusal("3", rig.now) == "the last part 3 is still to be judged by back, side"
    rig.joining.lose("back", "started again", is_over=True)
    rig.joining.lose("side", "a verdict of its station was lost")
    assert rig.joining.refusal("1", rig.now) == "the last part 1 is still to be judged by side, top"
    assert rig.joining.refusal("1", rig.now + LATEST_NS) is None
    for view in ("side", "top"):
        rig.joining.lose(view, "started again", is_over=True)
    assert rig.joining.refusal("2", rig.now) is None


def test_a_part_is_exposed_when_every_view_has_exposed_it_under_its_number() -> None:
    rig = Rig()
    part = rig.joining.begin("7", rig.now)
    for view in VIEWS:
        assert rig.joining.expose(view, "7", "a1", 3) is None, "its number is not known"
        part.numbers[view] = "a1", 3
        assert rig.joining.expose(view, "7", "a1", 2) is None, "a former part with its name"
    assert rig.joining.expose("top", "7", "a1", 3) is None
    assert rig.joining.expose("top", "7", "a1", 3) is None
    assert rig.joining.expose("side", "7", "a1", 3) is None
    assert rig.joining.expose("back", "7", "a1", 3) is part
    assert rig.joining.expose("back", "9", "a1", 3) is None


def test_parts_are_decided_in_the_order_in_which_they_began() -> None:
    rig = Rig()
    for name in ("1", "2"):
        rig.joining.begin(name, rig.now - 30 * MS)
    for view in VIEWS:
        rig.take(view, "2")
    assert rig.decided() == []
    assert rig.joining.due_ns() == rig.now + 70 * MS
    for view in VIEWS:
        rig.take(view, "1")
    assert [part.name for part, _ in rig.decided()] == ["1", "2"]
    assert rig.joining.due_ns() is None


def test_the_time_of_a_part_begins_with_the_first_exposure() -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.take("top", "7", age_ms=29)
    rig.take("side", "7", age_ms=5)
    assert next(iter(rig.joining)).captured_ns == rig.now - 29 * MS
    rig.take("back", "7", age_ms=31)
    assert next(iter(rig.joining)).captured_ns == rig.now - 30 * MS, "bounds of a clock: no frame is before its trigger"
    assert rig.joining.due_ns() == rig.now + 70 * MS, "a trigger is due when its time is over, whatever is known later"


def test_a_verdict_that_cannot_count_says_nothing_of_the_time_of_the_part() -> None:
    rig = Rig(takes_unannounced=True)
    rig.take("top", "A", age_ms=10)
    rig.take("side", "A", "late", age_ms=10**6, against="its verdict is too old")
    assert rig.joining.due_ns() == rig.now + 90 * MS


def test_a_part_that_nobody_announced_begins_with_the_first_verdict_only_if_that_is_meant() -> None:
    rig = Rig()
    assert rig.take("side", "A1") is Taken.FOREIGN
    assert (len(rig.joining), rig.joining.foreign) == (0, 1)
    rig = Rig(takes_unannounced=True)
    rig.take("side", "A1", fields={"lot": "4"})
    assert [(part.name, part.fields, part.is_triggered) for part in rig.joining] == [("A1", {"lot": "4"}, False)]
    rig.take("top", "A1", age_ms=60)
    rig.take("back", "A1")
    assert rig.one().outcome is Outcome.GOOD
    assert rig.take("back", "A2", against="before the group had joined") is Taken.FOREIGN
    assert len(rig.joining) == 0


def test_a_late_verdict_belongs_to_the_part_that_is_decided_and_its_name_is_free_after_it() -> None:
    rig = Rig(takes_unannounced=True)
    rig.joining.begin("7", rig.now - 30 * MS)
    rig.take("top", "7")
    rig.take("back", "7")
    rig.now += 100 * MS
    assert rig.one().outcome is Outcome.UNKNOWN
    assert rig.joining.refusal("7", rig.now) == "the last part 7 is still to be judged by side"
    assert rig.take("top", "7") is Taken.FOREIGN, "side has not judged the last one yet"
    assert rig.take("side", "7", "reject") is Taken.LATE
    assert (rig.joining.late, len(rig.joining)) == (1, 0)
    assert rig.joining.refusal("7", rig.now) is None
    rig.take("top", "7")
    assert [part.seq for part in rig.joining] == [2], "a new part with the name"


def test_names_of_old_parts_are_forgotten_and_parts_in_flight_are_bounded() -> None:
    rig = Rig(takes_unannounced=True)
    rig.joining.begin("first", rig.now - 1000 * MS)
    rig.decided()
    assert rig.joining.refusal("first", rig.now) is not None
    for number in range(MOST_DECIDED):
        rig.joining.begin(str(number), rig.now - 1000 * MS)
    rig.decided()
    assert rig.joining.refusal("first", rig.now) is None
    for number in range(MOST_IN_FLIGHT):
        rig.joining.begin(f"new {number}", rig.now)
    full = f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
    assert rig.joining.refusal("one more", rig.now) == full
    rig.take("top", "unannounced")
    assert len(rig.joining) == MOST_IN_FLIGHT


ACTIONS = st.tuples(
    st.sampled_from(VIEWS),
    st.sampled_from(["good", "reject", "late", "black", "silent"]),
    st.booleans(),  # usable
    st.integers(0, 160),  # ms after the trigger
)


@given(st.lists(ACTIONS, max_size=6), st.sets(st.sampled_from(VIEWS)))
@settings(max_examples=300, deadline=None)
def test_a_good_of_the_group_needs_a_usable_good_of_every_view_in_time(
    actions: list[tuple[str, str, bool, int]], lost: set[str]
) -> None:
    rig = Rig()
    begun = rig.now
    rig.joining.begin("7", begun)
    said: dict[str, list[tuple[str, bool]]] = {}
    findings: list[Finding] = []
    for view, says, is_usable, at_ms in sorted(actions, key=lambda action: action[3]):
        rig.now = begun + at_ms * MS
        findings += [finding for _, finding in rig.decided(**dict.fromkeys(lost, "lost"))]
        if says == "silent" or findings:
            continue
        said.setdefault(view, []).append((says, is_usable))
        rig.take(view, "7", says, age_ms=0, against=None if is_usable else "history")
        findings += [finding for _, finding in rig.decided(**dict.fromkeys(lost, "lost"))]
    rig.now = begun + 1000 * MS
    findings += [finding for _, finding in rig.decided(**dict.fromkeys(lost, "lost"))]
    (finding,) = findings
    may_pass = not lost and all(said.get(view) == [("good", True)] for view in VIEWS)
    assert (finding.outcome is Outcome.GOOD) == may_pass
    is_rejected = any(("reject", True) in some for some in said.values())
    if is_rejected and all(len(some) == 1 for some in said.values()):
        assert finding.outcome is Outcome.REJECT


def test_a_finding_makes_a_sound_verdict() -> None:
    rig = Rig()
    rig.joining.begin("7", rig.now - 30 * MS)
    for view in VIEWS:
        rig.take(view, "7", "reject")
    finding = rig.one()
    assert isinstance(finding.verdict, Verdict)
    assert finding.verdict.station == finding.view
