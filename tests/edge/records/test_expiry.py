"""Verdicts expire by whole blocks: counts by hour stay for ever, held parts stay in full, and audits remain sound."""

import contextlib
import json
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.line import ran
from support.records import enter, recorder, rows, settle, spoil, until, verdict, with_image
from support.reviewed import image
from support.sealed import BEGUN, G, R, U, carry_out, expire, line_of, seal, sealed_rows, small_blocks
from test_sealing import OUTCOMES, forwarded, killed

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.records import expiry, journal_upkeep, part_history, summary
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.disk_reserve import Reserve
from edge.records.expiry import Expiry, JournalKeeping, is_too_old, next_expiry, next_release, next_tidying
from edge.records.journal import JOURNAL, open_to_read, open_to_write
from edge.records.journal_upkeep import JournalUpkeep
from edge.records.journal_writer import Upkeep, Writer
from edge.records.part_history import hold, last_stories, stories
from edge.records.record_copy import CopiedImages
from edge.records.retention import HOLD
from edge.records.sealing import Statement
from edge.records.stored_verdicts import (
    acknowledgements_of,
    expired_seq,
    last_row,
    last_seq,
    late_fields_of,
    one_state,
    select,
)
from edge.records.summary import counts, extent, total

EVERYTHING = (BEGUN - timedelta(days=1), BEGUN + timedelta(days=1))


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of 23 verdicts: 5 blocks of 4, and 3 rows."""
    small_blocks(monkeypatch)
    line_of(tmp_path / "records", OUTCOMES)
    seal(tmp_path / "records")
    return tmp_path / "records"


def numbers(folder: Path) -> list[int]:
    with closing(open_to_read(folder)) as journal:
        return [one.seq for one in select(journal)]


def test_what_expired_stays_as_counts_and_the_ledger_adds_up(records: Path) -> None:
    with closing(open_to_read(records)) as journal:
        before = counts(journal, *EVERYTHING, "hour"), total(journal)
    (run,) = audit(records).runs
    assert expire(records, 3) == 3
    assert numbers(records) == [*range(13, 24)]
    assert rows(records, "SELECT hour, epoch, reason, verdicts, passed FROM expired_hours ORDER BY reason") == [
        ("2026-01-02T03", "ab12", "clear", 8, 8),
        ("2026-01-02T03", "ab12", "defect", 2, 0),
        ("2026-01-02T03", "ab12", "late", 2, 0),
    ]
    found = audit(records)
    assert found.problems == []
    (after,) = found.runs
    assert after.expired == 12
    figures = ("accepted", "good", "reject", "unknown", "lost", "passed")
    assert [getattr(after, name) for name in figures] == [getattr(run, name) for name in figures]
    with closing(open_to_read(records)) as journal:
        assert (counts(journal, *EVERYTHING, "hour"), total(journal)) == before
        assert (last_row(journal), last_seq(journal, "ab12"), expired_seq(journal, "ab12")) == (23, 23, 12)
        known = extent(journal)
        assert (known.verdicts, known.expired) == (11, 12)
        assert known.expired_until is not None
        assert known.first is not None
        assert known.expired_until < known.first
    done = ran("audit", records)
    assert done.returncode == 0
    assert "retention: 12 verdicts published until 2026-01-02T03:10:05.000+00:00 are no longer kept" in done.stdout


def test_a_run_that_expired_as_a_whole_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    line_of(tmp_path, [G, R, G, G], "ab12")
    line_of(tmp_path, [G] * 6, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    assert expire(tmp_path, 1) == 1
    found = audit(tmp_path)
    assert found.problems == []
    figures = [(run.epoch, run.good, run.reject, run.expired) for run in found.runs]
    assert figures == [("ab12", 3, 1, 4), ("cd34", 6, 0, 0)]


def test_a_part_on_hold_never_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    stored = with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    spoil(tmp_path, "INSERT INTO acknowledgements VALUES ('ab12', 1, 'rejected', 'gate1', '')",
          "INSERT INTO late_fields VALUES ('ab12', 1, 'serial', 'SN-1', '')")  # fmt: skip
    hold(tmp_path, "código 7", True)
    before = stories(tmp_path, "código 7")[0].as_json()
    seal(tmp_path)
    spoil(tmp_path, "INSERT INTO late_fields VALUES ('ab12', 1, 'colour', 'red', '')")
    assert expire(tmp_path, 2) == 2
    with closing(open_to_read(tmp_path)) as journal:
        assert [one[:3] for one in select(journal)] == [(1, "ab12", 1), (6, "cd34", 5)]
        assert [row["name"] for row in late_fields_of(journal, "ab12", 1)] == ["colour", "serial"]
        assert [row["fate"] for row in acknowledgements_of(journal, "ab12", 1)] == ["rejected"]
    after = stories(tmp_path, "código 7")[0].as_json()
    del before["late_fields"], after["late_fields"]
    assert after == before
    found = audit(tmp_path)
    assert found.problems == []
    assert [(run.reject, run.good, run.expired) for run in found.runs] == [(1, 0, 0), (0, 5, 4)]
    assert (tmp_path / stored.path).with_suffix(HOLD).exists()


def test_a_part_that_is_held_after_its_expiry_was_prepared_does_not_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    with closing(open_to_read(tmp_path)) as journal:
        prepared = next_expiry(journal, tmp_path, JournalKeeping(max_bytes=0))
    assert prepared.is_valid()
    assert len(hold(tmp_path, "código 7", True)) == 1
    upkeep = Upkeep(prepared.statements, None, prepared.is_valid)
    with closing(open_to_write(tmp_path)[0]) as writing:
        upkeep.carry_out(writing)
    assert (upkeep.is_over.is_set(), upkeep.trouble) == (True, None)
    assert stories(tmp_path, "código 7")[0].images[0]["held"]


def test_a_hold_that_came_too_late_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    place = part_history.open_private

    def expiring(*arguments: Any) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(expiry, "is_held", lambda folder, path: False)  # as if the station had looked before
            expire(tmp_path, 1)
        return place(*arguments)

    monkeypatch.setattr(part_history, "open_private", expiring)
    with pytest.raises(RecordsError, match="expired at this moment: of verdicts published until 20"):
        hold(tmp_path, "código 7", True)


def test_a_hold_waits_for_the_end_of_the_transaction_that_did_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station looks for holds, and the end of its transaction takes longer than that of the hold."""
    small_blocks(monkeypatch)
    stored = with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    monkeypatch.setattr(part_history, "is_taken", lambda folder: True)
    with closing(open_to_read(tmp_path)) as journal:
        prepared = next_expiry(journal, tmp_path, JournalKeeping(max_bytes=1))
    looked = threading.Event()

    def is_valid() -> bool:
        found = prepared.is_valid()
        looked.set()
        until(lambda: (tmp_path / stored.path).with_suffix(HOLD).exists())
        time.sleep(1.0)  # a slow disk
        return found

    upkeep = Upkeep(prepared.statements, None, is_valid)

    def station() -> None:
        with closing(open_to_write(tmp_path)[0]) as writing:
            upkeep.carry_out(writing)

    thread = threading.Thread(target=station)
    thread.start()
    assert looked.wait(60)
    try:
        with pytest.raises(RecordsError, match="expired at this moment: of verdicts published until 20"):
            hold(tmp_path, "código 7", True)
    finally:
        thread.join()
    assert upkeep.trouble is None


def test_holds_are_looked_for_once_in_each_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "images" / day / "ab12" for day in ("2026-01-01", "2026-01-02")]
    for folder in folders:
        folder.mkdir(parents=True)
    paths = [f"{folder.relative_to(tmp_path)}/{seq:08}-reject.png" for folder in folders for seq in range(1, 126)]
    prepared = Expiry(free=tuple((tmp_path, path) for path in [*paths, "images/2026-01-03/ab12/00000001-reject.png"]))
    calls, scandir = list[str](), os.scandir
    lists: list[Any] = [lambda path: calls.append(str(path)) or scandir(path)]
    monkeypatch.setattr(expiry.os, "scandir", lambda path: lists[0](path))
    assert prepared.is_valid()
    assert sorted(calls)[:2] == [str(folder) for folder in folders]
    assert len(calls) == 3
    (tmp_path / paths[200]).with_suffix(HOLD).touch()
    assert not prepared.is_valid()
    (tmp_path / paths[200]).with_suffix(HOLD).unlink()

    def failing(path: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    lists[0] = failing
    assert not prepared.is_valid()


def test_whatever_fails_no_transaction_of_upkeep_stays_open(tmp_path: Path) -> None:
    def is_valid() -> bool:
        raise OSError(5, "Input/output error")

    line_of(tmp_path, [G] * 5, "cd34")
    upkeep = Upkeep([Statement("DELETE FROM verdicts")], None, is_valid)
    with closing(open_to_write(tmp_path)[0]) as writing:
        upkeep.carry_out(writing)
        assert not writing.in_transaction
        assert writing.execute("SELECT count(*) FROM verdicts").fetchone() == (5,)
    assert upkeep.is_over.is_set()
    assert "Input/output error" in str(upkeep.trouble)


def test_the_age_of_the_journal_is_that_of_its_first_block_without_reading_the_others(tmp_path: Path) -> None:
    line_of(tmp_path, [G] * 5, "cd34")
    block = "('ab12', 1, 1, '{0}', '{0}', '', '', '', x'', x'', x'', x'')"
    some = ", ".join(block.format(f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}") for n in range(5000))
    names = "epoch, first_seq, verdicts, first_time, last_time, counts, scores, ages, parts, fields, sha256, payload"
    spoil(tmp_path, f"INSERT INTO verdict_blocks ({names}) VALUES {some}")
    groups = []
    with closing(open_to_write(tmp_path)[0]) as journal:
        journal.set_progress_handler(lambda: groups.append(1), 100)
        assert is_too_old(journal, JournalKeeping(max_age_days=-0.5))
    assert len(groups) < 20


def test_a_part_that_expired_is_told_of_as_far_as_its_picture_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    stored = with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    expire(tmp_path, 2)
    told = ran("audit", tmp_path, "--part", "código 7")
    assert (told.returncode, told.stderr) == (0, "")
    assert "the verdict has expired" in told.stdout
    assert stored.path in told.stdout
    assert "not acknowledged" not in told.stdout
    assert ran("audit", tmp_path, "--hold", "código 7").returncode == 0
    assert (tmp_path / stored.path).with_suffix(HOLD).exists()
    assert ran("audit", tmp_path, "--release", "código 7").returncode == 0
    for arguments in (("--part", "part-2"), ("--missed", "part-2", "--by", "Ana")):
        done = ran("audit", tmp_path, *arguments)
        assert (done.returncode, "of verdicts published until 2026-01-02T" in done.stderr) == (2, True)


def test_holds_are_looked_for_outside_of_a_transaction(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(records, "INSERT INTO images VALUES ('ab12', 1, 'images/x', '', 1, '', NULL)")
    with closing(open_to_read(records)) as journal:
        within: list[bool] = []
        monkeypatch.setattr(expiry, "is_held", lambda folder, path: within.append(journal.in_transaction))
        assert next_expiry(journal, records, JournalKeeping(max_bytes=0)).statements
    assert within == [False]


def test_images_whose_rows_were_tidied_away_still_count_as_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a running station lacks an image that was removed while it was made."""
    monkeypatch.setattr(expiry, "TIDIED_AT_ONCE", 2)
    name = "images/2026-01-02/{}/{:08}-good.png"
    small_blocks(monkeypatch)
    line_of(tmp_path / "here", [G] * 8, "ab12")
    line_of(tmp_path / "here", [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    spoil(tmp_path / "here", *(
        f"INSERT INTO images VALUES ('ab12', {seq}, '{name.format('ab12', seq)}', '', 1, '', 'full, 2026')"
        for seq in range(1, 8)
    ), "UPDATE runs SET ended = NULL, cause = NULL, last_seq = NULL WHERE epoch = 'cd34'")  # fmt: skip
    for seq in (4, 5):
        stored = name.format("cd34", seq)
        spoil(tmp_path / "here", f"INSERT INTO images VALUES ('cd34', {seq}, '{stored}', '', 1, '', NULL)")
    seal(tmp_path / "here")
    expire(tmp_path / "here", 2)
    while True:
        with closing(open_to_read(tmp_path / "here")) as journal:
            tidying = next_tidying(journal)
        if not tidying:
            break
        carry_out(tmp_path / "here", tidying)
    assert rows(tmp_path / "here", "SELECT count(*) FROM images WHERE gone IS NOT NULL") == [(0,)]
    assert rows(tmp_path / "here", "SELECT outcome, images FROM expired_images") == [("good", 7)]
    assert audit(tmp_path / "here").images_gone == 7
    last = tmp_path / "here" / name.format("cd34", 5)
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    last.with_suffix(".json").write_bytes(b"{}")
    early = tmp_path / "here" / name.format("ab12", 7)  # removed after it was copied, and before the journal was
    early.parent.mkdir(parents=True)
    early.write_bytes(b"")
    with closing(open_to_read(tmp_path / "here")) as journal:
        copied = CopiedImages(journal, tmp_path / "here", "cd34")
        assert copied.may_lack("cd34", 4, name.format("cd34", 4), 8)
        assert copied.may_have(name.format("ab12", 7))
        assert copied.counts == {"removed to make room meanwhile": 2}
    for seq in (1, 2, 3):
        image(tmp_path / "here", verdict(seq, G, "ab12"), np.zeros((8, 8, 3), np.uint8))
    day = Path(name.format("ab12", 1)).parent
    (written,) = {path.parent for path in (tmp_path / "here" / "images").glob("*/ab12/00000001-good.png")}
    names = {seq: f"{written.relative_to(tmp_path / 'here')}/{seq:08}-good" for seq in (1, 2, 3)}
    (tmp_path / "here" / f"{names[1]}.png").write_bytes(b"another image")
    (tmp_path / "here" / f"{names[3]}.png").unlink()
    (tmp_path / "here" / f"{day}/00000006-good.png").write_bytes(b"")
    with closing(open_to_read(tmp_path / "here")) as journal:
        copied = CopiedImages(journal, tmp_path / "here", "cd34")
        assert [copied.may_have(f"{names[seq]}{suffix}") for seq in (1, 2) for suffix in (".json", ".png")] == [
            False, False, True, True,
        ]  # fmt: skip
        assert copied.may_have(f"{names[3]}.json"), "the image was removed before its sidecar was copied"
        assert copied.may_have(name.format("ab12", 7))
        assert not copied.may_have(f"{day}/00000006-good.png"), "only one can have been removed while it was copied"


def test_an_image_that_is_kept_longer_than_its_verdict_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    with_image(tmp_path)
    line_of(tmp_path, [G] * 5, "cd34", begun=BEGUN + timedelta(hours=2))
    seal(tmp_path)
    assert expire(tmp_path, 1) == 1
    found = audit(tmp_path)
    assert (found.problems, found.images) == ([], 1)
    spoil(tmp_path, "UPDATE images SET gone = 'to make room'")
    with closing(open_to_read(tmp_path)) as journal:
        tidying = next_tidying(journal)
    carry_out(tmp_path, tidying)
    assert rows(tmp_path, "SELECT * FROM images") == []


def test_a_pass_that_nothing_allowed_is_told_of_when_only_counts_are_left(records: Path) -> None:
    spoil(records, "INSERT INTO acknowledgements VALUES ('ab12', 3, 'passed', 'gate1', '')")
    expire(records, 2)
    found = audit(records)
    assert dict(found.counts) == {Kind.ESCAPE: 1}
    assert "1 part with the verdict reject/defect passed in the hour 2026-01-02T03" in found.problems[0].text


def test_a_damaged_block_is_a_finding_and_expires_as_its_columns_count_it(records: Path) -> None:
    spoil(records, "UPDATE verdict_blocks SET payload = x'00' WHERE first_seq = 1",
          "INSERT INTO acknowledgements VALUES ('ab12', 9, 'passed', 'gate2', '')",
          "INSERT INTO acknowledgements VALUES ('ab12', 2, 'passed', 'gate2', '')")  # fmt: skip
    wrong = next(seq for seq, outcome in enumerate(OUTCOMES, 1) if outcome is R and seq > 8)
    spoil(records, f"INSERT INTO acknowledgements VALUES ('ab12', {wrong}, 'passed', 'gate2', '')")
    found = audit(records)
    assert any("verdicts 1 to 4 was changed" in one.text for one in found.problems)
    assert any(one.kind is Kind.ESCAPE and one.seq == wrong for one in found.problems)
    assert any(one.kind is Kind.UNPROVEN and one.seq == 2 for one in found.problems)
    assert [(run.lost, run.good + run.reject + run.unknown) for run in found.runs] == [(4, 19)]
    assert expire(records, 2) == 2
    assert sum(count for (count,) in rows(records, "SELECT verdicts FROM expired_hours")) == 8
    (text,) = next(iter(rows(records, "SELECT text FROM events WHERE text LIKE '%damaged%'")))
    assert "verdicts 1 to 4 expired damaged" in text
    assert audit(records).runs[0].lost == 0


def test_upkeep_for_a_journal_that_was_opened_again_is_dropped(records: Path) -> None:
    writer = Writer(records, Reserve(records))
    tending = JournalUpkeep(records, writer, JournalKeeping())
    with closing(writer._open()) as journal:
        tending._next()
        tending._after, stale = 99, Upkeep((Statement("DELETE FROM verdicts"),), writer.openings)
        writer.openings += 1  # as the writer does when it opens the journal that replaces a removed one
        tending._next()
        assert tending._after < 99
        writer._tend(journal, stale)
    assert stale.is_over.is_set()
    assert stale.trouble == "the journal was opened again"
    assert len(numbers(records)) == 23


def test_a_verdict_that_was_missing_without_a_reason_is_missed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    line_of(tmp_path, OUTCOMES)
    spoil(tmp_path, "DELETE FROM verdicts WHERE seq = 6", "DELETE FROM acknowledgements WHERE seq = 6")
    seal(tmp_path)
    assert expire(tmp_path, 3) == 3
    found = audit(tmp_path)
    assert dict(found.counts) == {Kind.SEQUENCE: 1}
    assert found.runs[0].lost == 1
    spoil(tmp_path, "INSERT INTO lost_ranges VALUES ('ab12', 6, 6, 6, 'slow', '')")
    found = audit(tmp_path)
    assert dict(found.counts) == {Kind.LOST: 1}


FORGED = {
    "fewer counts": ("UPDATE expired_hours SET verdicts = 7 WHERE reason = 'clear'", Kind.SEQUENCE),
    "more counts": ("UPDATE expired_hours SET verdicts = 9 WHERE reason = 'clear'", Kind.SEQUENCE),
    "no counts": ("DELETE FROM expired_hours", Kind.SEQUENCE),
    "no note": ("DELETE FROM expired_runs", Kind.SEQUENCE),
    "another reason": ("UPDATE expired_hours SET reason = 'bored' WHERE reason = 'late'", Kind.JOURNAL),
    "one block more": ("DELETE FROM verdict_blocks WHERE first_seq = 13", Kind.SEQUENCE),
    "a later note": ("UPDATE expired_runs SET last_seq = 24", Kind.SEQUENCE),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_did_not_expire_by_the_stations_hand_is_noticed(records: Path, what: str) -> None:
    expire(records, 3)
    statement, kind = FORGED[what]
    spoil(records, statement)
    assert kind in audit(records).counts


def test_more_passes_than_expired_goods_are_escapes(records: Path) -> None:
    """Of 12 expired verdicts 8 were good."""
    expire(records, 3)
    log = records / "gate.log"
    for numbered, escapes in ((range(1, 9), 0), (range(1, 13), 4), ([0], 1), ([1, 1], 1)):
        lines = [
            {"epoch": "ab12", "seq": seq, "part": f"part-{seq}", "decision": "pass", "fate": "passed"}
            for seq in numbered
        ]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert audit(records, log).counts.get(Kind.ESCAPE, 0) == escapes
    spoil(records, "DELETE FROM expired_hours WHERE reason = 'clear'")
    log.write_text('{"epoch": "ab12", "seq": 1, "part": "part-1", "decision": "pass", "fate": "passed"}\n')
    assert audit(records, log).counts[Kind.ESCAPE] == 1


def test_passes_in_a_gates_log_are_expired_with_their_verdicts(records: Path) -> None:
    log = records.parent / "gate.jsonl"
    said = {G: ("clear", "pass", Fate.PASSED), R: ("defect", "reject", Fate.REJECTED)}
    lines = []
    for seq, outcome in enumerate(OUTCOMES, 1):
        if outcome is not U:
            line = dict(zip(("why", "decision", "fate"), said[outcome], strict=True))
            lines.append(json.dumps({"epoch": "ab12", "seq": seq, "part": f"part-{seq}"} | line))
    log.write_text("\n".join(lines) + "\n")
    expire(records, 3)
    found = audit(records, log)
    assert found.gate is not None
    assert found.gate.passes == {"expired": 8, "proven": 8}
    assert not found.counts[Kind.ESCAPE]


def test_an_expired_part_is_unknown_and_the_last_of_a_kind_are_those_that_are_left(records: Path) -> None:
    expire(records, 3)
    done = ran("audit", records, "--part", "part-3")
    assert (done.returncode, "knows no part 'part-3'" in done.stderr) == (2, True)
    assert [story.verdict.seq for story in last_stories(records, R, 10)] == [16, 17, 23]


def test_a_cursor_before_what_expired_goes_on_with_what_is_left(records: Path, tmp_path: Path) -> None:
    everything = forwarded(records, tmp_path / "one")
    expire(records, 3)
    assert forwarded(records, tmp_path / "two", list[str]().append) == everything[12:]


def test_the_number_of_verdicts_that_expired_before_they_were_sent_is_said_once(records: Path, tmp_path: Path) -> None:
    said: list[str] = []
    expire(records, 2)
    spoil(records, "INSERT INTO verdicts (rowid, epoch, seq, part, verdict, reason, age_ms, time, json) "
          "VALUES (3, 'ab12', 3, 'part-3', 'good', 'clear', 1.0, '', '{}')")  # fmt: skip  # as if it were held
    sent = forwarded(records, tmp_path / "one", said.append)
    assert [text for text, _ in sent[:1]] == ["{}"]
    assert said == [f"{records}: 7 verdicts expired before they were sent"]
    assert len(sent) == 1 + 15 + 1


def test_a_copy_of_a_partly_expired_record_is_sound(records: Path, tmp_path: Path) -> None:
    expire(records, 2)
    shutil.copytree(records, tmp_path / "copy")
    found = audit(tmp_path / "copy")
    assert (found.is_copy, found.problems) == (True, [])


def test_a_station_that_is_killed_while_verdicts_expire_counts_each_once(records: Path, tmp_path: Path) -> None:
    with closing(open_to_read(records)) as journal, one_state(journal):
        statements = next_expiry(journal, records, JournalKeeping(max_bytes=0)).statements
        before = total(journal)
    for last in range(1, 60):
        copy = tmp_path / f"killed-{last}"
        shutil.copytree(records, copy)
        was_killed = killed(copy, statements, last)
        with closing(open_to_read(copy)) as journal:
            assert total(journal) == before
        assert audit(copy, with_images=False).problems == []
        if not was_killed:
            break
    assert last > len(statements)
    assert len(numbers(copy)) == 19


def test_verdicts_expire_by_age_and_by_room_and_not_before(records: Path) -> None:
    def is_due(keeping: JournalKeeping) -> bool:
        with closing(open_to_read(records)) as journal, one_state(journal):
            return bool(next_expiry(journal, records, keeping).statements)

    assert not is_due(JournalKeeping())
    assert is_due(JournalKeeping(max_age_days=3.0))
    assert not is_due(JournalKeeping(max_age_days=1e9))
    assert is_due(JournalKeeping(max_bytes=10_000))
    assert not is_due(JournalKeeping(max_bytes=10**6))


def test_a_clock_that_was_wrong_for_a_time_neither_ends_nor_hastens_the_retention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    unset = datetime(1970, 1, 1, tzinfo=UTC)
    for number, begun in enumerate((unset, datetime(9000, 1, 1, tzinfo=UTC), datetime.now(UTC))):
        line_of(tmp_path, [G] * 5, f"ab1{number}", begun=begun)
    seal(tmp_path)
    with closing(open_to_read(tmp_path)) as journal:
        assert not is_too_old(journal, JournalKeeping(max_age_days=3.0))
        assert is_too_old(journal, JournalKeeping(max_age_days=-0.5))  # that of the last run, so the first one may go


def test_blocks_of_a_span_of_time_are_found_by_an_index(records: Path) -> None:
    with closing(open_to_read(records)) as journal:
        said: list[str] = []
        plain = summary._rows
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(summary, "_rows", lambda opened, sql, values=(): (
                said.extend(row[3] for row in opened.execute(f"EXPLAIN QUERY PLAN {sql}", values)),
                plain(opened, sql, values),
            )[1])  # fmt: skip
            assert counts(journal, *EVERYTHING)
    assert any("verdict_blocks_by_time" in plan for plan in said)


def test_a_station_lets_verdicts_expire_and_gives_the_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FREE_PAGES", 4), ("PAGES_AT_ONCE", 8)):
        monkeypatch.setattr(expiry, name, value)
    for name, value in (("IDLE_S", 0.05), ("PAUSE_S", 0.01)):
        monkeypatch.setattr(journal_upkeep, name, value)
    monkeypatch.setattr(JournalUpkeep.__init__, "__defaults__", (5,))
    small_blocks(monkeypatch, 50)
    line_of(tmp_path, [G, G, G, R] * 200)
    ((pages,),) = rows(tmp_path, "PRAGMA page_count")
    journal = recorder(tmp_path, "cd34", keeping=JournalKeeping(max_age_days=1.0))
    enter(journal, *(verdict(seq, epoch="cd34") for seq in range(1, 11)))
    settle(journal)
    until(lambda: rows(tmp_path, "SELECT coalesce(sum(verdicts), 0) FROM expired_hours") >= [(800,)])

    def free() -> int:
        with closing(sqlite3.connect(tmp_path / JOURNAL)) as opened:
            return int(opened.execute("PRAGMA freelist_count").fetchone()[0])

    until(lambda: free() < 12)
    assert journal.alarms == ()
    journal.close("told to stop", 10)
    assert rows(tmp_path, "PRAGMA page_count")[0][0] < pages / 2
    assert audit(tmp_path).problems == []


def test_an_older_file_that_cannot_shrink_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / JOURNAL)) as journal:
        journal.execute("CREATE TABLE a (b)")
        assert next_release(journal) == ()


def test_upkeep_that_fails_changes_nothing(records: Path) -> None:
    before = numbers(records)
    with closing(open_to_read(records)) as journal, one_state(journal):
        statements = next_expiry(journal, records, JournalKeeping(max_bytes=0)).statements
    broken = (*statements, statements[0])  # the block is gone then: another number of rows
    with pytest.raises(AssertionError, match="rows instead of"):
        carry_out(records, broken)
    assert numbers(records) == before
    assert sealed_rows(records) == (20, 3, 5)
    assert audit(records).problems == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE expired_hours SET verdicts = 'many'",
        "UPDATE expired_hours SET hour = x'00'",
        "UPDATE expired_runs SET last_seq = 'all'",
        "UPDATE expired_runs SET sha256 = 'text'",
        "UPDATE expired_runs SET last_time = x'00'",
        "UPDATE verdict_blocks SET first_time = x'00', verdicts = 4 WHERE first_seq = 13",
        "UPDATE verdict_blocks SET first_seq = 'one' WHERE first_seq = 13",
    ],
)
def test_values_of_other_types_are_a_finding_and_no_traceback(records: Path, statement: str) -> None:
    expire(records, 3)
    spoil(records, statement)
    assert Kind.JOURNAL in audit(records).counts
    with closing(open_to_read(records)) as journal:
        last_row(journal), last_seq(journal, "ab12"), extent(journal)
        with contextlib.suppress(sqlite3.DatabaseError):
            counts(journal, *EVERYTHING, "hour"), total(journal), [*select(journal)]


def test_a_step_gives_back_as_many_pages_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FREE_PAGES", 4), ("PAGES_AT_ONCE", 8)):
        monkeypatch.setattr(expiry, name, value)
    small_blocks(monkeypatch, 50)
    line_of(tmp_path, [G] * 300)
    seal(tmp_path)
    ((before,),) = rows(tmp_path, "PRAGMA page_count")
    with closing(open_to_read(tmp_path)) as journal:
        release = next_release(journal)
    carry_out(tmp_path, release)
    assert rows(tmp_path, "PRAGMA page_count") == [(before - 8,)]
