"""The supervisor's rules for an accepted part, tested message by message without children."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.line import free_endpoint, station_config

from edge.channel.control_messages import Trigger
from edge.channel.publisher import Publisher
from edge.station.in_flight import MOST_IN_FLIGHT
from edge.station.inference.seat import RECENT, Scoring
from edge.station.inspection import Inspection
from edge.station.process.messages import Captured, Inferred, Loaded, Located, NamedKind, Opened
from edge.station.supervisor import Station
from edge.verdict import Fault, Outcome, Reason, State, Verdict

BUDGET_MS = 50.0


class Bare(Station):
    """A station whose children are never started. Its published messages are kept; messages to children are dropped."""

    def __init__(self) -> None:
        config = station_config(bind=free_endpoint(), budget_ms=BUDGET_MS)
        super().__init__(config, lambda _: None)
        self.said: list[Verdict] = []
        self.intake.opened = Opened("test", None, None, True, False, False, "every")
        self.intake.is_up = self.scoring.is_up = True
        self.intake.has_ended = False
        self.intake.memory = lambda slot: f"slot {slot}"  # type: ignore[method-assign]
        self.held: Counter[int] = Counter()  # by slot, how often
        self.intake.hold = self._hold  # type: ignore[method-assign]
        self.intake.release = self._release  # type: ignore[method-assign]
        self.scoring.loaded = Loaded("openvino", 0.0)

    def _hold(self, slot: int) -> None:
        self.held[slot] += 1

    def _release(self, slot: int | None) -> None:
        if slot is not None:
            assert self.held[slot] > 0, "given back more often than it was held"
            self.held[slot] -= 1

    def show(self, fault: Fault | None = None, exposed_ns: int | None = None) -> None:
        """Deliver a live frame, in a new slot."""
        self.intake._has_begun = True
        slot, now = len(self.held), time.monotonic_ns()
        exposed_ns = exposed_ns or now
        self.held[slot] = 1
        self.acceptance.pending.append(Captured(slot, slot, f"part {slot}", 90, 90, exposed_ns, now, fault, None, 0))
        self.submit()
        self.publish()

    def answer(
        self,
        score: float,
        fault: str | None = None,
        located: tuple[Located, ...] | None = None,
        kind: NamedKind | None = None,
    ) -> None:
        """Deliver the runtime's result for the part in inference, if there is one."""
        seq = next(iter(self.scoring._deadlines_ns), None)
        if seq is not None:
            now = time.monotonic_ns()
            self.scoring.take(Inferred(seq, score, fault, now, now, located, kind=kind))
            self.scoring.model._flights.pop((0, seq))
            self.turn()

    def turn(self) -> None:
        """Execute the steps of a turn that follow a result."""
        for result in self.scoring._results():
            self.in_flight.settle(result)
        for seq in self.scoring.take_back():
            self.in_flight.take_back(seq)
        self.submit()
        while self.publish():
            self.submit()

    def let_budgets_pass(self) -> None:
        """Make every part in flight older than its budget."""
        for part in self.in_flight.parts.values():
            part.deadline_ns -= int(2 * BUDGET_MS * 1e6)
            part.captured_ns -= int(2 * BUDGET_MS * 1e6)
        self.in_flight.expire()
        self.publish()


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bare]:
    made: list[Bare] = []

    def keep(publisher: Publisher, message: Any) -> bytes:
        if isinstance(message, Verdict):
            made[0].said.append(message)
        return b""

    monkeypatch.setattr(Publisher, "send", keep)
    made.append(Bare())
    yield made[0]
    made[0].channel.close()


def configure(station: Station, **changes: Any) -> None:
    """Change the station's configuration."""
    station.config = station.inspection.config = station.acceptance.config = replace(station.config, **changes)


def trigger(station: Station, name: str) -> int | str:
    """Trigger a part; its number, or why the station refuses."""
    return station.acceptance.trigger(Trigger(part=name), None)


def threshold_of(station: Station) -> float:
    return station.bundle.artifact("openvino").threshold.value


def test_a_score_below_the_threshold_is_good_and_one_at_it_is_reject(station: Bare) -> None:
    threshold = threshold_of(station)
    for score in (threshold, math.nextafter(threshold, -math.inf)):
        station.show()
        station.answer(score)
    assert [v.verdict for v in station.said] == [Outcome.REJECT, Outcome.GOOD]


def test_a_reject_says_where_and_nothing_else_does(station: Bare) -> None:
    threshold = threshold_of(station)
    places = (Located(10, 20, 30, 40, 900, 0.9), Located(0, 0, 1, 1, 1, 0.6))
    for score, located in (
        (threshold + 1, places),
        (threshold - 1, places),
        (threshold + 1, ()),
        (threshold + 1, None),
    ):
        station.show()
        station.answer(score, located=located)
    station.show()
    station.let_budgets_pass()
    station.answer(threshold + 1, located=places)
    said = [None if v.defects is None else [d.box.x for d in v.defects] for v in station.said]
    assert said == [[10, 0], None, [], None, None]
    assert [v.verdict for v in station.said] == ["reject", "good", "reject", "reject", "unknown"]


def test_a_reject_has_the_kind_that_the_model_names_and_nothing_else_has_one(station: Bare) -> None:
    threshold, manifest = threshold_of(station), station.bundle.manifest
    object.__setattr__(station.bundle, "manifest", manifest.model_copy(update={"kinds": ("crack", "oil stain")}))
    for score, kind in (
        (threshold + 1, NamedKind(2, 0.75)),
        (threshold - 1, NamedKind(2, 0.75)),
        (threshold + 1, None),
        (threshold + 1, NamedKind(3, 0.75)),  # of another bundle
        (math.nan, NamedKind(2, 0.75)),
    ):
        station.show()
        station.answer(score, kind=kind)
    said = [(v.verdict, v.kind, v.kind_number, v.kind_probability) for v in station.said]
    assert said == [
        ("reject", "oil stain", 2, 0.75),
        ("good", None, None, None),
        ("reject", None, None, None),
        ("reject", None, None, None),
        ("unknown", None, None, None),
    ]


def test_a_score_in_the_margin_around_the_threshold_is_marginal_on_either_side(station: Bare) -> None:
    threshold = threshold_of(station)
    artifacts = station.bundle.manifest.artifacts
    artifacts["openvino"] = artifacts["openvino"].model_copy(update={"margin": 0.25})
    for far in (-0.3, -0.2, 0.0, 0.2, 0.3):
        station.show()
        station.answer(threshold + far)
    station.show()
    station.answer(math.nan)
    assert [v.marginal for v in station.said] == [False, True, True, True, False, False]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_unknown_and_never_a_score(station: Bare, score: float) -> None:
    station.show()
    station.answer(score)
    assert (station.said[0].verdict, station.said[0].reason) == (Outcome.UNKNOWN, Reason.BACKEND)
    assert station.said[0].score is None


def test_a_late_result_is_unknown_and_never_good(station: Bare) -> None:
    station.show()
    station.let_budgets_pass()
    station.answer(-1e9)
    assert [v.reason for v in station.said] == [Reason.LATE]
    assert station.books.late_results == 1


def test_a_result_in_time_that_would_be_published_late_is_unknown(station: Bare) -> None:
    station.show()
    for part in station.in_flight.parts.values():
        part.captured_ns -= int(2 * BUDGET_MS * 1e6)
    station.answer(-1e9)
    assert [v.reason for v in station.said] == [Reason.LATE]


def test_a_fault_waits_for_the_part_before_it(station: Bare) -> None:
    station.show()
    station.show(fault=Fault(Reason.CORRUPT, "it does not decode"))
    assert station.said == []
    station.answer(-1e9)
    assert [(v.seq, v.reason) for v in station.said] == [(1, Reason.CLEAR), (2, Reason.CORRUPT)]


events = st.lists(
    st.sampled_from(["show", "show", "fault", "good", "bad", "nan", "raise", "budget", "crash"]), max_size=40
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(events=events)
def test_whatever_happens_each_accepted_part_has_one_verdict_in_order(station: Bare, events: list[str]) -> None:
    threshold = threshold_of(station)
    begun = len(station.said)
    for event in events:
        match event:
            case "show":
                station.show()
            case "fault":
                station.show(fault=Fault(Reason.CORRUPT, "x"))
            case "good":
                station.answer(threshold - 1)
            case "bad":
                station.answer(threshold + 1)
            case "nan":
                station.answer(math.nan)
            case "raise":
                station.answer(math.nan, fault="it raised")
            case "budget":
                station.let_budgets_pass()
            case "crash":
                station.answer(math.nan, fault="the inference process died")
        station.books.ledger()  # raises if it does not balance
    station.let_budgets_pass()
    for _ in range(2):  # one part in inference, one ahead
        station.answer(threshold - 1)
    said = station.said[begun:]
    assert [v.seq for v in station.said] == list(range(1, len(station.said) + 1))
    assert len(said) == sum(event in ("show", "fault") for event in events)
    assert station.books.ledger().in_flight == 0
    assert not station.held.total(), "every slot is given back"


@pytest.fixture
def stored(station: Bare) -> Bare:
    """A station with a folder as source: four pictures wait, the first in inference, the second submitted ahead."""
    station.intake.opened = Opened("test", None, None, False, False, False, "every")
    station.intake._has_begun = True
    for slot in range(4):
        station.held[slot] = 1
        station.acceptance.pending.append(Captured(slot, slot, f"part {slot}", 90, 90, None, 0, None, None, 0))
    station.turn()
    station.turn()
    return station


def test_a_stored_picture_goes_ahead_and_its_clock_begins_when_the_model_turns_to_it(stored: Bare) -> None:
    first, ahead = stored.in_flight.parts.values()
    assert (first.is_submitted, ahead.is_submitted) == (True, True)
    assert len(stored.acceptance.pending) == 2, "one picture goes ahead, not all"
    time.sleep(BUDGET_MS / 1e3)
    stored.in_flight.expire()
    assert (first.finding is None, ahead.finding is None) == (False, True), "nobody looked at the second yet"
    stored.answer(-1e9)  # late
    turned_ns = ahead.captured_ns
    stored.answer(-1e9)
    assert [v.reason for v in stored.said] == [Reason.LATE, Reason.CLEAR]
    assert stored.said[1].timing.captured == turned_ns
    assert stored.said[1].age_ms < BUDGET_MS


@pytest.mark.parametrize("trigger", ["free", "presence"])
def test_a_picture_that_the_model_had_not_begun_with_when_it_was_lost_is_judged_by_the_next_one(
    stored: Bare, trigger: Literal["free", "presence"]
) -> None:
    configure(stored, trigger=trigger)
    stored.scoring.model._lose("the inference process died")
    stored.turn()
    time.sleep(BUDGET_MS / 1e3)
    stored.in_flight.expire()  # its clock stands until there is a model again
    assert [(v.part, v.reason) for v in stored.said] == [("part 0", Reason.BACKEND)]
    stored.scoring.is_up = True
    stored.turn()
    for _ in range(3):
        stored.answer(-1e9)
    assert [(v.part, v.reason) for v in stored.said[1:]] == [(f"part {n}", Reason.CLEAR) for n in (1, 2, 3)]
    assert not stored.held.total(), "every slot is given back"


def test_one_live_frame_goes_ahead_and_keeps_its_own_clock(station: Bare) -> None:
    for _ in range(3):
        station.show()
    assert [part.is_submitted for part in station.in_flight.parts.values()] == [True, True, False]
    deadlines = [part.deadline_ns for part in station.in_flight.parts.values()]
    station.answer(-1e9)
    assert [part.is_submitted for part in station.in_flight.parts.values()] == [True, True]
    assert [part.deadline_ns for part in station.in_flight.parts.values()] == deadlines[1:]
    time.sleep(BUDGET_MS / 1e3)
    station.turn()
    assert [v.reason for v in station.said] == [Reason.CLEAR, Reason.LATE, Reason.LATE]
    station.answer(-1e9)
    station.answer(-1e9)
    assert station.books.late_results == 2
    assert not station.held.total(), "every slot is given back"


def test_a_live_frame_that_the_lost_model_had_not_begun_with_is_judged_by_the_next_one(station: Bare) -> None:
    station.show()
    station.show()
    station.scoring.model._lose("the inference process died")
    station.turn()
    station.scoring.is_up = True
    station.turn()
    station.answer(-1e9)
    assert [v.reason for v in station.said] == [Reason.BACKEND, Reason.CLEAR]
    assert not station.held.total(), "every slot is given back"


def test_a_part_that_would_be_late_makes_room_for_one_that_can_be_in_time(
    station: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual_ns = int(0.6 * BUDGET_MS * 1e6)
    monkeypatch.setattr(Scoring, "result_due_in_ns", lambda scoring, now: usual_ns * (1 + bool(scoring._deadlines_ns)))
    for _ in range(3):
        station.show()
    second, third = station.in_flight.parts[2], station.in_flight.parts[3]
    assert not second.is_submitted, "behind the first it would be late"
    second.deadline_ns -= int(0.7 * BUDGET_MS * 1e6)
    station.answer(-1e9)
    assert (second.is_submitted, third.is_submitted) == (False, True)
    second.deadline_ns = 0
    station.answer(-1e9)
    assert [v.reason for v in station.said] == [Reason.CLEAR, Reason.LATE, Reason.CLEAR]
    assert not station.held.total(), "every slot is given back"


def test_if_no_part_can_be_in_time_the_youngest_is_tried_so_that_a_slow_moment_does_not_last(station: Bare) -> None:
    station.show()
    station.answer(-1e9)
    station.scoring._took_ns.extend([int(3 * BUDGET_MS * 1e6)] * RECENT)
    station.show()
    assert station.in_flight.parts[2].is_submitted
    station.show()
    station.show()
    station.answer(-1e9)
    assert [station.in_flight.parts[seq].is_submitted for seq in (3, 4)] == [False, True]
    station.scoring._took_ns.extend([0] * RECENT)  # shorter ones meanwhile
    station.answer(-1e9)
    assert station.in_flight.parts[3].is_submitted
    station.answer(-1e9)
    assert len(station.said) == 4
    assert not station.held.total(), "every slot is given back"


def test_no_part_goes_ahead_of_a_challenge_that_is_due(station: Bare) -> None:
    station.stored_challenge = SimpleNamespace(wants_model=True)  # type: ignore[assignment]
    station.show()
    station.show()
    assert [part.is_submitted for part in station.in_flight.parts.values()] == [True, False]
    assert station.scoring.takes_ahead, "the challenge can"
    station.stored_challenge.wants_model = False  # type: ignore[union-attr,misc]
    station.turn()
    assert [part.is_submitted for part in station.in_flight.parts.values()] == [True, True]


def test_no_part_goes_ahead_in_a_process_that_scores_several_at_once(station: Bare) -> None:
    station.scoring.model._child_streams = 2  # started when another station shared it
    station.show()
    station.show()
    assert [part.is_submitted for part in station.in_flight.parts.values()] == [True, False]


def test_what_is_left_of_the_running_inference_counts_and_not_the_whole_of_it(station: Bare) -> None:
    scoring, usual_ns = station.scoring, 20_000_000
    assert scoring.result_due_in_ns(0) == 0
    scoring._took_ns.extend([usual_ns] * RECENT)
    assert scoring.result_due_in_ns(time.monotonic_ns()) == usual_ns
    station.show()
    began_ns = scoring._began_ns
    assert scoring.result_due_in_ns(began_ns + usual_ns // 4) == usual_ns * 7 // 4
    assert scoring.result_due_in_ns(began_ns + 2 * usual_ns) == usual_ns


@pytest.mark.parametrize("is_full", [True, False])
def test_of_two_models_the_idle_one_tries_a_part_that_may_be_late_while_the_other_is_busy(
    station: Bare, is_full: bool
) -> None:
    slow = [int(3 * BUDGET_MS * 1e6)] * RECENT
    station.show()
    if is_full:
        station.show()  # ahead
    station.scoring._took_ns.extend(slow)  # nothing else goes ahead
    station.show()
    waiting = list(station.in_flight.parts.values())[-1]
    assert not waiting.is_submitted
    waiting.inspection = Inspection(station.config, station.bundle, {}, lambda *_, **__: None)
    scoring = waiting.inspection.scoring
    scoring.load(Loaded("openvino", 0.0))
    scoring._took_ns.extend(slow)
    station.show()  # for the first model, which is busy
    assert waiting.is_submitted
    assert not list(station.in_flight.parts.values())[-1].is_submitted


@pytest.fixture
def triggered(station: Bare) -> Bare:
    """A station that accepts a part for each trigger."""
    configure(station, trigger="external")
    return station


def test_a_frame_is_of_the_part_that_was_triggered_last_before_its_exposure(triggered: Bare) -> None:
    for name in ("A", "B"):
        assert isinstance(trigger(triggered, name), int)
    triggered.show()  # A is gone by
    triggered.answer(-1e9)
    assert [(v.part, v.reason) for v in triggered.said] == [("A", Reason.OVERLOAD), ("B", Reason.CLEAR)]
    assert not triggered.held.total()


def test_a_frame_that_comes_after_the_next_trigger_is_of_the_part_before_it_which_it_shows(triggered: Bare) -> None:
    trigger(triggered, "A")
    exposed_ns = time.monotonic_ns()
    trigger(triggered, "B")
    triggered.show(exposed_ns=exposed_ns)
    triggered.answer(-1e9)
    triggered.show()
    triggered.answer(-1e9)
    assert [(v.part, v.reason) for v in triggered.said] == [("A", Reason.CLEAR), ("B", Reason.CLEAR)]


def test_a_frame_exposed_before_the_trigger_is_of_no_part(triggered: Bare) -> None:
    exposed_ns = time.monotonic_ns() - 1
    trigger(triggered, "A")
    triggered.show(exposed_ns=exposed_ns)
    triggered.let_budgets_pass()
    assert [(v.part, v.reason) for v in triggered.said] == [("A", Reason.CAMERA)]
    assert triggered.books.dropped == 1
    assert not triggered.held.total()


def test_while_no_frame_comes_every_trigger_is_answered_camera_and_none_overload(triggered: Bare) -> None:
    for number in range(20):
        trigger(triggered, f"A{number}")
        triggered.let_budgets_pass()
    assert {v.reason for v in triggered.said} == {Reason.CAMERA}


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "at once"])
def test_a_part_that_waits_while_the_camera_is_lost_has_no_frame_from_after_its_return(
    triggered: Bare, resumes: bool
) -> None:
    trigger(triggered, "A")
    triggered.intake.is_up, triggered.intake.cause = False, "no frame for 800 ms"
    triggered.turn()
    triggered.intake.is_up, triggered.intake._to_resume = True, int(resumes)
    trigger(triggered, "B")
    triggered.turn()
    triggered.intake._to_resume = 0
    triggered.show()
    triggered.answer(-1e9)
    found = [(v.part, v.reason, v.detail) for v in triggered.said]
    lost = "no frame for 800 ms"
    second = ("B", Reason.CAMERA, lost) if resumes else ("B", Reason.CLEAR, None)
    assert found == [("A", Reason.CAMERA, lost), second]
    assert not triggered.held.total()


def test_a_flood_of_triggers_is_refused_before_it_grows_without_end(triggered: Bare) -> None:
    answers = [trigger(triggered, "A") for _ in range(3 * MOST_IN_FLIGHT)]
    accepted = [answer for answer in answers if isinstance(answer, int)]
    assert accepted == list(range(1, MOST_IN_FLIGHT + 1))
    assert len(triggered.in_flight.parts) == triggered.books.accepted == MOST_IN_FLIGHT
    triggered.let_budgets_pass()
    assert [v.seq for v in triggered.said] == accepted


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_what_a_camera_shows_before_the_subscribers_are_there_is_of_no_part(
    station: Bare, policy: Literal["every", "latest"]
) -> None:
    configure(station, wait_subscribers=1)
    station.intake.opened = Opened("camera0", None, None, True, True, False, policy, device=True)
    station.acceptance._have_subscribers_come = station.acceptance.have_listeners_come = False
    for _ in range(3):
        station.show()
    assert (station.books.accepted, station.books.dropped, station.held.total()) == (0, 3, 0)
    station.publisher.subscribers = lambda: 1  # type: ignore[method-assign]
    station.show()
    station.answer(-1e9)
    assert [v.part for v in station.said] == ["part 3"]


def test_a_trigger_before_the_subscribers_are_there_is_refused_and_one_after_is_a_part(triggered: Bare) -> None:
    configure(triggered, wait_subscribers=1)
    triggered.acceptance._have_subscribers_come = triggered.acceptance.have_listeners_come = False
    assert trigger(triggered, "A") == "this station waits for 1 subscriber"
    assert triggered.books.accepted == 0
    triggered.publisher.subscribers = lambda: 1  # type: ignore[method-assign]
    assert trigger(triggered, "B") == 1
    triggered.turn()
    triggered.publisher.subscribers = lambda: 0  # type: ignore[method-assign]
    assert trigger(triggered, "C") == 2, "whoever leaves, the line goes on"


def test_a_station_that_waits_for_its_subscribers_judges_nothing_and_says_so(station: Bare) -> None:
    configure(station, wait_subscribers=1)
    station.acceptance._have_subscribers_come = station.acceptance.have_listeners_come = False
    station.status.beat()
    assert (station.status.state, station.status.is_ready) == (State.READY, False)
    station.publisher.subscribers = lambda: 1  # type: ignore[method-assign]
    station.show()
    station.status.beat()
    assert station.status.is_ready
