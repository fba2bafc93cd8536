"""Journals of other versions of this software: no row is lost, and no difference counts as damage."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.records import enter, payload, recorder, rows, settle, spoil, until, verdict
from support.sealed import line_of, seal, sealed_rows, small_blocks

from edge.errors import RecordsError
from edge.records import expiry, journal_upkeep
from edge.records.audit import audit
from edge.records.journal import JOURNAL, open_to_read
from edge.records.journal_upkeep import JournalUpkeep
from edge.records.recorder import Recorder
from edge.records.stored_verdicts import select
from edge.records.tables import ACKNOWLEDGEMENTS, TABLES, VERDICTS, VERSION
from edge.verdict import Outcome

VERSION_1 = """
CREATE TABLE runs (
    epoch TEXT NOT NULL, boot INTEGER NOT NULL, station TEXT NOT NULL, source TEXT NOT NULL, bundle TEXT NOT NULL,
    started TEXT NOT NULL, config TEXT NOT NULL, accepted INTEGER NOT NULL DEFAULT 0,
    ended TEXT, cause TEXT, last_seq INTEGER);
CREATE TABLE verdicts (
    epoch TEXT NOT NULL, seq INTEGER NOT NULL, part TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
    score REAL, threshold REAL, age_ms REAL NOT NULL, time TEXT NOT NULL, backend TEXT, json TEXT NOT NULL);
CREATE INDEX verdicts_by_seq ON verdicts (epoch, seq);
CREATE INDEX verdicts_by_part ON verdicts (part);
CREATE TABLE acknowledgements (
    epoch TEXT NOT NULL, seq INTEGER NOT NULL, fate TEXT NOT NULL, client TEXT NOT NULL, time TEXT NOT NULL);
CREATE INDEX acknowledgements_by_seq ON acknowledgements (epoch, seq);
CREATE TABLE late_results (
    epoch TEXT NOT NULL, seq INTEGER NOT NULL, score REAL, fault TEXT, time TEXT NOT NULL);
CREATE INDEX late_results_by_seq ON late_results (epoch, seq);
CREATE TABLE images (
    epoch TEXT NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    time TEXT NOT NULL, gone TEXT);
CREATE INDEX images_by_seq ON images (epoch, seq);
CREATE INDEX images_by_path ON images (path);
CREATE TABLE events (epoch TEXT, kind TEXT NOT NULL, text TEXT NOT NULL, time TEXT NOT NULL);
CREATE TABLE lost_ranges (
    epoch TEXT, lost_from INTEGER NOT NULL, lost_to INTEGER, accepted INTEGER, why TEXT NOT NULL, time TEXT NOT NULL);
PRAGMA user_version = 1;
"""
"""The tables as created by the first release; must never be changed."""

SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
PARTS = 20


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A record of version 1: a run of twenty parts that ended in order."""
    folder = tmp_path / "records"
    folder.mkdir()
    with closing(sqlite3.connect(folder / JOURNAL)) as journal:
        journal.execute("PRAGMA journal_mode = WAL")
        journal.executescript(VERSION_1)
        run = ("ab12", 1, "line1", "demo", "demo 0123456789ab", "", "{}", PARTS, "", "told to stop", PARTS)
        journal.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", run)
        for seq in range(1, PARTS + 1):
            v = verdict(seq)
            row = (v.epoch, seq, v.part, "good", "clear", 0.1, 0.5, 12.5, v.time, "onnxruntime", payload(v).decode())
            journal.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            journal.execute("INSERT INTO acknowledgements VALUES ('ab12', ?, 'passed', 'gate1', '')", (seq,))
        journal.commit()
    return folder


def later(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` with a later version of this software; in the code the record is called `folder`."""
    before = f"import support.later_tables; from pathlib import Path; folder = Path({str(folder)!r})\n"
    path = os.pathsep.join([str(folder) for folder in Path(__file__).parents[2:4]])
    command, environment = [sys.executable, "-c", before + code], os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def done(said: subprocess.CompletedProcess[str]) -> str:
    assert said.returncode == 0, said.stderr
    return said.stdout


RUN_ON = """
from support.records import enter, recorder, settle, verdict
from edge.records.audit import audit
journal = recorder(folder, "cd34")
enter(journal, verdict(1, epoch="cd34"))
settle(journal)
journal.close("told to stop", 1)
assert journal.alarms == (), journal.alarms
"""

AUDIT = """
from edge.records.audit import audit
found = audit(folder)
print([problem.text for problem in found.problems], [(run.epoch, run.good, run.passed) for run in found.runs])
"""


# ------------------------------------------------------------------------------------------------- today and version 1


def test_a_journal_of_version_1_is_audited_and_written_on_with_every_row_in_its_place(old: Path) -> None:
    before = rows(old, "SELECT * FROM verdicts")
    found = audit(old)
    assert (found.is_sound, [(run.epoch, run.good, run.passed) for run in found.runs]) == (True, [("ab12", 20, 20)])
    journal = recorder(old, "cd34")
    enter(journal, verdict(1, Outcome.REJECT, epoch="cd34"))
    settle(journal)
    journal.close("told to stop", 1)
    assert (journal.boot, journal.alarms) == (2, ())
    assert [row[: len(before[0])] for row in rows(old, "SELECT * FROM verdicts WHERE epoch = 'ab12'")] == before
    found = audit(old)
    assert found.is_sound
    assert [(run.epoch, run.boot, run.good, run.reject) for run in found.runs] == [
        ("ab12", 1, 20, 0),
        ("cd34", 2, 0, 1),
    ]
    assert rows(old, "PRAGMA user_version") == [(VERSION,)]


def test_the_rows_of_version_1_are_sealed_and_the_file_becomes_small_at_the_next_start(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(old / JOURNAL)) as journal:
        for seq in range(PARTS + 1, 3000):
            v = verdict(seq)
            row = (v.epoch, seq, v.part, "good", "clear", 0.1, 0.5, 12.5, v.time, "onnxruntime", payload(v).decode())
            journal.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        journal.execute("UPDATE runs SET accepted = 2999, last_seq = 2999")
        journal.commit()
    monkeypatch.setattr(expiry, "FREE_PAGES", 64)
    monkeypatch.setattr(journal_upkeep, "IDLE_S", 0.05)
    monkeypatch.setattr(journal_upkeep, "PAUSE_S", 0.01)
    monkeypatch.setattr(JournalUpkeep.__init__, "__defaults__", (100,))
    with closing(open_to_read(old)) as journal:
        before = [*select(journal)]
    for epoch in ("cd34", "ef56"):
        station = recorder(old, epoch)
        settle(station)
        until(lambda: sealed_rows(old)[0] >= 2750)
        assert station.alarms == ()
        station.close("told to stop", 0)
    assert rows(old, "PRAGMA auto_vacuum") == [(2,)]
    assert rows(old, "PRAGMA freelist_count")[0][0] < 512
    with closing(open_to_read(old)) as journal:
        assert [*select(journal)] == before
    assert audit(old).is_sound
    numbers = rows(old, "SELECT rowid, seq FROM verdicts")
    assert all(row == seq for row, seq in numbers)


def test_a_journal_of_version_4_is_read_and_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    line_of(tmp_path, [Outcome.GOOD] * 9, "ab12")
    assert seal(tmp_path) > 0
    later_ones = (
        "DROP INDEX verdict_blocks_by_time",
        "DROP TABLE expired_images",
        "DROP TABLE shadow_results",
        "ALTER TABLE verdicts DROP COLUMN kind",
        "PRAGMA user_version = 4",
    )
    spoil(tmp_path, *later_ones)
    found = audit(tmp_path)
    assert (found.is_sound, found.images_gone, [run.good for run in found.runs]) == (True, 0, [9])
    journal = recorder(tmp_path, "cd34")
    settle(journal)
    journal.close("told to stop", 0)
    assert (journal.boot, journal.alarms) == (2, ())
    assert rows(tmp_path, "PRAGMA user_version") == [(VERSION,)]
    assert rows(tmp_path, "SELECT count(*) FROM expired_images") == [(0,)]
    assert [run.good for run in audit(tmp_path).runs] == [9, 0]


def test_a_new_journal_and_one_that_was_migrated_have_the_same_tables(old: Path, tmp_path: Path) -> None:
    """The definitions are equal as text, because readers, also those of earlier releases, compare the text."""
    for folder in (tmp_path / "new", old):
        recorder(folder).close("told to stop", 0)
    new, migrated = (
        [(*known, " ".join(str(sql).split())) for *known, sql in rows(f, SCHEMA)] for f in (tmp_path / "new", old)
    )
    assert new == migrated


def test_tables_without_a_version_are_those_of_the_first(old: Path) -> None:
    spoil(old, "PRAGMA user_version = 0")
    assert audit(old).is_sound
    journal = recorder(old, "cd34")
    settle(journal)
    journal.close("told to stop", 0)
    assert journal.alarms == ()
    assert len(audit(old).runs) == 2


def test_a_file_of_a_version_and_without_tables_becomes_a_journal(tmp_path: Path) -> None:
    spoil(tmp_path, f"PRAGMA user_version = {VERSION}", "CREATE TABLE a (b)", "DROP TABLE a")
    journal = recorder(tmp_path)
    settle(journal)
    journal.close("told to stop", 0)
    assert journal.alarms == ()
    assert audit(tmp_path).is_sound


def test_a_column_that_came_later_may_be_null_and_stands_last() -> None:
    """SQLite can add only such a column to a table with rows."""
    for table in TABLES:
        versions = [column.since for column in table.columns]
        assert versions == sorted(versions)
        assert not [
            c for c in table.columns if c.since > versions[0] and "NOT NULL" in c.kind and "DEFAULT" not in c.kind
        ]


def test_an_entry_has_a_value_for_each_of_its_columns() -> None:
    statement, values = VERDICTS.entry(verdict(7), json="{}")
    of_verdict = ("ab12", 7, "part-7", "good", "clear", 0.1, 0.5, 12.5, verdict(7).time, "onnxruntime")
    assert values == (*of_verdict, "{}", None, None)
    assert statement.count("?") == len(values)
    assert ACKNOWLEDGEMENTS.entry(client="gate1", seq=3)[1] == (None, 3, None, "gate1", None)


# --------------------------------------------------------------------------------------------------- a later version


def test_a_later_version_migrates_the_journal_at_the_start_and_writes_its_columns(old: Path) -> None:
    done(later(RUN_ON, old))
    assert rows(old, "PRAGMA user_version") == [(VERSION + 2,)]
    assert rows(old, "SELECT epoch, count(*), bundle FROM verdicts GROUP BY epoch") == [
        ("ab12", PARTS, None),
        ("cd34", 1, "demo 0123456789ab"),
    ]
    assert done(later(AUDIT, old)) == "[] [('ab12', 20, 20), ('cd34', 1, 0)]\n"


def test_the_audit_compares_a_column_that_came_later_with_what_was_published(old: Path) -> None:
    done(later(RUN_ON, old))
    spoil(old, "UPDATE verdicts SET bundle = 'another' WHERE epoch = 'cd34'")
    assert "verdict 1 differs between its columns and its JSON" in done(later(AUDIT, old))


def test_a_later_version_makes_the_same_tables_as_it_migrates(old: Path, tmp_path: Path) -> None:
    for folder in (old, tmp_path / "new"):
        done(later(RUN_ON, folder))
    new, migrated = (
        [(*known, " ".join(str(sql).split())) for *known, sql in rows(f, SCHEMA)] for f in (tmp_path / "new", old)
    )
    assert new == migrated


def test_a_later_version_audits_an_older_journal_and_leaves_it_as_it_is(old: Path) -> None:
    before = (old / JOURNAL).read_bytes()
    assert done(later(AUDIT, old)) == "[] [('ab12', 20, 20)]\n"
    assert (old / JOURNAL).read_bytes() == before


def test_an_older_journal_with_a_table_of_a_strangers_is_refused(old: Path) -> None:
    spoil(old, "ALTER TABLE verdicts ADD COLUMN bundle TEXT")
    assert "its table verdicts is not that of a station" in done(later(AUDIT, old))


@pytest.fixture
def read_only(old: Path) -> Iterator[Path]:
    """The record in a folder that every user may read and none may write."""
    folder = Path(tempfile.mkdtemp(prefix="edge-read-only-"))
    shutil.copy(old / JOURNAL, folder / JOURNAL)
    (folder / JOURNAL).chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_older_journal_that_may_not_be_written_is_audited_as_it_is(read_only: Path) -> None:
    as_nobody = AUDIT.replace("\nfound", "\nimport os; os.setuid(65534); assert not os.access(folder, os.W_OK)\nfound")
    assert done(later(as_nobody, read_only)) == "[] [('ab12', 20, 20)]\n"
    assert sorted(path.name for path in read_only.iterdir()) == [JOURNAL]


KILLED = """
import os, shutil, signal, sqlite3, sys
from contextlib import closing
from edge.records import journal
from edge.records.tables import VERSION

connect, seen = sqlite3.connect, 0

def traced(*arguments, **options):
    connection = connect(*arguments, **options)
    if str(folder) in str(arguments[0]):
        connection.set_trace_callback(count)
    return connection

def count(statement):
    global seen
    seen += 1
    if seen == last:
        print(statement, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

def state(of):
    with closing(connect(of / "journal.db")) as read:
        kept = read.execute("SELECT seq, json FROM verdicts ORDER BY rowid").fetchall()
        columns = [name for _, name, *_ in read.execute("PRAGMA table_info(verdicts)")]
        late = [name for _, name, *_ in read.execute("PRAGMA table_info(late_results)")]
        return kept, read.execute("PRAGMA user_version").fetchone()[0], "bundle" in columns, "found" in late

original, statements = folder, 0
rows, *_ = state(original)
for last in range(1, 1000):
    folder = original.with_name(f"killed-{last}")
    shutil.copytree(original, folder)
    if (child := os.fork()) == 0:
        sqlite3.connect = traced
        journal.open_to_write(folder)[0].close()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    with closing(journal.open_to_read(folder)) as read:  # what was killed can be audited before the next start
        assert len(read.execute("SELECT * FROM verdicts").fetchall()) == len(rows)
    assert state(folder) in [(rows, 1, False, False), (rows, VERSION, True, True)], last
    connection, aside = journal.open_to_write(folder)
    connection.close()
    assert (aside, state(folder)) == (None, (rows, VERSION, True, True)), last
    if code == 0:
        break
print("all", last - 1)
"""


def test_a_migration_that_is_killed_at_any_statement_loses_nothing_and_is_done_at_the_next_start(old: Path) -> None:
    *killed, said = done(later(KILLED, old)).splitlines()
    assert said == f"all {len(killed)}"
    at = killed.index("BEGIN IMMEDIATE")
    assert [line for line in killed[at:] if line.startswith(("ALTER", "PRAGMA user_version =", "COMMIT"))] == [
        "ALTER TABLE verdicts ADD COLUMN fields TEXT",
        "ALTER TABLE verdicts ADD COLUMN kind TEXT",
        "ALTER TABLE verdicts ADD COLUMN bundle TEXT",
        "ALTER TABLE events ADD COLUMN remedy TEXT",
        "ALTER TABLE late_results ADD COLUMN found TEXT",
        f"PRAGMA user_version = {VERSION + 2}",
        "COMMIT",
    ]


def test_a_journal_of_a_later_version_is_refused_in_one_line_that_names_the_remedy_and_left_alone(old: Path) -> None:
    done(later(RUN_ON, old))
    before = (old / JOURNAL).read_bytes()
    with pytest.raises(RecordsError, match="is of a later version of this software; read it with that one") as refused:
        Recorder(old, "line1")
    audited = subprocess.run([sys.executable, "-m", "edge.cli.audit", str(old)], capture_output=True, text=True)
    assert (audited.returncode, audited.stdout) == (2, "")
    assert audited.stderr.count("\n") == 1
    assert str(refused.value) in audited.stderr
    assert (old / JOURNAL).read_bytes() == before
    assert list(old.glob("journal-damaged-*")) == []
