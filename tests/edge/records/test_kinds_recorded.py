"""The kind of a defect in the record: as published, found and counted from rows and from blocks."""

import contextlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.line import ran
from support.records import enter, payload, recorder, rows, settle, spoil, verdict
from support.sealed import BEGUN, G, R, U, expire, line_of, seal, sealed_rows, small_blocks

from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.journal import open_to_read
from edge.records.part_history import stories
from edge.records.part_story import tell
from edge.records.selection import Selection
from edge.records.stored_verdicts import find, select
from edge.records.summary import counts, total
from edge.records.tables import VERSION
from edge.verdict import Verdict

KINDS = ("crack", 'oil "stain"', "Öl")
OUTCOMES = [R if number % 3 else G for number in range(1, 24)]
"""23 verdicts: 5 blocks of 4, and 3 rows."""

NAMED = {seq: KINDS[seq // 3 % 3] for seq in range(1, 24) if seq % 3 and seq != 22}
"""The kinds by number of the verdict; the reject 22 has none."""


def with_kind(seq: int, name: str | None) -> Verdict:
    one = verdict(seq, OUTCOMES[seq - 1])
    changes = {"time": (BEGUN + seq * timedelta(seconds=30)).isoformat(timespec="milliseconds")}
    kind = {} if name is None else {"kind": name, "kind_number": 1 + KINDS.index(name), "kind_probability": 0.75}
    return Verdict.model_validate(one.model_dump() | changes | kind)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    journal = recorder(tmp_path / "records")
    enter(journal, *(with_kind(seq, NAMED.get(seq)) for seq in range(1, 24)))
    settle(journal)
    journal.close("told to stop", 23)
    return tmp_path / "records"


@pytest.fixture(params=["rows", "blocks"])
def either(request: pytest.FixtureRequest, records: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record, with all verdicts as rows, or with most of them in blocks."""
    if request.param == "blocks":
        small_blocks(monkeypatch)
        seal(records)
        assert sealed_rows(records)[2] == 5
    return records


@contextlib.contextmanager
def reading(folder: Path) -> Iterator:
    with closing(open_to_read(folder)) as journal:
        yield journal


def numbers(folder: Path, **selection: object) -> list[int]:
    with reading(folder) as journal:
        return [stored.seq for stored in select(journal, Selection(**selection))]


def test_verdicts_are_kept_as_published_and_found_by_their_kind(either: Path) -> None:
    with reading(either) as journal:
        for seq in range(1, 24):
            stored = find(journal, "ab12", seq)
            assert stored is not None
            assert stored.text == payload(with_kind(seq, NAMED.get(seq))).decode()
    for kind in KINDS:
        assert numbers(either, kind=kind) == [seq for seq, name in NAMED.items() if name == kind]
    assert numbers(either, kind="fray") == []
    assert numbers(either, kind="defect") == numbers(either, kind="05") == numbers(either, kind="kinds") == []
    assert numbers(either, kind="Öl", first_seq=8, outcome=R) == [
        s for s, name in NAMED.items() if name == "Öl" and s > 7
    ]
    assert numbers(either, kind="Öl", outcome=G) == []


def test_kinds_are_counted_by_minute_and_by_hour_and_rejects_without_one_are_rejects(either: Path) -> None:
    with reading(either) as journal:
        whole = total(journal, BEGUN - timedelta(hours=1), BEGUN + timedelta(hours=1))
        minutes = counts(journal, BEGUN - timedelta(hours=1), BEGUN + timedelta(hours=1))
        (hour,) = counts(journal, BEGUN - timedelta(hours=1), BEGUN + timedelta(hours=1), "hour")
    expected = {kind: [*NAMED.values()].count(kind) for kind in set(NAMED.values())}
    assert dict(whole.kinds) == dict(hour.kinds) == expected
    assert whole.reject == sum(expected.values()) + 1
    assert sum(one.total for one in minutes) == 23
    for one in minutes:
        seen = [s for s in NAMED if (BEGUN + s * timedelta(seconds=30)).replace(second=0, microsecond=0) == one.start]
        assert sorted(one.kinds.elements()) == sorted(NAMED[seq] for seq in seen)


def test_the_audit_counts_kinds_and_finds_a_column_that_says_another_one(either: Path) -> None:
    found = audit(either)
    assert found.is_sound, found.problems
    assert found.runs[0].kinds == {kind: [*NAMED.values()].count(kind) for kind in found.runs[0].kinds}
    assert sum(found.runs[0].kinds.values()) == len(NAMED)
    done = ran("audit", either, "--json")
    assert json.loads(done.stdout)["runs"][0]["kinds"] == found.runs[0].kinds
    said = ran("audit", either).stdout
    assert "rejects by kind: " in said
    assert all(f"{kind} {count}" in said for kind, count in found.runs[0].kinds.items())
    spoil(either, "UPDATE verdicts SET kind = 'scratch' WHERE seq = 23")
    assert [(one.kind, one.seq) for one in audit(either).problems] == [(Kind.VERDICT, 23)]


def test_a_block_whose_counts_of_kinds_were_changed_is_told(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    seal(records)
    spoil(records, "UPDATE verdict_blocks SET counts = replace(counts, 'crack', 'trick') WHERE first_seq = 1")
    assert any(one.kind is Kind.JOURNAL for one in audit(records).problems)


def test_the_story_and_the_table_of_a_part_name_its_kind(either: Path, tmp_path: Path) -> None:
    (story,) = stories(either, "part-7", None)
    assert any("kind Öl, probability 0.75" in line for line in tell(story, either))
    assert ran("audit", either, "--part", "part-7", "--json").returncode == 0
    said = json.loads(ran("audit", either, "--part", "part-7", "--json").stdout)
    assert (said[0]["verdict"]["kind"], said[0]["verdict"]["kind_number"]) == ("Öl", 3)
    (without,) = stories(either, "part-22", None)
    assert not any("kind" in line for line in tell(without, either))
    done = ran("audit", either, "--export", tmp_path / "some.csv", "--kind", "Öl")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "some.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + [*NAMED.values()].count("Öl")
    assert ",Öl,0.75," in lines[1]
    refused = ran("audit", either, "--kind", "Öl")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--kind" in refused.stderr


def test_of_expired_verdicts_the_kinds_are_not_counted_and_the_rejects_are(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    seal(records)
    assert expire(records, 2) == 2
    with reading(records) as journal:
        whole = total(journal)
    assert whole.total == 23
    assert whole.kinds.total() == sum(seq > 8 for seq in NAMED)
    assert audit(records).is_sound


def test_a_journal_from_before_there_were_kinds_is_read_and_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    folder = tmp_path / "records"
    line_of(folder, [G, R, U, G, R, G, R])
    seal(folder)
    spoil(folder, "ALTER TABLE verdicts DROP COLUMN kind", "PRAGMA user_version = 6")
    assert audit(folder).is_sound
    assert numbers(folder, kind="crack") == []
    assert numbers(folder, outcome=R) == [2, 5, 7]
    since, until = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    with reading(folder) as journal:
        assert (total(journal, since, until).reject, total(journal, since, until).kinds.total()) == (3, 0)
    journal = recorder(folder, "cd34")
    later = with_kind(2, "crack").model_copy(update={"epoch": "cd34", "seq": 1})
    enter(journal, later)
    settle(journal)
    journal.close("told to stop", 1)
    assert rows(folder, "PRAGMA user_version") == [(VERSION,)]
    assert rows(folder, "SELECT epoch, kind FROM verdicts WHERE kind IS NOT NULL") == [("cd34", "crack")]
    assert audit(folder).is_sound
    assert numbers(folder, kind="crack") == [1]
