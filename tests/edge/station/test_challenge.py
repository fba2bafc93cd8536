"""Challenges: a stored picture of a bad part at a schedule, and a marked bad part on the line."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.line import DEMO_BUNDLE, Asking, Line, ran, refused, running_line
from support.other_bundle import other_bundle
from support.records import rows, verdict

from edge.channel.control_messages import (
    Acknowledge,
    AskChallenge,
    AskSnapshot,
    ChallengePart,
    ChallengeStage,
    ChallengeState,
    Fate,
    Hello,
    Refused,
    Resume,
    Snapshot,
)
from edge.station.challenge import FAILED, PartChallenge
from edge.verdict import Outcome, State

SMALL = ("--source", "demo", "--size", "320x180", "--rate", "10/s", "--budget-ms", 5_000)


@pytest.fixture(scope="module")
def bad_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture of a rejected part."""
    folder = tmp_path_factory.mktemp("bad")
    with running_line(*SMALL, "--limit", 40, "--records", folder / "records", "--keep-goods", 0) as line:
        assert line.to_the_end() == 0
    ((path,),) = rows(folder / "records", "SELECT path FROM images WHERE path LIKE '%reject%' LIMIT 1")
    return folder / "records" / str(path)


@contextmanager
def a_line(records: Path, *more: Any) -> Iterator[tuple[Line, Asking]]:
    with running_line(*SMALL, "--records", records, *more) as line, line.asking() as ask:
        line.until(1)
        yield line, ask
        line.process.terminate()
        assert line.to_the_end() == 0


def state(ask: Asking, request: Any = None) -> ChallengeState:
    answer = ask(request or AskChallenge())
    assert isinstance(answer, ChallengeState), answer
    return answer


def until(ask: Asking, holds: Callable[[ChallengeState], bool], patience_s: float = 30) -> ChallengeState:
    end = time.monotonic() + patience_s
    while not holds(found := state(ask)):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def events(records: Path) -> list[str]:
    found = rows(records, "SELECT text FROM events WHERE kind = 'challenge'")
    return [text.removeprefix("line1: ") for (text,) in found]


def station_state(ask: Asking) -> tuple[State, str | None, tuple[str, ...]]:
    snapshot = ask(AskSnapshot())
    assert isinstance(snapshot, Snapshot)
    return snapshot.heartbeat.state, snapshot.heartbeat.cause, snapshot.heartbeat.alarms


def test_a_stored_bad_picture_is_rejected_again_and_again_and_in_no_count(bad_part: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    with a_line(records, "--challenge", bad_part, "--challenge-minutes", 0.01, "--bundle", DEMO_BUNDLE) as (line, ask):
        until(ask, lambda found: found.stored is not None)
        line.until(20)
        told = state(ask).stored or ""
        assert told.startswith(f"stored picture {bad_part.name}, demo@")
        assert ": rejected, score " in told
    found = events(records)
    assert len(found) >= 2
    assert all(": rejected, " in one for one in found)
    assert [one.seq for one in line.verdicts] == [*range(1, len(line.verdicts) + 1)]
    assert {one.part for one in line.verdicts} == {one.part for one in line.verdicts if one.part.startswith("A")}
    assert line.verdicts[-1].verdict is not Outcome.UNKNOWN or line.verdicts[-1].reason == "stopped"
    audit = ran("audit", records, "--json")
    assert audit.returncode == 0
    told = json.loads(audit.stdout)
    assert told["runs"][0]["accepted"] == len(line.verdicts)
    assert [*told["challenges"]] == ["stored"]
    assert told["challenges"]["stored"].endswith(found[-1])


def test_a_blind_bundle_is_caught_within_one_schedule_and_suspends_the_line(bad_part: Path, tmp_path: Path) -> None:
    records, blind = tmp_path / "records", other_bundle(tmp_path / "blind.edge", 2.0)
    options = ("--challenge", bad_part, "--challenge-minutes", 0.05, "--bundle", blind)
    with a_line(records, *options) as (line, ask):
        until(ask, lambda found: found.stored is not None)
        line.until_state(State.SUSPENDED)
        _, cause, _ = station_state(ask)
        assert cause is not None
        assert "challenge: FAILED: stored picture" in cause
        ask(Resume(by="Ana", reason="another bundle follows"))
        line.until_state(State.SUSPENDED)  # the next challenge fails, too
    assert len([one for one in events(records) if one.startswith(FAILED)]) >= 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(np.zeros((20, 30, 3), np.uint8), "it has 30×20 pixels"), (None, "No such file"), (b"no picture", "picture")],
)
def test_a_picture_that_cannot_be_shown_is_an_alarm_and_the_line_runs(tmp_path: Path, content: Any, said: str) -> None:
    picture = tmp_path / "bad.png"
    if isinstance(content, bytes):
        picture.write_bytes(content)
    elif content is not None:
        cv2.imwrite(str(picture), content)
    with a_line(tmp_path / "records", "--challenge", picture) as (line, ask):
        end = time.monotonic() + 30
        while not any("no challenge" in alarm for alarm in station_state(ask)[2]):
            assert time.monotonic() < end
            time.sleep(0.05)
        (alarm,) = (alarm for alarm in station_state(ask)[2] if "no challenge" in alarm)
        assert said in alarm
        line.until(len(line.verdicts) + 3)


def test_a_challenge_without_records_is_refused(bad_part: Path) -> None:
    assert "needs records" in refused("--source", "demo", "--challenge", bad_part, "--no-records")


@pytest.mark.parametrize("fate", [Fate.REJECTED, Fate.PASSED])
def test_a_bad_part_must_be_rejected_at_the_gate(tmp_path: Path, fate: Fate) -> None:
    strict = other_bundle(tmp_path / "strict.edge", 1e-12)
    with a_line(tmp_path / "records", "--bundle", strict) as (line, ask):
        ask(Hello(client="gate1"))
        state(ask, ChallengePart(by="Ana", reason="shift begins", within_s=20))
        found = until(ask, lambda found: found.stage is ChallengeStage.JUDGED)
        (judged,) = [one for one in line.verdicts if one.part == found.part] or [None]
        while judged is None:
            line.until(len(line.verdicts) + 1)
            judged = next((one for one in line.verdicts if one.part == found.part), None)
        assert isinstance(ask(ChallengePart(by="Ben")), Refused)
        ask.socket.send(Acknowledge(epoch=judged.epoch, seq=judged.seq, fate=fate).model_dump_json().encode())
        found = until(ask, lambda found: found.stage not in (ChallengeStage.WAITING, ChallengeStage.JUDGED))
        is_stopped = fate is Fate.REJECTED
        assert found.stage is (ChallengeStage.PASSED if is_stopped else ChallengeStage.FAILED)
        assert found.why == f"gate1 acknowledged: {fate}"
        if not is_stopped:
            line.until_state(State.SUSPENDED)
    (event,) = events(tmp_path / "records")
    assert event.startswith(FAILED) is not is_stopped
    audit = json.loads(ran("audit", tmp_path / "records", "--json").stdout)
    assert [*audit["challenges"]] == ["part" if is_stopped else "failed"]
    (operator,) = rows(tmp_path / "records", "SELECT text FROM events WHERE kind = 'operator'")
    assert operator == ("Ana brings a bad part: the next one: shift begins",)


class Told:
    """Who is suspended, and what is noted."""

    def __init__(self) -> None:
        self.suspended: list[str] = []
        self.noted: list[str] = []
        self.challenge = PartChallenge(
            lambda by, why: self.suspended.append(why), lambda level, line, kind: self.noted.append(line)
        )

    def judge(self, seq: int, outcome: Outcome, part: str = "A1") -> None:
        one: Any = SimpleNamespace(name=part)
        self.challenge.judged(one, verdict(seq, outcome), b"")


def test_a_good_verdict_fails_the_challenge_at_once() -> None:
    told = Told()
    told.challenge.ask(ChallengePart(by="Ana", part="A1"), 7)
    told.judge(1, Outcome.GOOD, "A0")
    assert told.suspended == []
    told.judge(2, Outcome.GOOD)
    assert told.suspended == [f"{FAILED}part A1, a bad part: its verdict 2 is good, score 0.1"]


@pytest.mark.parametrize("comes", [False, True])
def test_a_challenge_that_is_not_over_in_time_fails(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    told.challenge.ask(ChallengePart(by="Ana", within_s=5), 0)
    if comes:
        told.judge(1, Outcome.REJECT)
    told.challenge.serve()
    assert told.suspended == []
    later = time.monotonic() + 5.1
    monkeypatch.setattr("edge.station.challenge.time.monotonic", lambda: later)
    told.challenge.serve()
    told.challenge.serve()
    (why,) = told.suspended
    assert ("no controller acknowledged" in why) is comes


def test_an_acknowledgement_of_another_part_does_not_count() -> None:
    told = Told()
    told.challenge.ask(ChallengePart(by="Ana"), 0)
    told.judge(1, Outcome.REJECT)
    told.challenge.acknowledged("ab12", 2, Fate.REJECTED, "gate1")
    assert told.challenge.state(None).stage is ChallengeStage.JUDGED
    told.challenge.acknowledged("ab12", 1, Fate.REJECTED, "gate1")
    assert told.challenge.state(None).stage is ChallengeStage.PASSED
    assert told.suspended == []


def test_a_part_from_before_the_command_is_not_the_next_one() -> None:
    told = Told()
    told.challenge.ask(ChallengePart(by="Ana"), 5)
    told.judge(5, Outcome.GOOD)
    assert told.challenge.state(None).stage is ChallengeStage.WAITING
    told.judge(6, Outcome.REJECT, "A6")
    assert told.challenge.state(None).part == "A6"


def test_an_unknown_verdict_shows_nothing() -> None:
    told = Told()
    told.challenge.ask(ChallengePart(by="Ana"), 0)
    told.judge(1, Outcome.UNKNOWN)
    told.challenge.acknowledged("ab12", 1, Fate.REJECTED, "gate1")
    assert told.challenge.state(None).stage is ChallengeStage.INCONCLUSIVE
    assert told.suspended == []
    assert "rejected" not in " ".join(told.noted)
