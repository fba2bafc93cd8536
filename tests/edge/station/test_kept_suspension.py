"""A person's suspension outlasts the run: a station that is started again judges nothing before somebody resumes it."""

from pathlib import Path

import pytest
from support.line import running_line
from support.records import rows, until

from edge.channel.control_messages import Resume, Suspend, Suspension
from edge.station.suspension import FILE, KeptSuspension
from edge.verdict import Outcome, Reason, State

SMALL = ("--source", "demo", "--size", "320x180", "--rate", "10/s")


def test_a_station_that_is_started_again_stays_suspended_until_somebody_resumes_it(tmp_path: Path) -> None:
    records = tmp_path / "line1"
    with running_line(*SMALL, "--records", records) as line, line.asking() as ask:
        line.until(3)
        assert ask(Suspend(by="Ana", reason="the belt is being cleaned")) == Suspension(is_suspended=True)
        until((records / FILE).exists)
    with running_line(*SMALL, "--records", records) as line, line.asking() as ask:
        line.until(5)
        assert {verdict.reason for verdict in line.verdicts} == {Reason.SUSPENDED}
        assert line.heartbeats[-1].state is State.SUSPENDED
        assert line.heartbeats[-1].cause == "operator: Ana: the belt is being cleaned"
        assert ask(Resume(by="Ben", reason="done")) == Suspension(is_suspended=False)
        line.until_state(State.EXECUTING)
        until(lambda: not (records / FILE).exists())
        told = [text for (text,) in rows(records, "SELECT text FROM events WHERE kind = 'operator'")]
        assert any("still suspended by Ana: the belt is being cleaned" in text for text in told)
    with running_line(*SMALL, "--records", records) as line:
        line.until(3)
        assert all(verdict.verdict is not Outcome.UNKNOWN for verdict in line.verdicts)


def test_a_file_that_cannot_be_read_counts_as_a_suspension(tmp_path: Path) -> None:
    assert KeptSuspension(tmp_path).said is None
    (tmp_path / FILE).write_text('{"version": 1, "by": "Ana"')
    damaged = KeptSuspension(tmp_path)
    assert damaged.said == f"somebody: {FILE} is damaged"
    damaged.end()
    damaged.close(60)
    assert KeptSuspension(tmp_path).said is None
    (tmp_path / FILE).mkdir()
    assert "cannot be read" in (KeptSuspension(tmp_path).said or "")


def test_the_last_of_several_changes_is_kept(tmp_path: Path) -> None:
    kept = KeptSuspension(tmp_path)
    for number in range(20):
        kept.begin("Ana", f"reason {number}")
        if number % 2:
            kept.end()
    kept.begin("Ben", "the last")
    kept.close(60)
    assert KeptSuspension(tmp_path).said == "Ben: the last"


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_file_that_cannot_be_written_is_an_alarm(tmp_path: Path, is_begun: bool) -> None:
    kept = KeptSuspension(tmp_path)
    kept.begin("Ana", "x")
    until((tmp_path / FILE).exists)
    if is_begun:
        (tmp_path / f"{FILE}.new").mkdir()  # where it is written at first
        kept.begin("Ana", "y")
    else:
        (tmp_path / FILE).unlink()
        (tmp_path / FILE).mkdir()
        kept.end()
    until(lambda: kept.alarms)
    assert "a restart undoes the last change" in kept.alarms[0]
    kept.close(60)


def test_without_records_a_suspension_ends_with_the_run() -> None:
    kept = KeptSuspension(None)
    kept.begin("Ana", "x")
    assert (kept.said, kept.remark, kept.alarms) == ("Ana: x", None, ())
    kept.close(0)
