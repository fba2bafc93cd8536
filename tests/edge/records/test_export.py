"""edge-audit --export: the verdicts of a record as a table."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.line import ran
from support.records import enter, recorder, settle, spoil, verdict

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.records.export import Selection, export_table, moment
from edge.verdict import Outcome, Verdict

DAYS = ("2026-01-01T23:59:59.999", "2026-01-02T00:00:00.000", "2026-01-03T12:00:00.000")
OUTCOMES = (Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN)
FIELDS: tuple[dict[str, str] | None, ...] = ({"lot": 'a, "b"', "order": "7"}, None, {"serial": "Ä\u00df", "lot": "c"})


def made(seq: int) -> Verdict:
    of = verdict(seq, OUTCOMES[seq - 1])
    return of.model_copy(update={"time": f"{DAYS[seq - 1]}+00:00", "fields": FIELDS[seq - 1]})


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Three parts of three days, of three outcomes."""
    folder = tmp_path / "records"
    journal = recorder(folder)
    enter(journal, *(made(seq) for seq in (1, 2, 3)))
    journal.acknowledge("ab12", 1, Fate.PASSED, "gate1")
    journal.acknowledge("ab12", 1, Fate.PASSED, "plc1")
    journal.acknowledge("ab12", 2, Fate.REJECTED, "gate1")
    settle(journal)
    journal.close("told to stop", 3)
    return folder


def table(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_every_verdict_is_a_row_with_its_free_fields_and_fates(records: Path, tmp_path: Path) -> None:
    done = ran("audit", records, "--export", tmp_path / "all.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 verdicts in" in done.stderr
    found = table(tmp_path / "all.csv")
    assert [(row["seq"], row["verdict"], row["score"]) for row in found] == [
        ("1", "good", "0.1"),
        ("2", "reject", "0.9"),
        ("3", "unknown", ""),
    ]
    assert [row["time"] for row in found] == [f"{day}+00:00" for day in DAYS]
    assert [row["fates"] for row in found] == ["passed", "rejected", ""]
    assert [(row["field_lot"], row["field_order"], row["field_serial"]) for row in found] == [
        ('a, "b"', "7", ""),
        ("", "", ""),
        ("c", "", "Äß"),
    ]


def test_a_code_that_is_a_formula_is_text_in_a_spreadsheet(tmp_path: Path) -> None:
    texts = {"a": "=HYPERLINK(1)", "b": "@SUM(A1)", "c": "-12.5", "d": "-cmd|x", "e": "+49 30", "f": "A=1"}
    journal = recorder(tmp_path / "records")
    enter(journal, made(1).model_copy(update={"fields": texts}))
    settle(journal)
    journal.close("told to stop", 1)
    export_table(tmp_path / "records", Selection(), tmp_path / "all.csv")
    (row,) = table(tmp_path / "all.csv")
    found = {name: row[f"field_{name}"] for name in texts}
    assert found == {"a": "'=HYPERLINK(1)", "b": "'@SUM(A1)", "c": "-12.5", "d": "'-cmd|x", "e": "'+49 30", "f": "A=1"}
    assert row["score"] == "0.1"


def test_parquet_has_the_rows_of_csv_with_types(records: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra parquet")
    done = ran("audit", records, "--export", tmp_path / "all.parquet")
    assert (done.returncode, done.stdout) == (0, "")
    export_table(records, Selection(), tmp_path / "all.csv")
    rows = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    in_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    in_csv = table(tmp_path / "all.csv")
    assert [row | {"time": ""} for row in in_text] == [row | {"time": ""} for row in in_csv]
    assert [row["time"] for row in rows] == [datetime.fromisoformat(row["time"]) for row in in_csv]
    assert [(row["seq"], row["score"], row["simulated"]) for row in rows] == [
        (1, 0.1, True),
        (2, 0.9, True),
        (3, None, True),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--since", "2026-01-02"), ["2", "3"]),
        (("--field", 'lot=a, "b"'), ["1"]),
        (("--field", "lot=c", "--field", "serial=Äß"), ["3"]),
        (("--field", "lot=c", "--field", "serial=A"), []),
        (("--until", "2026-01-02"), ["1"]),
        (("--since", "2026-01-02T01:00+01:00", "--until", "2026-01-03T12:00"), ["2"]),
        (("--outcome", "unknown"), ["3"]),
        (("--outcome", "good", "--since", "2026-01-03"), []),
    ],
)
def test_rows_are_selected_by_time_and_outcome(
    records: Path, tmp_path: Path, options: tuple[str, ...], expected: list[str]
) -> None:
    assert ran("audit", records, "--export", tmp_path / "some.csv", *options).returncode == 0
    assert [row["seq"] for row in table(tmp_path / "some.csv")] == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--export", "a.txt"), "give a name that ends in .csv or .parquet"),
        (("--export", "a.csv", "--since", "yesterday"), "--since yesterday: no time; one looks like 2026-11-29"),
        (("--export", "a.csv", "--outcome", "bad"), "--outcome bad: no verdict is called so"),
        (("--export", "a.csv", "--part", "x"), "different things; give one of them"),
        (("--export", "a.csv", "--gate", "x"), "leave out --gate"),
        (("--export", "a.csv", "--field", "lot"), "--field lot: give NAME=VALUE"),
        (("--since", "2026-01-01"), "give --export FILE.csv"),
        (("--export", "nowhere/a.csv"), "cannot be written: No such file or directory"),
        (("--export", "records/a.csv"), "lies in the records"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    records: Path, tmp_path: Path, options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ran("audit", records, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert not list(tmp_path.glob("*.csv*"))


def test_a_file_stays_as_it_was_if_a_row_breaks_the_rules(records: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.csv"
    file.write_text("of yesterday")
    spoil(records, "UPDATE verdicts SET json = replace(json, '\"score\":0.9', '\"score\":0.1') WHERE seq = 2")
    with pytest.raises(RecordsError, match="the journal cannot be read"):
        export_table(records, Selection(), file)
    assert file.read_text() == "of yesterday"
    assert export_table(records, Selection(outcome=Outcome.GOOD), file) == 1


def test_a_time_without_an_offset_is_utc() -> None:
    assert moment("2026-01-02", "--since") == datetime(2026, 1, 2, tzinfo=UTC)
    assert moment("2026-01-02T01:00+01:00", "--since") == datetime(2026, 1, 2, tzinfo=UTC)
