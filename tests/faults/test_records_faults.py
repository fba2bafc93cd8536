"""A full, slow or missing disk, a killed station, a dead archive: verdicts continue, and the record lists the
losses.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.line import TESTS_PATH
from support.records import Archive, enter, fill, payload, recorder, rows, settle, small_disk, until, verdict

from edge.records import disk_reserve
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.journal import JOURNAL, open_to_read
from edge.records.retention import Keeping
from edge.records.selection import Selection
from edge.records.stored_verdicts import select
from edge.station.process.messages import Copied, NotStored, Stored
from edge.verdict import Outcome

WRITING = """
import sys, time
from pathlib import Path
from support.records import payload, recorder, verdict
journal = recorder(Path(sys.argv[1]), sys.argv[2])
for seq in range(1, 1_000_000):
    one = verdict(seq, epoch=sys.argv[2])
    journal.accept(seq)
    journal.enter(one, payload(one))
    if seq % 10 == 0:
        print(journal.durable_seq, flush=True)
        time.sleep(0.001)
"""


SEALING = """
from edge.records import journal_upkeep, sealing
journal_upkeep.IDLE_S = journal_upkeep.PAUSE_S = 0.001
journal_upkeep.JournalUpkeep.__init__.__defaults__ = (20,)
sealing.MOST_VERDICTS = 20
"""
"""Before WRITING: small blocks, as many as the machine can make."""


def python(code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Run code with this interpreter, with the tests and the project on its path."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": TESTS_PATH, **environment},
    )


# ------------------------------------------------------------------------------------------------------- kill -9


@pytest.mark.parametrize("code", [WRITING, SEALING + WRITING], ids=["rows", "blocks"])
def test_kill_9_leaves_every_verdict_that_was_called_durable_and_the_next_start_says_what_is_lost(
    tmp_path: Path, code: str
) -> None:
    for run, after in enumerate((200, 1500, 4000)):
        epoch = f"ab{run}"
        station = python(code, tmp_path, epoch)
        assert station.stdout is not None
        for line in station.stdout:
            if int(line) >= after:
                break
        station.kill()
        durable = max([after, *(int(line) for line in station.stdout.read().split("\n")[:-1])])
        station.wait()

        assert audit(tmp_path).counts[Kind.RUN] == 1, "nobody has said yet what became of the run"
        after_it = recorder(tmp_path, f"cd{run}")
        settle(after_it)
        assert after_it.boot == 2 * (run + 1)
        after_it.close("told to stop", 0)

        with closing(open_to_read(tmp_path)) as journal:
            kept = [(one.seq, one.text) for one in select(journal, Selection(epoch=epoch))]
        assert len(kept) >= durable
        assert [seq for seq, _ in kept] == list(range(1, len(kept) + 1))
        assert all(text.encode() == payload(verdict(seq, epoch=epoch)) for seq, text in kept)
        lost = rows(
            tmp_path, f"SELECT lost_from, lost_to, accepted >= {len(kept)} FROM lost_ranges WHERE epoch = '{epoch}'"
        )
        assert lost == [(len(kept) + 1, None, 1)]
        found = audit(tmp_path)
        assert found.counts[Kind.LOST] == run + 1
        assert set(found.counts) == {Kind.LOST}
    assert code == WRITING or rows(tmp_path, "SELECT count(*) FROM verdict_blocks") > [(10,)]


# ---------------------------------------------------------------------------------------------------- a torn journal


def torn_in_the_middle(folder: Path) -> None:
    with open(folder / JOURNAL, "r+b") as file:
        file.seek(8192)
        file.write(os.urandom(40_000))


def torn_at_the_head(folder: Path) -> None:
    with open(folder / JOURNAL, "r+b") as file:
        file.write(os.urandom(100))


def cut_off(folder: Path) -> None:
    os.truncate(folder / JOURNAL, (folder / JOURNAL).stat().st_size // 2 + 1000)


def emptied(folder: Path) -> None:
    """Empty the journal and scramble its log, as after a power failure before the file system wrote the blocks."""
    os.truncate(folder / JOURNAL, 0)
    (folder / f"{JOURNAL}-wal").write_bytes(os.urandom(5000))


@pytest.mark.parametrize("tear", [torn_in_the_middle, torn_at_the_head, cut_off, emptied])
def test_a_damaged_journal_is_moved_aside_never_deleted_and_a_new_one_says_so(tmp_path: Path, tear: object) -> None:
    before = recorder(tmp_path)
    enter(before, *(verdict(seq) for seq in range(1, 501)))
    before.close("told to stop", 500)
    assert callable(tear)
    tear(tmp_path)
    damaged = (tmp_path / JOURNAL).read_bytes()

    journal = recorder(tmp_path, "cd34")
    enter(journal, verdict(1, epoch="cd34"))
    settle(journal)
    assert journal.boot == 2
    assert journal.durable_seq == 1
    (aside,) = tmp_path.glob("journal-damaged-*.db")
    assert aside.read_bytes() == damaged
    assert journal.alarms == (f"the journal was damaged; what it held is in {aside.name}",)
    journal.close("told to stop", 1)
    assert rows(tmp_path, "SELECT epoch, lost_from, lost_to FROM lost_ranges") == [(None, 1, None)]
    assert rows(tmp_path, "SELECT text FROM events") == [journal.alarms]
    found = audit(tmp_path)
    assert (found.counts[Kind.JOURNAL], found.counts[Kind.LOST]) == (1, 1)


def test_of_a_torn_log_what_is_whole_is_kept(tmp_path: Path) -> None:
    station = python(WRITING, tmp_path, "ab12")
    assert station.stdout is not None
    commits = {0}
    while len(commits) < 6 or max(commits) < 300:  # on a busy machine one commit may hold hundreds of rows
        commits.add(int(station.stdout.readline()))
    station.kill()
    station.communicate()
    log = tmp_path / f"{JOURNAL}-wal"
    os.truncate(log, log.stat().st_size - 6000)
    with open(log, "ab") as file:
        file.write(os.urandom(6000))
    journal = recorder(tmp_path, "cd34")
    journal.close("told to stop", 0)
    assert list(tmp_path.glob("journal-damaged-*")) == []
    kept = [seq for (seq,) in rows(tmp_path, "SELECT seq FROM verdicts ORDER BY rowid")]
    assert kept
    assert kept == list(range(1, len(kept) + 1))
    assert rows(tmp_path, "SELECT epoch, lost_from, lost_to FROM lost_ranges") == [("ab12", len(kept) + 1, None)]


def test_a_journal_that_is_damaged_while_it_is_written_is_moved_aside_and_the_run_goes_on(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    enter(journal, *(verdict(seq) for seq in range(1, 3001)))
    settle(journal)
    for name in (JOURNAL, f"{JOURNAL}-wal"):
        with open(tmp_path / name, "r+b") as file:
            file.write(os.urandom((tmp_path / name).stat().st_size))
    seq = 3001
    while not journal.alarms:
        enter(journal, *(verdict(seq + more) for more in range(500)))
        settle(journal)
        seq += 500
        assert seq < 100_000
    settle(journal)
    journal.close("told to stop", seq - 1)
    assert rows(tmp_path, "SELECT epoch, last_seq FROM runs") == [("ab12", seq - 1)]
    ((epoch, first, last),) = rows(tmp_path, "SELECT epoch, lost_from, lost_to FROM lost_ranges")
    kept = [seq for (seq,) in rows(tmp_path, "SELECT seq FROM verdicts ORDER BY rowid")]
    assert (epoch, first) == ("ab12", 1)
    assert kept == list(range(last + 1, seq))
    assert set(audit(tmp_path).counts) == {Kind.LOST, Kind.JOURNAL}


def test_a_journal_that_is_removed_while_it_is_written_is_begun_again_and_says_so(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    enter(journal, *(verdict(seq) for seq in range(1, 11)))
    settle(journal)
    for path in tmp_path.glob(f"{JOURNAL}*"):
        path.unlink()
    enter(journal, verdict(11))
    settle(journal)
    assert journal.alarms == ("the journal was removed while it was written",)
    assert journal.durable_seq == 0
    journal.close("told to stop", 11)
    assert rows(tmp_path, "SELECT epoch, last_seq FROM runs") == [("ab12", 11)]
    assert rows(tmp_path, "SELECT seq FROM verdicts") == [(11,)]
    assert rows(tmp_path, "SELECT epoch, lost_from, lost_to FROM lost_ranges") == [("ab12", 1, 10)]


# ------------------------------------------------------------------------------------------------------- a full disk


def test_on_a_full_disk_verdicts_wait_and_an_alarm_says_so_and_all_are_written_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        journal = recorder(disk / "records")
        enter(journal, verdict(1))
        settle(journal)
        filler = fill(disk)
        seq = 1
        while not any("verdicts wait" in alarm for alarm in journal.alarms):
            for _ in range(50):
                seq += 1
                enter(journal, verdict(seq))
            time.sleep(0.02)
            assert seq < 50_000
        assert journal.durable_seq < seq
        assert journal.lost == 0
        filler.unlink()
        settle(journal)
        assert journal.durable_seq == seq
        until(lambda: enter_next(journal) or journal.alarms == ())
        journal.close("told to stop", journal.durable_seq + journal.backlog)
        assert rows(disk / "records", "SELECT cause FROM runs") == [("told to stop",)]
        assert audit(disk / "records").is_sound


def enter_next(journal: object) -> None:
    """Enter one more verdict and wait: the reserve is restored while rows are written."""
    from edge.records.recorder import Recorder

    assert isinstance(journal, Recorder)
    enter(journal, verdict(journal.durable_seq + 1))
    settle(journal)
    time.sleep(0.05)


def test_on_a_full_disk_the_run_ends_well_and_the_journal_says_what_it_could_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reserve checks for free space all the time, and must not take the last of it.
    monkeypatch.setattr(disk_reserve, "PATIENCE_S", 0)
    with small_disk(tmp_path / "disk", 24) as disk:
        journal = recorder(disk / "records")
        settle(journal)
        fill(disk)
        seq = 0
        while journal.backlog < 3000:
            for _ in range(100):
                seq += 1
                enter(journal, verdict(seq))
            time.sleep(0.01)
            assert seq < 90_000
        journal.close("told to stop", seq, patience_s=30)
        records = disk / "records"
        assert rows(records, "SELECT cause, last_seq, accepted FROM runs") == [("told to stop", seq, seq)]
        (kept,) = rows(records, "SELECT max(seq) FROM verdicts")[0]
        assert rows(records, "SELECT lost_from, lost_to FROM lost_ranges") == [(kept + 1, seq)]
        assert set(audit(records).counts) == {Kind.LOST}


def test_a_station_starts_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        recorder(disk / "records").close("told to stop", 0)
        fill(disk)
        journal = recorder(disk / "records", "cd34")
        assert journal.boot == 2
        enter(journal, verdict(1, epoch="cd34"))
        settle(journal)
        assert any("the disk is full" in alarm for alarm in journal.alarms)
        journal.close("told to stop", 1)


def test_on_a_full_disk_images_stop_with_an_alarm_and_go_on_by_themselves(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        archive = Archive(Keeping(disk, min_free_bytes=0))
        archive.start()
        assert archive.offer(verdict(1, Outcome.REJECT))
        archive.until(Stored, 1)
        (disk / "images" / "2026-01-02" / "ab12" / "00000001-reject.hold").touch()
        filler = fill(disk, leave=16_384)
        assert archive.offer(verdict(2, Outcome.REJECT))
        archive.until(NotStored, 1)
        archive.until(Copied, 2)
        assert any(alarm.startswith("images are not kept: the disk is full") for alarm in archive.archiving.alarms)
        filler.unlink()
        assert archive.offer(verdict(3, Outcome.REJECT))
        archive.until(Stored, 2)
        assert archive.archiving.alarms == ()
        assert sorted(p.name for p in disk.rglob("0*.[pj]*")) == [
            f"0000000{seq}-reject.{kind}" for seq in (1, 3) for kind in ("json", "png")
        ]
        archive.close()


# ------------------------------------------------------------------------------------------------------- a slow disk

ENTERING = """
import sys, time
from pathlib import Path
from support.records import Archive, enter, recorder, settle, verdict
folder, flag = map(Path, sys.argv[1:3])
journal = recorder(folder)
enter(journal, verdict(1))
settle(journal)
flag.touch()
enter(journal, verdict(2))
time.sleep(0.5)  # the first slow fsync has begun
for seq in range(3, 1003):
    enter(journal, verdict(seq))
print(journal.durable_seq, journal.backlog > 1000 - 1, flush=True)
if sys.argv[3] == "close":
    journal.close("told to stop", 1002, patience_s=0.2)
    print("closed", journal.durable_seq, flush=True)
else:
    flag.unlink()
    settle(journal)
    print(journal.durable_seq, journal.lost, flush=True)
    journal.close("told to stop", 1002, patience_s=30)
"""


def test_while_fsync_takes_two_seconds_verdicts_are_entered_and_none_is_lost(
    tmp_path: Path, slow_fsync: dict[str, str]
) -> None:
    station = python(ENTERING, tmp_path / "records", tmp_path / "slow", "wait", **slow_fsync)
    out, _ = station.communicate(timeout=120)
    assert out.splitlines() == ["1 True", "1002 0"], "a thousand were entered during one fsync"
    assert audit(tmp_path / "records").is_sound


def test_a_disk_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path, slow_fsync: dict[str, str]) -> None:
    station = python(ENTERING, tmp_path / "records", tmp_path / "slow", "close", **slow_fsync)
    out, _ = station.communicate(timeout=120)
    assert out.splitlines() == ["1 True", "closed 1"], "it left while the first fsync was under way"
    journal = recorder(tmp_path / "records", "cd34")
    journal.close("told to stop", 0)
    ((epoch, lost_to, accepted),) = rows(tmp_path / "records", "SELECT epoch, lost_to, accepted FROM lost_ranges")
    assert (epoch, lost_to) == ("ab12", None)
    assert accepted >= 1


# ------------------------------------------------------------------------------------------------- a dead archive


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_dead_archive_gives_its_slots_back_and_is_replaced(tmp_path: Path, sent: signal.Signals) -> None:
    archive = Archive(Keeping(tmp_path, min_free_bytes=0))
    archive.start()
    first = archive.archiving.child._process.pid
    os.kill(first, signal.SIGSTOP)
    assert archive.offer(verdict(1, Outcome.REJECT), 0)
    assert archive.offer(verdict(2, Outcome.REJECT), 1)
    os.kill(first, sent)
    archive.until(NotStored, 2)
    assert archive.heard(Copied) == [Copied(0), Copied(1)]
    assert any(alarm.startswith("images: the archive process") for alarm in archive.archiving.alarms)
    archive.start()
    assert archive.archiving.child._process.pid != first
    assert archive.offer(verdict(3, Outcome.REJECT), 0)
    assert json.loads(payload(verdict(3, Outcome.REJECT)))["seq"] == 3
    archive.until(Stored, 1)
    assert archive.archiving.alarms == ()
    archive.close()


def test_a_slot_that_is_gone_costs_one_image(tmp_path: Path) -> None:
    archive = Archive(Keeping(tmp_path, min_free_bytes=0))
    archive.start()
    one = verdict(1, Outcome.REJECT)
    assert archive.archiving.offer(one, payload(one), 0, "no_such_memory", 120, 160)
    archive.until(NotStored, 1)
    assert archive.heard(Copied) == [Copied(0)]
    assert archive.offer(verdict(2, Outcome.REJECT))
    archive.until(Stored, 1)
    archive.close()
