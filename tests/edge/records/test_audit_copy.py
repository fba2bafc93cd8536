"""The audit of a record that was copied while it was written: it reports the copy's gaps, and finds real faults."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.line import ran, running_line
from support.records import Archive, enter, recorder, settle, spoil, verdict

from edge.channel.control_messages import Fate
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.retention import Keeping
from edge.station.process.messages import Stored
from edge.verdict import Outcome

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN
SIX = [G, G, R, G, U, R]
IMAGES = Path("images/2026-01-02/ab12")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a record made when the station was at its sixth part, with images of parts 3, 5 and 6."""
    record = tmp_path / "record"
    journal, archive = recorder(record), Archive(Keeping(record, min_free_bytes=0))
    archive.start()
    for seq, outcome in enumerate(SIX, 1):
        enter(journal, verdict(seq, outcome))
        journal.acknowledge("ab12", seq, Fate.PASSED if outcome is G else Fate.REJECTED, "gate1")
        if outcome is not G:
            assert archive.offer(verdict(seq, outcome))
            journal.image(*archive.until(Stored, len(archive.heard(Stored)) + 1)[-1])  # type: ignore[misc]
    settle(journal)
    shutil.copytree(record, tmp_path / "copy")
    archive.close()
    journal.close("told to stop", 6)
    return tmp_path / "copy"


def test_copies_of_a_running_station_are_sound_and_say_what_they_are(tmp_path: Path) -> None:
    record = tmp_path / "record"
    with running_line("--source", "demo", "--size", "320x180", "--rate", "50/s", "--records", record) as line:
        for number in range(11):
            line.until(7)
            # cp reports an error for each file that was renamed before it was read
            subprocess.run(["cp", "-r", record, tmp_path / str(number)], stderr=subprocess.DEVNULL, check=False)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0
    for number in range(11):
        done = ran("audit", tmp_path / str(number))
        assert done.returncode == 0, done.stdout
        assert "had not ended" in done.stdout
    whole = audit(record)
    assert (whole.is_sound, whole.is_copy, whole.cut_run) == (True, False, None)


def test_what_is_said_of_a_copy_is_its_last_verdict_and_not_that_the_station_died(copy: Path) -> None:
    done = ran("audit", copy, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["copy"], said["live"], said["runs"][0]["last_here"]) == (0, True, False, 6)
    assert said["runs"][0]["lost"] == 0
    found = audit(copy.with_name("record"))
    assert (found.is_copy, found.is_sound) == (False, True)


def test_a_record_whose_station_died_is_no_copy(tmp_path: Path) -> None:
    with running_line("--source", "demo", "--size", "320x180", "--records", tmp_path / "record") as line:
        line.until(5)
        os.killpg(line.process.pid, signal.SIGKILL)
        line.process.wait()
    assert audit(tmp_path / "record").counts == {Kind.RUN: 1}


def test_a_station_that_goes_on_in_a_copy_makes_it_a_record_of_its_own(copy: Path) -> None:
    journal = recorder(copy, "cd34")
    journal.close("told to stop", 0)
    found = audit(copy)
    assert (found.is_copy, found.counts) == (False, {Kind.LOST: 1})


SPOILT = {
    "a hole": ("DELETE FROM verdicts WHERE seq = 5", Kind.SEQUENCE),
    "a verdict that let a part pass": ("DELETE FROM verdicts WHERE seq = 4", Kind.ESCAPE),
    "the last verdict": ("DELETE FROM verdicts WHERE seq = 6", Kind.SEQUENCE),
    "one twice": ("INSERT INTO verdicts SELECT * FROM verdicts WHERE seq = 3", Kind.SEQUENCE),
    "a reject turned good": ("UPDATE verdicts SET verdict = 'good' WHERE seq = 3", Kind.VERDICT),
    "passed a reject": ("UPDATE acknowledgements SET fate = 'passed' WHERE seq = 3", Kind.ESCAPE),
    "passed what is not there": ("UPDATE acknowledgements SET seq = 7 WHERE seq = 1", Kind.ESCAPE),
    "an image the journal does not know": ("DELETE FROM images WHERE seq = 5", Kind.IMAGE),
    "another image": ("UPDATE images SET sha256 = 'ff' WHERE seq = 6", Kind.IMAGE),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_in_a_copy_is_found(copy: Path, what: str) -> None:
    statement, kind = SPOILT[what]
    spoil(copy, statement)
    assert kind in audit(copy).counts
    assert ran("audit", copy).returncode == 1


@pytest.mark.parametrize("name", ["00000003-reject.png", "00000005-unknown.json"])
def test_an_image_that_a_copy_lacks_in_the_middle_is_found(copy: Path, name: str) -> None:
    (copy / IMAGES / name).unlink()
    assert audit(copy).counts == {Kind.IMAGE: 1}


@pytest.mark.parametrize("suffixes", [(".png",), (".png", ".json"), (".json",)], ids="".join)
def test_the_newest_image_may_be_missing_where_images_were_copied_first(copy: Path, suffixes: tuple[str, ...]) -> None:
    for suffix in suffixes:
        (copy / IMAGES / f"00000006-reject{suffix}").unlink()
    found = audit(copy)
    assert found.is_sound, found.problems
    assert found.copied == {"not here yet": 1}
    spoil(copy, "UPDATE runs SET ended = 'then', cause = 'told to stop', last_seq = 6, accepted = 6")
    assert audit(copy).counts[Kind.IMAGE] >= 1, "of a run that has ended, everything was there to be copied"


def test_the_newest_image_may_be_there_alone_where_the_journal_was_copied_first(copy: Path) -> None:
    spoil(copy, "DELETE FROM images WHERE seq = 6")
    found = audit(copy)
    assert found.is_sound, found.problems
    assert found.copied == {"here before the journal tells of them": 1}
    (copy / IMAGES / "photo.png").write_bytes(b"")
    assert audit(copy).counts == {Kind.IMAGE: 1}


def test_the_oldest_images_may_go_while_the_copy_is_made(copy: Path) -> None:
    spoil(copy, "UPDATE images SET gone = 'to make room' WHERE seq = 3")
    found = audit(copy)
    assert found.is_sound, found.problems
    assert found.copied == {"removed to make room meanwhile": 1}, "the journal was copied after it was removed"
    spoil(copy, "UPDATE images SET gone = NULL WHERE seq = 3", "UPDATE images SET gone = 'too old' WHERE seq = 5")
    for suffix in (".png", ".json"):
        (copy / IMAGES / f"00000003-reject{suffix}").unlink()
        (copy / IMAGES / f"00000005-unknown{suffix}").unlink()
    assert audit(copy).is_sound, "the journal was copied before it was removed"


def test_a_log_of_the_gate_may_be_older_or_newer_than_the_copy(copy: Path) -> None:
    log, lines = copy.with_name("gate.log"), []
    for seq, outcome in enumerate([*SIX, G], 1):
        decision, fate = ("pass", "passed") if outcome is G else ("reject", "rejected")
        why = {G: "clear", R: "defect", U: "unknown"}[outcome]
        line = {"epoch": "ab12", "seq": seq, "part": f"part-{seq}", "decision": decision, "why": why, "fate": fate}
        lines.append(json.dumps(line) + "\n")
    log.write_text("".join(lines))
    newer = audit(copy, log)
    assert newer.is_sound, newer.problems
    assert newer.gate is not None
    assert newer.gate.passes == {"proven": 3, "pending": 1}
    log.write_text("".join(lines[:4]) + lines[4][:20])
    older = audit(copy, log)
    assert older.is_sound, older.problems
    log.write_text("".join(lines[:2] + lines[3:5]))
    assert audit(copy, log).counts == {Kind.GATE: 1}, "a line in the middle is missing"
