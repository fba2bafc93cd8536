"""The verdicts of a record as a table in a file, CSV or Apache Parquet."""

import contextlib
import csv
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import RecordsError
from edge.files import written_whole
from edge.records.journal import check_rows, open_to_read, why_unread
from edge.records.pass_proof import broken_rule
from edge.records.tables import ACKNOWLEDGEMENTS, LATE_FIELDS, VERDICTS, late_fields_of
from edge.verdict import Outcome, Verdict

COLUMNS = (
    "time", "station", "epoch", "seq", "part", "verdict", "reason", "detail", "score", "threshold", "age_ms",
    "budget_ms", "simulated", "source", "bundle", "backend",
)  # fmt: skip
"""Fields of the verdict, in order; then `fates`, what controllers acknowledged, the free fields, and the free fields
that were known after the verdict.
"""

FATES, FIELD, LATE = "fates", "field_", "late_"
MOST_COLUMNS = 500
"""Names of free fields in one table."""

FORMULA = ("=", "+", "-", "@")
"""What formulas of spreadsheets begin with."""

BATCH = 10_000
"""Rows of a row group of Parquet."""

Value = str | int | float | None
Row = list[Value]


@dataclass(frozen=True)
class Selection:
    """Verdicts published from `since` on and before `until`, of one outcome, whose part has all free `fields`, in the
    verdict or known after it.
    """

    since: datetime | None = None
    until: datetime | None = None
    outcome: Outcome | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def where(self, has_late_fields: bool) -> tuple[str, tuple[str, ...]]:
        """The SQL condition on the table `verdicts`, and its values. Times of the journal are text in UTC.

        `has_late_fields` says whether the journal has the table `late_fields`.
        """
        wanted = [
            ("time >= ?", self.since and _text(self.since)),
            ("time < ?", self.until and _text(self.until)),
            ("verdict = ?", self.outcome),
        ]
        given: list[tuple[str, tuple[str, ...]]]
        given = [(condition, (str(value),)) for condition, value in wanted if value is not None]
        has_field = "EXISTS (SELECT 1 FROM json_each(verdicts.json, '$.fields') WHERE key = ? AND atom = ?)"
        if has_late_fields:
            of_this = "late_fields.epoch = verdicts.epoch AND late_fields.seq = verdicts.seq"
            has_late = f"EXISTS (SELECT 1 FROM late_fields WHERE {of_this} AND name = ? AND text = ?)"
            given += [(f"({has_field} OR {has_late})", pair * 2) for pair in self.fields.items()]
        else:
            given += [(has_field, pair) for pair in self.fields.items()]
        conditions, values = [condition for condition, _ in given], [value for _, of in given for value in of]
        return " AND ".join(conditions) or "1", tuple(values)


def moment(text: str, option: str) -> datetime:
    """A time in ISO 8601, in UTC if it names no offset. Raises RecordsError that names the option."""
    try:
        said = datetime.fromisoformat(text)
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        example = "2026-11-29, 2026-11-29T14:30 or 2026-11-29T14:30+01:00"
        raise RecordsError(f"{option} {text}: no time; one looks like {example}, in UTC without an offset") from error


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def export_table(folder: Path, selection: Selection, file: Path) -> int:
    """Write the selected verdicts into `file`, oldest first, a row each; an existing file is replaced as a whole.

    The suffix of `file` is a key of FORMATS. Returns the number of rows. Raises RecordsError if the journal or a row of
    it cannot be read, the file cannot be written, or a package is missing.
    """
    to_file = FORMATS[file.suffix.lower()]
    try:
        with contextlib.closing(open_to_read(folder)) as journal, written_whole(file) as part:
            journal.execute("BEGIN")  # all readings are of one state of a journal that is being written
            where, values = selection.where(LATE_FIELDS.is_in(journal))
            check_rows(journal, [VERDICTS], where, values)
            check_rows(journal, [ACKNOWLEDGEMENTS, LATE_FIELDS])
            names, late = _names(journal, where, values), _late_names(journal, where, values)
            count = 0
            with to_file(part, [*(FIELD + name for name in names), *(LATE + name for name in late)]) as write:
                for row in _rows(journal, where, values, names, late):
                    write(row)
                    count += 1
            journal.execute("COMMIT")
        return count
    except (sqlite3.Error, ValueError) as error:
        said = broken_rule(error) if isinstance(error, ValueError) else why_unread(error)
        raise RecordsError(f"{folder}: the journal cannot be read: {said}") from error
    except OSError as error:
        raise RecordsError(f"--export {file} cannot be written: {error.strerror}; choose another place") from error


@contextlib.contextmanager
def _to_csv(file: Path, fields: list[str]) -> Iterator[Callable[[Row], object]]:
    with file.open("w", newline="", encoding="utf-8") as output:
        table = csv.writer(output)
        table.writerow([*COLUMNS, FATES, *fields])
        yield lambda row: table.writerow([_no_formula(value) for value in row])


def _no_formula(value: Value) -> Value:
    """Text that a spreadsheet would execute as a formula, with an apostrophe before it; see CWE-1236.

    The text may be that of a code on a part, which anybody can print. Numbers, as text too, are not changed.
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


@contextlib.contextmanager
def _to_parquet(file: Path, fields: list[str]) -> Iterator[Callable[[Row], object]]:
    """Numbers are numbers, times are in milliseconds of UTC, and what a verdict does not have is null."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise RecordsError("Parquet needs the extra parquet: pip install 'edge-inspect[parquet]'") from error

    kinds = {"time": arrow.timestamp("ms", "UTC"), "seq": arrow.int64(), "simulated": arrow.bool_()}
    kinds |= dict.fromkeys(("score", "threshold", "age_ms", "budget_ms"), arrow.float64())
    columns = [*COLUMNS, FATES, *fields]
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in columns])
    rows: list[dict[str, object]] = []
    with parquet.ParquetWriter(file, schema) as table:

        def write_batch() -> None:
            table.write_batch(arrow.RecordBatch.from_pylist(rows, schema))
            rows.clear()

        def write(row: Row) -> None:
            named: dict[str, object] = dict(zip(columns, row, strict=True))
            rows.append(named | {"time": datetime.fromisoformat(str(named["time"]))})
            if len(rows) == BATCH:
                write_batch()

        yield write
        write_batch()


FORMATS: dict[str, Callable[[Path, list[str]], AbstractContextManager[Callable[[Row], object]]]] = {
    ".csv": _to_csv,
    ".parquet": _to_parquet,
}
"""Suffixes of a table's file, and what writes it."""


def _verdicts(journal: sqlite3.Connection, where: str, values: tuple[str, ...]) -> Iterator[Verdict]:
    for (text,) in journal.execute(f"SELECT json FROM verdicts WHERE {where} ORDER BY rowid", values):
        yield Verdict.model_validate_json(text)


def _names(journal: sqlite3.Connection, where: str, values: tuple[str, ...]) -> list[str]:
    """The names of the free fields, in the order in which they came."""
    names: dict[str, None] = {}
    for row in VERDICTS.read(journal, f"WHERE {where} ORDER BY rowid", values):
        if row["fields"] is None:
            continue
        names |= dict.fromkeys(Verdict.model_validate_json(row["json"]).fields or ())
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"the verdicts have more than {MOST_COLUMNS} names of fields; select fewer with --since")
    return list(names)


def _late_names(journal: sqlite3.Connection, where: str, values: tuple[str, ...]) -> list[str]:
    """The names of the free fields that were known after the verdicts."""
    if not LATE_FIELDS.is_in(journal):
        return []
    of_this = "verdicts.epoch = late_fields.epoch AND verdicts.seq = late_fields.seq"
    select = f"SELECT DISTINCT name FROM late_fields WHERE EXISTS (SELECT 1 FROM verdicts WHERE {of_this} AND {where})"
    names = [name for (name,) in journal.execute(f"{select} LIMIT {MOST_COLUMNS + 1}", values)]
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"the journal has more than {MOST_COLUMNS} names of late fields; select fewer with --since")
    return names


def _rows(
    journal: sqlite3.Connection, where: str, values: tuple[str, ...], names: list[str], late: list[str]
) -> Iterator[Row]:
    select = "SELECT DISTINCT fate FROM acknowledgements WHERE epoch = ? AND seq = ? ORDER BY fate"
    for verdict in _verdicts(journal, where, values):
        said = verdict.model_dump(mode="json", include=set(COLUMNS))
        fates = [fate for (fate,) in journal.execute(select, (verdict.epoch, verdict.seq))]
        fields = verdict.fields or {}
        known = (
            {row["name"]: row["text"] for row in late_fields_of(journal, verdict.epoch, verdict.seq)} if late else {}
        )
        of_fields = [*(fields.get(name) for name in names), *(known.get(name) for name in late)]
        yield [*(said[name] for name in COLUMNS), " ".join(fates), *of_fields]
