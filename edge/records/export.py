"""The verdicts of a record as a table in a file, CSV or Apache Parquet."""

import contextlib
import csv
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import RecordsError
from edge.files import written_whole
from edge.records.journal import check_rows, open_to_read, why_unread
from edge.records.pass_proof import broken_rule
from edge.records.selection import Selection, known, row_conditions
from edge.records.stored_verdicts import (
    acknowledgements_of,
    gaps,
    late_fields_of,
    select,
)
from edge.records.tables import ACKNOWLEDGEMENTS, LATE_FIELDS, VERDICTS

COLUMNS = (
    "time", "station", "epoch", "seq", "part", "verdict", "reason", "detail", "score", "threshold", "age_ms",
    "budget_ms", "simulated", "source", "bundle", "backend", "product",
    "kind", "kind_probability",
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


def moment(text: str, option: str) -> datetime:
    """A time in ISO 8601, in UTC if it names no offset. Raises RecordsError that names the option."""
    try:
        said = datetime.fromisoformat(text)
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        example = "2026-11-29, 2026-11-29T14:30 or 2026-11-29T14:30+01:00"
        raise RecordsError(f"{option} {text}: no time; one looks like {example}, in UTC without an offset") from error


def export_table(
    folder: Path, selection: Selection, file: Path, say: Callable[[str], object] = lambda line: None
) -> int:
    """Write the selected verdicts into `file`, oldest first, a row each; an existing file is replaced as a whole.

    The suffix of `file` is a key of FORMATS. Returns the number of rows; `say` is called with a line for each damaged
    block that may have selected verdicts, which are left out. Raises RecordsError if the journal or a row of
    it cannot be read, the file cannot be written, or a package is missing.
    """
    to_file = FORMATS[file.suffix.lower()]
    try:
        with contextlib.closing(open_to_read(folder)) as journal, written_whole(file) as part:
            journal.execute("BEGIN")  # all readings are of one state of a journal that is being written
            check_rows(
                journal,
                [VERDICTS],
                *row_conditions(selection, *known(journal)),
            )
            check_rows(journal, [ACKNOWLEDGEMENTS, LATE_FIELDS])
            names, late = _names(journal, selection)
            count = 0
            with to_file(part, [*(FIELD + name for name in names), *(LATE + name for name in late)]) as write:
                for row in _rows(journal, selection, names, late):
                    write(row)
                    count += 1
            journal.execute("COMMIT")
            for gap in gaps(journal):
                say(gap)
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
    kinds |= dict.fromkeys(("score", "threshold", "age_ms", "budget_ms", "kind_probability"), arrow.float64())
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


def _names(journal: sqlite3.Connection, selection: Selection) -> tuple[list[str], list[str]]:
    """The names of the free fields in the verdicts, and of those known after them, in the order in which they came."""
    names: dict[str, None] = {}
    late: dict[str, None] = {}
    for stored in select(journal, selection):
        if '"fields"' in stored.text:
            names |= dict.fromkeys(stored.verdict.fields or ())
        late |= dict.fromkeys(row["name"] for row in late_fields_of(journal, stored.epoch, stored.seq))
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"the verdicts have more than {MOST_COLUMNS} names of fields; select fewer with --since")
        if len(late) > MOST_COLUMNS:
            many = f"the journal has more than {MOST_COLUMNS} names of late fields"
            raise ValueError(f"{many}; select fewer with --since")
    return list(names), list(late)


def _rows(journal: sqlite3.Connection, selection: Selection, names: list[str], late: list[str]) -> Iterator[Row]:
    for stored in select(journal, selection):
        verdict, place = stored.verdict, (stored.epoch, stored.seq)
        said = verdict.model_dump(mode="json", include=set(COLUMNS))
        fates = sorted({row["fate"] for row in acknowledgements_of(journal, *place)})
        fields = verdict.fields or {}
        known = {row["name"]: row["text"] for row in late_fields_of(journal, *place)} if late else {}
        of_fields = [*(fields.get(name) for name in names), *(known.get(name) for name in late)]
        yield [*(said.get(name) for name in COLUMNS), " ".join(fates), *of_fields]
