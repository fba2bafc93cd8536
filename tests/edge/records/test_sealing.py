"""Verdicts in blocks: every reader finds the same as in rows, a kill loses nothing, and changes are noticed."""

import json
import os
import shutil
import signal
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.line import ran
from support.records import enter, payload, recorder, rows, settle, spoil, until, verdict
from support.sealed import BEGUN, G, R, U, line_of, seal, sealed_rows, small_blocks

from edge.channel.control_messages import Fate
from edge.plc.journal_forwarding import JournalForwarding
from edge.plc.settings import MqttTable
from edge.records import journal_upkeep, verdict_blocks
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.expiry import JournalKeeping
from edge.records.export import export_table
from edge.records.journal import open_to_read, open_to_write
from edge.records.journal_reader import Replayer, Wanted
from edge.records.journal_upkeep import JournalUpkeep
from edge.records.journal_writer import Upkeep
from edge.records.part_history import last_stories, stories
from edge.records.sealing import next_sealing
from edge.records.selection import Selection
from edge.records.stored_verdicts import (
    acknowledged,
    acknowledgements_of,
    find,
    gaps,
    had_row,
    last_row,
    last_seq,
    late_fields_of,
    late_results_of,
    one_state,
    sealed_to,
    select,
)
from edge.records.summary import counts, extent, quantile, spreads, total
from edge.records.tables import VERDICTS
from edge.verdict import Outcome, Reason

OUTCOMES = [G, G, R, G, U, G, G, R, G, G, G, U, G, G, G, R, R, G, G, G, G, G, R]
"""23 verdicts: 5 blocks of 4, and 3 rows."""


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A run of 23 verdicts as rows."""
    line_of(tmp_path / "records", OUTCOMES)
    return tmp_path / "records"


def replayed(folder: Path, first: int, last: int) -> list[bytes]:
    replayer = Replayer(folder)
    replayer.start()
    replayer.ask(Wanted(1, "ab12", first, last))
    answers: list[Any] = []
    until(lambda: answers.extend(replayer.answers()) or answers)
    replayer.stop()
    return list(answers[0][1])


def forwarded(folder: Path, work: Path, say: Callable[[str], object] = pytest.fail) -> list[tuple[str, dict[str, Any]]]:
    """What edge-plc sends from the beginning of the journal, with the cursors. `say` gets its lines for people."""
    work.mkdir()
    (work / "cursor").write_text(json.dumps({"line1": {"rowid": 0, "epoch": "", "seq": 0}}))
    table = MqttTable(broker="127.0.0.1", records={"line1": folder}, cursor=work / "cursor")
    forwarding = JournalForwarding(["line1"], table, "[plc.mqtt]", 5, lambda line: say(line))
    sent: list[tuple[str, dict[str, Any]]] = []

    def publish(station: str, row: Any) -> int:
        sent.append((row.text, {}))
        return len(sent)

    before = -1
    while len(sent) > before:
        before = len(sent)
        forwarding.forward(publish)
        for number in range(before + 1, len(sent) + 1):
            forwarding.acknowledge(number)
        forwarding.settle()
    assert forwarding.journals[0].at is not None
    sent.append(("", forwarding.journals[0].at))
    return sent


def all_readings(folder: Path, work: Path) -> dict[str, Any]:
    """Everything that readers of a journal get to know."""
    work.mkdir()
    everything = (BEGUN - timedelta(days=1), BEGUN + timedelta(days=1))
    chosen = {
        "all": Selection(),
        "rejects": Selection(outcome=R),
        "late": Selection(reasons=frozenset({Reason.LATE, Reason.CLEAR})),
        "none": Selection(outcome=R, reasons=frozenset({Reason.LATE})),
        "a lot": Selection(fields={"lot": "L1"}),
        "known late": Selection(fields={"serial": "SN-7"}),
        "both": Selection(fields={"serial": "SN-14", "lot": "L1"}),
        "a part": Selection(part="part-9"),
        "a span": Selection(since=BEGUN + timedelta(minutes=2), until=BEGUN + timedelta(minutes=5)),
        "numbers": Selection(epoch="ab12", first_seq=3, last_seq=10),
        "another run": Selection(epoch="cd34"),
    }
    with closing(open_to_read(folder)) as journal:
        found: dict[str, Any] = {name: [*select(journal, which)] for name, which in chosen.items()}
        for name, which in chosen.items():
            found[f"{name}, newest"] = [*select(journal, which, newest_first=True, limit=3)]
            found[f"{name}, page"] = [*select(journal, which, after=4, before=19)]
        found["single"] = [
            (find(journal, "ab12", seq), *(of(journal, "ab12", seq) for of in (late_results_of, late_fields_of)))
            for seq in range(25)
        ]
        found["acknowledged"] = [(epoch, seq, [row["fate"] for row in of]) for epoch, seq, of in acknowledged(journal)]
        found["fates"] = [acknowledgements_of(journal, "ab12", seq) for seq in range(25)]
        found["last"] = (last_row(journal), last_seq(journal, "ab12"), last_seq(journal, "cd34"))
        found["rows"] = [had_row(journal, row, "ab12", row) for row in range(1, 25)]
        found["minutes"], found["hours"] = counts(journal, *everything), counts(journal, *everything, "hour")
        found["total"], found["spreads"] = total(journal), spreads(journal, *everything)
        known = extent(journal)
        found["extent"] = (known.verdicts, known.first, known.last, known.expired)
    told = audit(folder)
    found["audit"] = (told.problems, told.runs, told.without_image)
    found["stories"] = [story.as_json() for seq in range(1, 24) for story in stories(folder, f"part-{seq}")]
    found["last stories"] = [story.as_json() for story in last_stories(folder, R, 3)]
    found["flips"] = [story.as_json() for story in last_stories(folder, None, 3)]
    found["replay"] = replayed(folder, 2, 22)
    found["forwarded"] = forwarded(folder, work / "forwarded")
    export_table(folder, Selection(), work / "all.csv")
    export_table(folder, Selection(outcome=R, fields={"lot": "L1"}), work / "some.csv")
    found["tables"] = [(work / name).read_text() for name in ("all.csv", "some.csv")]
    return found


def test_every_reader_finds_the_same_in_blocks_as_in_rows(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rows = all_readings(records, tmp_path / "one")
    small_blocks(monkeypatch)
    assert seal(records) == 5
    assert sealed_rows(records) == (20, 3, 5)
    assert rows(records, "SELECT count(*) FROM acknowledgements") == [(3,)]
    assert rows(records, "SELECT seq FROM shadow_results") == [(21,)]
    assert [story["verdict"]["seq"] for story in as_rows["flips"]] == [6, 18]
    as_blocks = all_readings(records, tmp_path / "two")
    for name, reading in as_rows.items():
        assert as_blocks[name] == reading, name


def test_what_comes_after_its_verdict_was_sealed_is_found_with_it(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    seal(records)
    journal = recorder(records, "cd34")
    journal.acknowledge("ab12", 3, Fate.PASSED, "gate1")
    journal.late_field("ab12", 2, "serial", "SN-2")
    settle(journal)
    with closing(open_to_read(records)) as opened:
        assert [row["fate"] for row in acknowledgements_of(opened, "ab12", 3)] == ["rejected", "passed"]
        assert [one.seq for one in select(opened, Selection(fields={"serial": "SN-2"}))] == [2]
        assert [row["text"] for row in late_fields_of(opened, "ab12", 2)] == ["SN-2"]
    found = audit(records)
    journal.close("told to stop", 0)
    assert {kind: found.counts[kind] for kind in found.counts} == {Kind.ESCAPE: 1, Kind.ACKNOWLEDGEMENT: 1}


def test_a_station_seals_by_itself_and_the_numbers_of_rows_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_upkeep, "IDLE_S", 0.05)
    small_blocks(monkeypatch, 10)
    monkeypatch.setattr(JournalUpkeep.__init__, "__defaults__", (5,))
    journal = recorder(tmp_path)
    for seq in range(1, 101):
        enter(journal, verdict(seq))
        journal.acknowledge("ab12", seq, Fate.PASSED, "gate1")
    settle(journal)
    until(lambda: sealed_rows(tmp_path)[2] >= 9)
    assert sealed_rows(tmp_path)[0] + sealed_rows(tmp_path)[1] == 100
    enter(journal, verdict(101))
    settle(journal)
    assert journal.alarms == ()
    assert audit(tmp_path).is_sound
    journal.close("told to stop", 101)
    with closing(open_to_read(tmp_path)) as opened:
        assert [one.row for one in select(opened)] == [*range(1, 102)]
    assert audit(tmp_path).is_sound


def test_a_block_holds_one_run_and_one_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 100)
    line_of(tmp_path, [G] * 10, "ab12", timedelta(minutes=10))
    line_of(tmp_path, [G] * 3, "cd34", timedelta(minutes=1), BEGUN + timedelta(minutes=100))
    line_of(tmp_path, [G] * 2, "ef56", timedelta(minutes=1), BEGUN + timedelta(minutes=110))
    seal(tmp_path)
    found = rows(tmp_path, "SELECT epoch, first_seq, verdicts, first_time FROM verdict_blocks ORDER BY row")
    assert [(epoch, first, count, time[:13]) for epoch, first, count, time in found] == [
        ("ab12", 1, 5, "2026-01-02T03"),
        ("ab12", 6, 5, "2026-01-02T04"),
        ("cd34", 1, 3, "2026-01-02T04"),
    ]


NONSENSE = {
    "no JSON": "UPDATE verdicts SET json = '{' WHERE seq = 6",
    "another part": "UPDATE verdicts SET part = 'x' WHERE seq = 6",
    "a blob": "UPDATE verdicts SET json = x'7b7d' WHERE seq = 6",
    "another outcome": "UPDATE verdicts SET verdict = 'good' WHERE seq = 8",
    "no time": """UPDATE verdicts SET time = 'now', json = replace(json, '"time":"', '"time":"x') WHERE seq = 6""",
    "no number": "UPDATE verdicts SET seq = 'six' WHERE seq = 6",
    "lines": """UPDATE verdicts SET json = replace(json, ',"seq"', ',' || char(10) || '"seq"') WHERE seq = 6""",
}


@pytest.mark.parametrize("what", NONSENSE)
def test_rows_that_no_station_writes_are_not_sealed_and_the_audit_finds_what_it_found(
    records: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    spoil(records, NONSENSE[what])
    before = [problem[:2] for problem in audit(records).problems]
    small_blocks(monkeypatch)
    assert seal(records) >= 4
    row = 8 if what == "another outcome" else 6
    assert rows(records, f"SELECT count(*) FROM verdicts WHERE rowid = {row}") == [(1,)]
    assert [problem[:2] for problem in audit(records).problems] == before


def test_a_number_that_was_published_twice_is_found_in_blocks_too(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = verdict(9, R)
    with closing(sqlite3.connect(records / "journal.db")) as journal:
        journal.execute(*VERDICTS.entry(again, json=payload(again).decode()))
        journal.commit()
    line_of(records, [G] * 9, "cd34")
    small_blocks(monkeypatch)
    seal(records)
    found = audit(records)
    (twice,) = [problem.text for problem in found.problems if problem.kind is Kind.SEQUENCE]
    assert twice == "verdict 9 was given twice"
    with closing(open_to_read(records)) as opened:
        first = find(opened, "ab12", 9)
    assert first is not None
    assert first.verdict.verdict is Outcome.GOOD


# ----------------------------------------------------------------------------------------------------------- changes


def repacked(folder: Path, change: str, to: str) -> None:
    """Replace text in the payload of the block that has verdict 8, as somebody would who knows its form."""
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        row, payload = journal.execute("SELECT row, payload FROM verdict_blocks WHERE first_seq = 5").fetchone()
        text = zlib.decompress(payload).decode()
        assert change in text
        changed = zlib.compress(text.replace(change, to).encode())
        journal.execute("UPDATE verdict_blocks SET payload = ? WHERE row = ?", (changed, row))
        journal.commit()


CHANGED = {
    "a count": (
        "UPDATE verdict_blocks SET counts = replace(counts, 'clear', 'defect') WHERE first_seq = 5",
        "5 to 8 was changed",
    ),
    "the marks of parts": ("UPDATE verdict_blocks SET parts = x'000000' WHERE first_seq = 5", "5 to 8 was changed"),
    "the first one gone": ("DELETE FROM verdict_blocks WHERE first_seq = 1", "5 to 8 was changed, or the block before"),
    "one in the middle gone": ("DELETE FROM verdict_blocks WHERE first_seq = 9", "13 to 16 was changed, or the block"),
    "a block twice": (
        "INSERT INTO verdict_blocks SELECT row + 100, epoch, first_seq, verdicts, first_time, last_time, counts, "
        "scores, ages, parts, fields, sha256, payload FROM verdict_blocks WHERE first_seq = 5",
        "5 to 8 was changed",
    ),
    "a row number": ("UPDATE verdict_blocks SET row = row - 1 WHERE first_seq = 5", "5 to 8 was changed"),
    "counts of what did not expire": (
        "INSERT INTO expired_hours VALUES ('2026-01-02T03', 'ab12', 'clear', 4, 4)",
        "the counts of expired verdicts up to 0 are 4 too many",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_a_block_that_was_changed_or_removed_is_noticed(
    records: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    small_blocks(monkeypatch)
    seal(records)
    statement, said = CHANGED[what]
    spoil(records, statement)
    found = audit(records)
    assert any(said in problem.text for problem in found.problems), found.problems


def test_a_reject_turned_good_in_a_block_is_noticed(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    seal(records)
    repacked(records, '"verdict":"reject","reason":"defect","detail":null,"score":0.9', '"verdict":"good",'
             '"reason":"clear","detail":null,"score":0.1')  # fmt: skip
    assert any("verdicts 5 to 8 was changed" in problem.text for problem in audit(records).problems)


def test_rows_that_no_reader_could_get_back_from_a_block_stay_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of 34 kB in each late result packs to little, and is longer than what a reader inflates."""
    small_blocks(monkeypatch, 250)
    line_of(tmp_path, [G] * 600, pause=timedelta(seconds=1))
    fault = "x" * 34_000
    spoil(tmp_path, *(f"INSERT INTO late_results VALUES ('ab12', {seq}, NULL, '{fault}', '')" for seq in range(1, 251)))
    assert seal(tmp_path) == 1
    assert rows(tmp_path, "SELECT count(*), min(seq), max(seq) FROM verdicts WHERE seq <= 250") == [(250, 1, 250)]
    assert rows(tmp_path, "SELECT count(*) FROM late_results") == [(250,)]
    assert audit(tmp_path).is_sound


def damaged(folder: Path, payload: bytes, verdicts: int = 4) -> None:
    spoil(folder, f"UPDATE verdict_blocks SET payload = x'{payload.hex()}', verdicts = {verdicts} WHERE first_seq = 5")


BOMBS = {
    "no deflate": b"nonsense",
    "cut": zlib.compress(b"a" * 1000)[:-5],
    "a bomb": zlib.compress(bytes(2**26), 9),
    "no lines": zlib.compress(b"{}"),
    "no object": zlib.compress(b"{}\n{}\n{}\n{}\n[]"),
    "other tables": zlib.compress(b'{}\n{}\n{}\n{}\n{"runs":{}}'),
    "other types": zlib.compress(
        b'{}\n{}\n{}\n{}\n{"acknowledgements":{"seq":["x"],"fate":[1],"client":[2],"time":[3]}}'
    ),
    "nested": zlib.compress(b"{}\n{}\n{}\n{}\n" + b"[" * 10**5),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_damaged_or_forged_block_is_one_finding_and_one_line(
    records: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    small_blocks(monkeypatch)
    seal(records)
    damaged(records, BOMBS[what])
    done = ran("audit", records, timeout=60, memory=10**9)
    assert done.returncode == 1
    assert "JOURNAL" in done.stdout
    assert "Traceback" not in done.stderr
    told = ran("audit", records, "--part", "part-6", timeout=60, memory=10**9)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "the block of verdicts 5 to 8 is damaged" in told.stderr
    rest = [seq for seq in range(1, 24) if not 5 <= seq <= 8]
    with closing(open_to_read(records)) as opened:
        assert [one.seq for one in select(opened)] == rest
        assert gaps(opened) == ["the block of verdicts 5 to 8 is damaged, and left out"]
        assert [seq for seq in range(1, 24) if find(opened, "ab12", seq)] == rest
        assert acknowledgements_of(opened, "ab12", 6) == late_fields_of(opened, "ab12", 7) == []
        assert all(had_row(opened, row, "ab12", row) for row in range(1, 24))
        assert not had_row(opened, 6, "ab12", 7)
    assert [json.loads(text)["seq"] for text in replayed(records, 2, 22)] == [seq for seq in rest if 2 <= seq <= 22]


@pytest.mark.parametrize(
    "change",
    ["verdicts = 251", "verdicts = 0", "first_seq = -5", "counts = '[]'", "counts = '{\"05\": {\"clear\": -1}}'",
     "counts = '{\"05\": 7}'", "scores = '{\"x\": 1}'", "epoch = x'00'", "parts = 'text'", "payload = 'text'"],
)  # fmt: skip
def test_the_columns_of_a_block_are_not_trusted(records: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    small_blocks(monkeypatch)
    seal(records)
    spoil(records, f"UPDATE verdict_blocks SET {change} WHERE first_seq = 5")
    assert not audit(records).is_sound
    span = (BEGUN - timedelta(days=1), BEGUN + timedelta(days=1))
    with closing(open_to_read(records)) as opened:
        readings = (lambda: counts(opened, *span), lambda: spreads(opened, *span), lambda: [*select(opened)])
        for read in readings:
            if change.startswith(("counts", "scores")):
                assert read()  # of the other blocks
                continue
            with suppress(sqlite3.Error):
                read()


def test_what_a_damaged_block_hides_is_told(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    seal(records)
    damaged(records, b"nonsense")
    gap = "the block of verdicts 5 to 8 is damaged, and left out"
    line_of(records, [G] * 6, "cd34", begun=BEGUN + timedelta(hours=1))  # has the same parts
    table = ran("audit", records, "--export", tmp_path / "all.csv")
    assert (table.returncode, gap in table.stderr, "25 verdicts" in table.stderr) == (1, True, True)
    part = ran("audit", records, "--part", "part-6")
    assert (part.returncode, gap in part.stdout, "run cd34" in part.stdout) == (0, True, True)
    assert json.loads(ran("audit", records, "--part", "part-6", "--json").stdout)[0]["gaps"] == [gap]
    other = ran("audit", records, "--part", "part-12")
    assert (other.returncode, "damaged" in other.stdout) == (0, False)
    ran("review", "decide", records, "part-3", "bad", "--by", "Ana")
    stats = ran("review", "stats", records)
    assert (stats.returncode, f"{records}: {gap}" in stats.stdout) == (0, True)
    said: list[str] = []
    assert forwarded(records, tmp_path / "forwarded", said.append)[-1][1]["epoch"] == "cd34"
    assert said == [f"{records}: {gap}: its verdicts are not sent"]


def test_a_gates_log_and_images_are_checked_beside_a_damaged_block(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    seal(records)
    damaged(records, b"nonsense")
    log = tmp_path / "gate.jsonl"
    said = {"epoch": "ab12", "decision": "pass", "fate": "passed"}
    log.write_text("".join(json.dumps(said | {"seq": seq, "part": f"part-{seq}"}) + "\n" for seq in (6, 10)))
    spoil(records, "INSERT INTO acknowledgements VALUES ('ab12', 7, 'passed', 'gate1', '')")
    found = audit(records, log)
    assert found.gate is not None
    assert found.gate.passes == {"unproven": 1, "proven": 1}
    assert not any("cannot be read to its end" in problem.text for problem in found.problems)


# ------------------------------------------------------------------------------------------------------------- kills


def statements_of(folder: Path) -> tuple[Any, ...]:
    with closing(open_to_read(folder)) as journal, one_state(journal):
        found = next_sealing(journal, 0, 1)
    assert found is not None
    return found.statements


def killed(folder: Path, statements: tuple[Any, ...], last: int) -> bool:
    """Carry out the statements in a process that is killed at SQL statement number `last`. Returns whether it was."""
    if (child := os.fork()) == 0:
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)

        journal, _ = open_to_write(folder)
        journal.set_trace_callback(count)
        Upkeep(statements).carry_out(journal)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_station_that_is_killed_while_it_seals_loses_nothing_and_has_nothing_twice(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    statements = statements_of(records)
    with closing(open_to_read(records)) as journal:
        before = [*select(journal)], [*acknowledged(journal)]
    seen = set()
    for last in range(1, 50):
        copy = tmp_path / f"killed-{last}"
        shutil.copytree(records, copy)
        was_killed = killed(copy, statements, last)
        with closing(open_to_read(copy)) as journal:
            assert ([*select(journal)], [*acknowledged(journal)]) == before
            seen.add(sealed_to(journal))
        assert audit(copy, with_images=False).is_sound
        if not was_killed:
            break
    assert last > len(statements)
    assert seen == {0, 4}


def test_a_station_seals_what_an_earlier_one_wrote(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_upkeep, "IDLE_S", 0.05)
    monkeypatch.setattr(JournalUpkeep.__init__, "__defaults__", (2,))
    small_blocks(monkeypatch)
    journal = recorder(records, "cd34")
    enter(journal, verdict(1, epoch="cd34"))
    settle(journal)
    until(lambda: sealed_rows(records)[2] == 5)
    assert journal.alarms == ()
    journal.close("told to stop", 1)
    assert audit(records).is_sound


def test_what_cannot_be_sealed_raises_an_alarm_and_the_rows_stay(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_upkeep, "IDLE_S", 0.05)
    monkeypatch.setattr(JournalUpkeep.__init__, "__defaults__", (2,))
    monkeypatch.setattr(verdict_blocks, "digest", lambda block, previous: None)
    small_blocks(monkeypatch)
    journal = recorder(records, "cd34")
    until(lambda: any("not compressed" in alarm for alarm in journal.alarms))
    enter(journal, verdict(1, epoch="cd34"))
    settle(journal)
    journal.close("told to stop", 1)
    assert sealed_rows(records) == (0, 24, 0)
    assert audit(records).is_sound


# ------------------------------------------------------------------------------------------------------------ counts


def test_counts_are_those_of_the_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = line_of(tmp_path, OUTCOMES * 4, pause=timedelta(seconds=97))
    small_blocks(monkeypatch, 7)
    seal(tmp_path, newest=20)
    since, until_ = BEGUN - timedelta(hours=1), BEGUN + timedelta(days=1)
    with closing(open_to_read(tmp_path)) as journal:
        for per, length in (("minute", 16), ("hour", 13)):
            expected: dict[str, dict[str, int]] = {}
            for one in made:
                reasons = expected.setdefault(one.time[:length], {})
                reasons[one.reason] = reasons.get(one.reason, 0) + 1
            found = counts(journal, since, until_, per)  # type: ignore[arg-type]
            assert {one.start.isoformat()[:length]: dict(one.reasons) for one in found} == expected
            assert [one.start for one in found] == sorted(one.start for one in found)
        begin = BEGUN.replace(second=0) + timedelta(minutes=30)
        part = counts(journal, begin + timedelta(seconds=5), begin + timedelta(minutes=10, seconds=5))
        times = [datetime.fromisoformat(one.time) for one in made]
        assert sum(one.total for one in part) == sum(begin <= at < begin + timedelta(minutes=11) for at in times)
        whole = total(journal)
        assert (whole.total, whole.good, whole.reject, whole.unknown) == (92, 64, 20, 8)
        hours = spreads(journal, since, until_)
        assert sum(one.ages_ms.total() for one in hours) == 92
        assert sum(one.scores.total() for one in hours) == 84
        assert quantile(hours[0].scores, 0.5) == 0.1
        assert quantile(hours[0].scores, 1.0) == 0.9


def test_the_journal_has_a_limit_by_default_and_no_age() -> None:
    assert JournalKeeping().max_age_days is None
    assert JournalKeeping().max_bytes == 10 * 2**30
