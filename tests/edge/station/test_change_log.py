"""The record has each change of a station's state with its cause, and alarms that begin and end; not more."""

import time
from pathlib import Path

import pytest
from support.line import running_line
from support.records import rows, until

from edge.channel.control_messages import Resume, Suspend
from edge.station import change_log as module
from edge.station.change_log import CHANGES, ChangeLog
from edge.verdict import State


class Entered(list[tuple[str, str]]):
    def enter(self, kind: str, text: str) -> None:
        self.append((kind, text))


def test_changes_of_state_and_alarms_are_entered_once() -> None:
    entered = Entered()
    log = ChangeLog(entered.enter)
    log.follow(State.PREOPERATIONAL, "the model is loaded", ())
    log.follow(State.READY, None, ())
    log.follow(State.EXECUTING, None, ())
    assert entered == [], "a start in order is the run's"
    for ms in range(1500, 3000, 100):
        log.follow(State.HELD, f"camera: no frame for {ms} ms", (f"lost {ms} verdicts",))
    log.follow(State.EXECUTING, None, ())
    assert entered == [
        ("state", "held: camera: no frame for 1500 ms"),
        ("alarm", "begins: lost 1500 verdicts"),
        ("state", "judges again"),
        ("alarm", "ends: lost 1500 verdicts"),
    ]


def test_a_long_start_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STARTING_S", -1.0)
    entered = Entered()
    log = ChangeLog(entered.enter)
    log.follow(State.PREOPERATIONAL, "no camera answers", ())
    log.follow(State.READY, None, ())
    assert entered == [("state", "preoperational: no camera answers"), ("state", "judges again")]


def test_a_state_that_flaps_is_bounded_and_ends_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    entered = Entered()
    log = ChangeLog(entered.enter)
    for _ in range(500):
        log.follow(State.HELD, "model: it died", ())
        log.follow(State.READY, None, ())
    assert len(entered) == CHANGES.burst
    log.follow(State.HELD, "camera: cable", ())
    clock[0] += 60
    log.follow(State.HELD, "camera: cable", ())
    assert entered[-1][1].startswith("held: camera: cable (")


def test_a_running_station_enters_its_changes(tmp_path: Path) -> None:
    with (
        running_line("--source", "demo", "--size", "320x180", "--rate", "10/s", "--records", tmp_path) as line,
        line.asking() as ask,
    ):
        line.until(1)
        epoch = line.verdicts[-1].epoch
        ask(Suspend(by="Ana", reason="belt", station="line1", epoch=epoch))
        said = "SELECT text FROM events WHERE kind = 'state' ORDER BY rowid"
        until(lambda: rows(tmp_path, said) == [("suspended: operator: Ana: belt",)])
        ask(Resume(by="Ana", reason="done", station="line1", epoch=epoch))
        until(lambda: rows(tmp_path, said)[1:] == [("judges again",)])
