"""New bundles on a running line: load, shadow, promotion, rollback, and what is refused on the way."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from support.line import DEMO_BUNDLE, Asking, Line, ran, running_line
from support.other_bundle import other_bundle
from support.records import rows, verdict

from edge.bundle import load_bundle
from edge.bundle.manifest import Manifest
from edge.channel.control_messages import (
    AskCandidate,
    AskSnapshot,
    CandidateState,
    LoadBundle,
    Promote,
    Refused,
    RollBack,
    Snapshot,
    Stage,
    Unload,
)
from edge.station.process.usage import family, name_of
from edge.station.rollout.probation import MOST, WATCHED, Probation
from edge.station.rollout.promotions import FILE, Promotion, Promotions
from edge.verdict import Outcome, Reason, State

SMALL = ("--source", "demo", "--size", "320x180", "--rate", "12/s", "--budget-ms", 5_000)
RUNNING = load_bundle(DEMO_BUNDLE).label


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of candidates."""
    folder = tmp_path / "candidates"
    folder.mkdir()
    return folder


@contextmanager
def a_line(shelf: Path, records: Path, *more: Any) -> Iterator[tuple[Line, Asking]]:
    """A line that is ready, with a folder of candidates that can be promoted after ten parts."""
    options = ("--candidates", shelf, "--promote-after", 10, "--records", records, "--keep-goods", 1, *more)
    with running_line(*SMALL, *options) as line, line.asking() as ask:
        line.until(1)
        yield line, ask
        if line.process.poll() is None:
            line.process.terminate()
        assert line.to_the_end() == 0


def asked(ask: Asking, request: Any = None) -> CandidateState:
    answer = ask(request or AskCandidate())
    assert isinstance(answer, CandidateState), answer
    return answer


def until(ask: Asking, holds: Callable[[CandidateState], bool], patience_s: float = 60) -> CandidateState:
    """The candidate's state as soon as `holds`."""
    end = time.monotonic() + patience_s
    while not holds(state := asked(ask)):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def loaded(ask: Asking, name: str) -> CandidateState:
    asked(ask, LoadBundle(bundle=name, by="Ana", reason="trial"))
    return until(ask, lambda state: state.stage is not Stage.LOADING)


def why(ask: Asking, request: Any) -> str:
    answer = ask(request)
    assert isinstance(answer, Refused), answer
    return answer.why


def until_decides(line: Line, label: str, parts: int = 3) -> None:
    """Until so many further verdicts are those of this bundle."""
    while sum(one.bundle == label for one in line.verdicts) < parts:
        line.until(len(line.verdicts) + 1)


def events(records: Path, kind: str) -> list[str]:
    found = rows(records, f"SELECT text FROM events WHERE kind = '{kind}'")
    return [text.removeprefix("line1: ") for (text,) in found]


def models(line: Line, name: str = "edge-inference") -> set[int]:
    return {pid for pid in family(line.process.pid) if name_of(pid) == name}


def until_gone(line: Line) -> None:
    """Until the candidate's process has ended; at the lowest priority that takes a while."""
    end = time.monotonic() + 20
    while models(line, "edge-candidate"):
        assert time.monotonic() < end
        line.until(len(line.verdicts) + 1)


def test_a_candidate_judges_in_the_shadow_is_promoted_and_rolled_back(shelf: Path, tmp_path: Path) -> None:
    label, records = load_bundle(other_bundle(shelf / "next.edge")).label, tmp_path / "records"
    with a_line(shelf, records, "--backend", "openvino") as (line, ask):
        state = loaded(ask, "next.edge")
        assert (state.stage, state.bundle, state.running) == (Stage.JUDGING, label, RUNNING)
        assert "it needs 10" in why(ask, Promote(flips=0, by="Ana"))
        state = until(ask, lambda state: state.judged >= 10)
        assert state.to_reject == state.to_good == state.faults == 0
        assert {one.bundle for one in line.verdicts} == {RUNNING}
        asked(ask, Promote(flips=0, by="Ana", reason="ten parts alike"))
        state = until(ask, lambda state: state.running == label)
        assert (state.stage, state.previous) == (Stage.NONE, RUNNING)
        until_decides(line, label)
        before = len(line.verdicts)
        state = asked(ask, RollBack(by="Ben", reason="doubts"))
        assert (state.running, state.previous) == (RUNNING, None)
        line.until(before + 5)
    labels = [one.bundle for one in line.verdicts]
    assert [one for one, _ in groupby(labels)] == [RUNNING, label, RUNNING]
    assert {one.verdict for one in line.verdicts} <= {Outcome.GOOD, Outcome.REJECT}
    assert len({one.epoch for one in line.verdicts}) == 1
    assert [one.seq for one in line.verdicts] == [*range(1, len(labels) + 1)]
    assert events(records, "operator") == [
        "Ana loads next.edge as the candidate: trial",
        f"Ana promotes {label} after {state_judged(records)} parts, 0 flips looked at: ten parts alike",
        f"Ben rolls back from {label}: doubts",
    ]
    found = rows(records, "SELECT s.seq, s.score, v.score FROM shadow_results s JOIN verdicts v USING (epoch, seq)")
    assert len(found) >= 10
    assert all(shadow == score for _, shadow, score in found)
    assert ran("audit", records).returncode == 0


def state_judged(records: Path) -> str:
    """The number of parts that the promotion names."""
    return next(text for text in events(records, "operator") if "promotes" in text).split(" after ")[1].split()[0]


def test_flips_are_counted_recorded_and_have_pictures_and_nobody_promotes_unseen_ones(
    shelf: Path, tmp_path: Path
) -> None:
    other_bundle(shelf / "strict.edge", 1e-9)
    records = tmp_path / "records"
    with a_line(shelf, records, "--keep-goods", 0, "--promote-flips", 3) as (line, ask):
        loaded(ask, "strict.edge")
        state = until(ask, lambda state: state.judged >= 10 and state.to_reject >= 4)
        assert state.to_good == 0
        assert "look at all of them" in why(ask, Promote(flips=0, by="Ana"))
        ask_again = ask(Unload(by="Ana"))
        assert isinstance(ask_again, CandidateState)
        assert ask_again.stage is Stage.NONE
        until_gone(line)
    flips = rows(
        records,
        "SELECT seq FROM shadow_results JOIN verdicts v USING (epoch, seq) "
        "WHERE outcome = 'reject' AND v.verdict = 'good'",
    )
    pictures = {seq for (seq,) in rows(records, "SELECT seq FROM images")}
    assert len(flips) >= 4
    told = ran("audit", records, "--last", "flip", 4)
    assert told.returncode == 0
    assert told.stdout.count("says reject: score") == told.stdout.count("a flip") == 4
    assert {seq for (seq,) in flips} <= pictures
    assert {one.bundle for one in line.verdicts} == {RUNNING}
    assert ran("audit", records).returncode == 0


def test_too_many_flips_are_refused_even_if_looked_at(shelf: Path, tmp_path: Path) -> None:
    other_bundle(shelf / "strict.edge", 1e-9)
    with a_line(shelf, tmp_path / "records", "--promote-flips", 3, "--rate", "4/s") as (_, ask):
        loaded(ask, "strict.edge")
        until(ask, lambda state: state.judged >= 10 and state.to_reject > 3)
        for _ in range(20):  # a further flip may come between question and answer
            said = why(ask, Promote(flips=asked(ask).to_reject, by="Ana"))
            if "are the most" in said:
                break
        assert "3 are the most" in said


def broken(folder: Path) -> None:
    """A bundle whose network is not that of its manifest."""
    other_bundle(folder / "other.edge")
    network = folder / "other.edge" / "model.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"x")


def untrue(manifest: Manifest) -> Manifest:
    """The manifest allows golden frames less than any runtime differs by."""
    artifacts = {name: one.model_copy(update={"golden_tolerance": 1e-12}) for name, one in manifest.artifacts.items()}
    return manifest.model_copy(update={"artifacts": artifacts})


def of_other_scores(folder: Path) -> None:
    """A bundle whose golden frames score otherwise here than the manifest allows."""
    other_bundle(folder / "other.edge", change=untrue)


def running_itself(folder: Path) -> None:
    """The bundle that runs."""
    shutil.copytree(DEMO_BUNDLE, folder / "other.edge")


def nothing(folder: Path) -> None:
    """No bundle."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "other.edge"),
        (broken, "model.onnx"),
        (of_other_scores, "golden"),
        (running_itself, "it decides already"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_and_nothing_changes(
    shelf: Path, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(shelf)
    with a_line(shelf, tmp_path / "records") as (line, ask):
        state = loaded(ask, "other.edge")
        assert state.stage is Stage.REFUSED
        assert said in (state.why or ""), state
        assert "there is no candidate that judges" in why(ask, Promote(flips=0, by="Ana"))
        line.until(len(line.verdicts) + 3)
        until_gone(line)
    assert {one.bundle for one in line.verdicts} == {RUNNING}
    assert any(text.startswith("refused: ") for text in events(tmp_path / "records", "candidate"))


def test_a_candidate_whose_process_dies_is_refused_and_the_line_does_not_notice(shelf: Path, tmp_path: Path) -> None:
    other_bundle(shelf / "next.edge")
    with a_line(shelf, tmp_path / "records") as (line, ask):
        loaded(ask, "next.edge")
        (pid,) = models(line, "edge-candidate")
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        os.kill(pid, signal.SIGKILL)
        state = until(ask, lambda state: state.stage is Stage.REFUSED)
        assert "died" in (state.why or "")
        line.until(len(line.verdicts) + 5)
    assert {one.reason for one in line.verdicts} <= {Reason.CLEAR, Reason.DEFECT, Reason.STOPPED}


def promoted(ask: Asking, name: str) -> CandidateState:
    loaded(ask, name)
    until(ask, lambda state: state.judged >= 10)
    asked(ask, Promote(flips=0, by="Ana"))
    return until(ask, lambda state: state.stage is Stage.NONE and state.previous is not None)


def test_the_station_rolls_back_by_itself_if_the_promoted_model_dies(shelf: Path, tmp_path: Path) -> None:
    label, records = load_bundle(other_bundle(shelf / "next.edge")).label, tmp_path / "records"
    with a_line(shelf, records) as (line, ask):
        before = models(line)
        promoted(ask, "next.edge")
        (pid,) = models(line) - before
        until_decides(line, label)
        os.kill(pid, signal.SIGKILL)
        state = until(ask, lambda state: state.running == RUNNING)
        assert state.rolled_back is not None
        assert state.rolled_back.startswith(f"rolled back by itself from {label} to {RUNNING}: ")
        snapshot = ask(AskSnapshot())
        assert isinstance(snapshot, Snapshot)
        assert state.rolled_back in snapshot.heartbeat.alarms
        while line.verdicts[-1].bundle != RUNNING:  # frames from before the rollback come first
            line.until(len(line.verdicts) + 1)
    assert state.rolled_back in events(records, "candidate")


def test_a_restart_keeps_the_promoted_bundle_and_can_still_roll_back(shelf: Path, tmp_path: Path) -> None:
    label, records = load_bundle(other_bundle(shelf / "next.edge")).label, tmp_path / "records"
    with a_line(shelf, records) as (line, ask):
        promoted(ask, "next.edge")
        until_decides(line, label)
    with a_line(shelf, records) as (line, ask):
        assert line.verdicts[0].bundle == label
        asked(ask, RollBack(by="Ben"))
        until(ask, lambda state: state.running == RUNNING)
        assert "nothing to roll back to" in why(ask, RollBack(by="Ben"))
    with a_line(shelf, records) as (line, ask):
        assert line.verdicts[0].bundle == RUNNING


def test_a_promotion_that_cannot_be_restored_is_an_alarm(shelf: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    kept = {"product": None, "bundle": str(shelf / "gone.edge"), "digest": "0" * 64}
    kept["replaces"] = load_bundle(DEMO_BUNDLE).digest
    (records / FILE).write_text(json.dumps({"version": 1, "promotions": [kept]}))
    with a_line(shelf, records) as (line, ask):
        snapshot = ask(AskSnapshot())
        assert isinstance(snapshot, Snapshot)
        assert any("the configured one decides" in alarm for alarm in snapshot.heartbeat.alarms)
        assert line.verdicts[0].bundle == RUNNING


def test_a_station_that_stops_while_a_candidate_is_at_work_stops_in_order(shelf: Path, tmp_path: Path) -> None:
    other_bundle(shelf / "next.edge")
    with a_line(shelf, tmp_path / "records") as (line, ask):
        loaded(ask, "next.edge")
        until(ask, lambda state: state.judged >= 1)
        (pid,) = models(line, "edge-candidate")
        os.kill(pid, signal.SIGSTOP)  # it keeps the frame that it gets next
        line.until(len(line.verdicts) + 4)
    assert "Traceback" not in line.stderr


def test_a_promoted_bundle_that_does_not_load_at_the_start_gives_way_to_the_configured_one(
    shelf: Path, tmp_path: Path
) -> None:
    records = tmp_path / "records"
    records.mkdir()
    promoted_one = load_bundle(other_bundle(shelf / "next.edge", change=untrue))
    kept = {"product": None, "bundle": str(promoted_one.folder), "digest": promoted_one.digest}
    kept["replaces"] = load_bundle(DEMO_BUNDLE).digest
    (records / FILE).write_text(json.dumps({"version": 1, "promotions": [kept]}))
    with a_line(shelf, records) as (line, ask):
        snapshot = ask(AskSnapshot())
        assert isinstance(snapshot, Snapshot)
        (alarm,) = (alarm for alarm in snapshot.heartbeat.alarms if "promoted" in alarm)
        assert "golden" in alarm
        assert line.verdicts[0].bundle == RUNNING
        asked(ask, RollBack(by="Ben"))  # whoever has seen it ends the promotion
    assert json.loads((records / FILE).read_text())["promotions"] == []


def test_another_configured_bundle_ends_a_promotion_for_good(tmp_path: Path) -> None:
    configured, other = load_bundle(DEMO_BUNDLE), load_bundle(other_bundle(tmp_path / "other.edge"))
    kept = Promotion(product=None, bundle=str(other.folder), digest=other.digest, replaces=configured.digest)
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "promotions": [kept.model_dump()]}))
    assert Promotions(tmp_path).restored(None, configured, None).digest == other.digest
    later = Promotions(tmp_path)
    assert later.restored(None, other, None) is other
    later.begin()
    later.close()
    assert Promotions(tmp_path).restored(None, configured, None) is configured


def test_a_promotion_of_one_product_leaves_the_alarm_about_another(tmp_path: Path) -> None:
    configured = load_bundle(DEMO_BUNDLE)
    gone = Promotion(product="a", bundle="/gone.edge", digest="0" * 64, replaces=configured.digest)
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "promotions": [gone.model_dump()]}))
    some = Promotions(tmp_path)
    assert some.restored("a", configured, None) is configured
    some.keep(gone.model_copy(update={"product": "b"}))
    assert len(some.alarms) == 1
    assert some.forget("a")
    assert some.alarms == ()


def test_without_a_folder_of_candidates_none_is_loaded() -> None:
    with running_line(*SMALL) as line, line.asking() as ask:
        line.until_state(State.EXECUTING)
        assert "--candidates" in why(ask, LoadBundle(bundle="next.edge", by="Ana"))
        line.process.terminate()
        assert line.to_the_end() == 0


@pytest.mark.parametrize("name", ["../demo.edge", "a/b", ".hidden", ""])
def test_a_name_that_leaves_the_folder_is_no_request(shelf: Path, tmp_path: Path, name: str) -> None:
    with a_line(shelf, tmp_path / "records") as (_, ask):
        ask.socket.send(json.dumps({"type": "load_bundle", "bundle": name, "by": "Ana"}).encode())
        assert isinstance(ask.next(), Refused)


class Seat:
    """A model that is up, or not."""

    def __init__(self, cause: str | None = None) -> None:
        self.is_up, self.cause = cause is None, cause


@pytest.mark.parametrize("reason", [*MOST])
def test_too_many_unknowns_end_the_probation(reason: Reason) -> None:
    probation, up = Probation(), Seat()
    sound = verdict(1)
    bad = sound.model_copy(update={"reason": reason})
    for _ in range(MOST[reason]):
        probation.judged(bad)
    assert probation.failure(up) is None  # type: ignore[arg-type]
    probation.judged(bad)
    assert "6 of its last 6 parts" in (probation.failure(up) or "")  # type: ignore[arg-type]
    for _ in range(WATCHED):
        probation.judged(sound)
    assert probation.failure(up) is None  # type: ignore[arg-type]
    assert probation.failure(Seat("a golden frame scores 2, at the start it was 1")) is not None  # type: ignore[arg-type]
