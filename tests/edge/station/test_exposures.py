"""A camera that exposes on request: one trigger, one frame, one verdict, and never the frame of another part."""

import itertools
import signal
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any

import pytest
from support.fake_genicam import ADDRESS, FakeCamera, fake_camera, is_possible, no_other_cameras
from support.line import Line, running_line

from edge.channel.control_messages import Trigger, Triggered
from edge.errors import SourceError
from edge.station.capture.trigger_reader import Inbox
from edge.station.exposures import MOST_MISSED, Exposures
from edge.station.parts import Finding, Part
from edge.station.process.messages import Captured, Expose, Stop
from edge.verdict import Outcome, Reason, State, Verdict

NONE: Any = None
"""No inspection: nothing judges these parts."""


@pytest.fixture(autouse=True)
def _no_other_cameras() -> Iterator[None]:
    with no_other_cameras():
        yield


needs_aravis = pytest.mark.skipif(not is_possible(), reason="Aravis is not installed: apt install libaravis-0.8-0")
TOLD = (
    *("--source", f"genicam:{ADDRESS}", "--trigger", "external", "--camera", "trigger=software"),
    *("--camera", "region=0,0,320x180", "--rate", "100/s"),
)

# ---- a station and Aravis' fake camera


def judged(line: Line, name: str, budget_of_test_s: float = 20) -> Verdict:
    """Trigger a part, and wait for its verdict."""
    with line.asking() as ask:
        reply = ask(Trigger(part=name))
    assert isinstance(reply, Triggered), reply
    line.until(reply.seq)
    return line.verdicts[reply.seq - 1]


@needs_aravis
def test_one_trigger_makes_one_exposure_and_one_verdict() -> None:
    with fake_camera(), running_line(*TOLD, "--json") as line:
        line.until_state(State.READY)
        for number in range(8):
            verdict = judged(line, f"part {number}")
            assert (verdict.seq, verdict.part) == (number + 1, f"part {number}")
            assert verdict.timing.in_ring is not None
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert '"dropped": 0' in line.stdout, "no frame came that nobody had asked for"
    shown = [v for v in line.verdicts if v.reason is not Reason.CAMERA]  # on a busy machine packets are lost
    assert len(shown) >= 6
    assert all(v.score is not None for v in shown)


@needs_aravis
def test_a_trigger_whose_frame_never_comes_is_unknown_camera_at_the_budget_and_then_the_camera_is_reopened() -> None:
    with fake_camera(loss=1.0), running_line(*TOLD, "--budget-ms", 400) as line:
        line.until_state(State.READY)
        for number in range(MOST_MISSED):
            verdict = judged(line, f"part {number}")
            assert (verdict.verdict, verdict.reason, verdict.score) == (Outcome.UNKNOWN, Reason.CAMERA, None)
            assert verdict.age_ms >= 400
            assert verdict.detail == "no frame came for the trigger"
        judged(line, "one more")
        line.until_state(State.HELD)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr


def restarted(camera: FakeCamera, line: Line) -> None:
    camera.off()
    line.until_state(State.HELD)
    camera.on()


@needs_aravis
def test_a_camera_that_is_back_exposes_by_itself_until_it_has_shown_that_it_is_well() -> None:
    with fake_camera() as camera, running_line(*TOLD) as line:
        line.until_state(State.READY)
        judged(line, "before")
        restarted(camera, line)
        line.until_state(State.EXECUTING)
        assert any("3 good frames" in (beat.cause or "") for beat in line.heartbeats)
        assert judged(line, "after").timing.in_ring is not None
        assert len(line.verdicts) == 2, "no part was needed for that"
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr


# ---- assignment of frames to parts


class FakeIntake:
    """Counts the exposures requested from the camera, and its restarts."""

    def __init__(self) -> None:
        self.child = SimpleNamespace(restarts=0)
        self.is_resuming, self.cause, self.told, self.given_up = False, None, 0, 0

    def expose(self) -> bool:
        self.told += 1
        return True

    def give_up(self, cause: str) -> None:
        self.given_up += 1
        self.child.restarts += 1


def part(seq: int) -> Part:
    return Part(seq, f"part {seq}", captured_ns=seq * 100, deadline_ns=seq * 100 + 50, inspection=NONE)


def frame(captured_ns: int) -> Captured:
    return Captured(0, 0, "", 48, 64, captured_ns, captured_ns, None, None, 0)


LATE = Finding(reason=Reason.CAMERA)


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def exposures(intake: FakeIntake) -> Exposures:
    return Exposures(intake)  # type: ignore[arg-type]


def test_a_frame_that_comes_after_its_budget_is_not_that_of_the_next_part(exposures: Exposures) -> None:
    first, second = part(1), part(2)
    exposures.expose(first)
    first.finding = LATE
    exposures.expose(second)
    assert exposures.pair(frame(210)) is first
    assert exposures.pair(frame(220)) is second
    assert exposures.pair(frame(230)) is None


def test_a_trigger_while_the_camera_still_exposes_is_overload_and_no_exposure(
    exposures: Exposures, intake: FakeIntake
) -> None:
    first = part(1)
    assert exposures.expose(first) is None
    finding = exposures.expose(part(2))
    assert finding is not None
    assert finding.reason is Reason.OVERLOAD
    assert intake.told == 1
    assert exposures.pair(frame(210)) is first


def test_a_frame_from_before_its_trigger_is_of_no_part(exposures: Exposures) -> None:
    first = part(1)
    exposures.expose(first)
    assert exposures.pair(frame(99)) is None
    assert exposures.pair(frame(101)) is first


def test_a_camera_that_overlooked_a_trigger_turns_no_verdict_and_is_opened_again(
    exposures: Exposures, intake: FakeIntake
) -> None:
    parts = [part(seq) for seq in range(1, 6)]
    exposures.expose(parts[0])  # the camera misses this trigger
    for before, now in itertools.pairwise(parts):
        before.finding = LATE
        exposures.expose(now)
        if intake.given_up:
            break
        assert exposures.pair(frame(now.captured_ns + 10)) is before, "given to a part that has its finding"
    assert (intake.given_up, now.seq) == (1, MOST_MISSED + 1)
    last = part(6)
    now.finding = LATE
    exposures.expose(last)
    assert exposures.pair(frame(610)) is last, "another capture process owes nothing"


def test_while_a_camera_has_yet_to_show_that_it_is_well_a_trigger_is_unknown_camera_at_once(
    exposures: Exposures, intake: FakeIntake
) -> None:
    intake.is_resuming, intake.cause = True, "it is back"
    finding = exposures.expose(part(1))
    assert finding == Finding(reason=Reason.CAMERA, detail="it is back")
    assert intake.told == 0


# ---- the pipe of the capture child


def test_the_word_to_expose_is_passed_on_at_once_and_all_else_waits_in_order() -> None:
    ours, theirs = Pipe()
    exposed: list[int] = []
    inbox = Inbox(theirs, lambda: exposed.append(1))
    for message in ("a", Expose(), "b", Expose(), Stop()):
        ours.send(message)
    assert [inbox.recv() for _ in range(3)] == ["a", "b", Stop()]
    assert len(exposed) == 2
    assert not inbox.poll()
    ours.close()
    with pytest.raises(EOFError):
        inbox.recv()


def test_a_trigger_that_the_camera_refuses_ends_the_capture_child() -> None:
    ours, theirs = Pipe()

    def refuse() -> None:
        raise SourceError("the camera takes no trigger")

    inbox = Inbox(theirs, refuse)
    ours.send(Expose())
    with pytest.raises(SourceError, match="takes no trigger"):
        inbox.recv()


def test_an_exposure_is_not_held_up_by_a_wait_for_the_camera() -> None:
    ours, theirs = Pipe()
    moments: list[float] = []
    Inbox(theirs, lambda: moments.append(time.monotonic()))
    for _ in range(20):
        ours.send(Expose())
        time.sleep(0.001)
    assert ours.poll(0) is False
    deadline = time.monotonic() + 5
    while len(moments) < 20 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(moments) == 20, "nobody received anything meanwhile"
