"""Tables in CSV that come with photographs: columns found by any of several names, delimiters found from the header."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import DataError
from edge.text import reason_of

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """One row: its `line` in the file, and its values by the names of the header, without spaces around them."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Table:
    """The header and the rows of a CSV file."""

    file: Path
    columns: list[str]
    rows: list[Row]

    def column(self, names: Sequence[str]) -> str | None:
        """The first of these names that a column has, as the header writes it; None without such a column."""
        written = {_folded(column): column for column in reversed(self.columns)}
        return next((written[name] for name in names if name in written), None)

    def needed(self, what: str, names: Sequence[str]) -> str:
        """The same. Raises DataError, with the names that would do, without such a column."""
        found = self.column(names)
        if found is None:
            raise DataError(
                f"{self.file} has no column for {what}, which may be called {', '.join(names)}; it has "
                f"{', '.join(self.columns)}"
            )
        return found


def read_header(file: Path) -> Table:
    """The header of a CSV file, without rows. Raises DataError."""
    return Table(file, _read(file, 0).columns, [])


def read_table(file: Path) -> Table:
    """A CSV file whose values are separated by commas, semicolons or tabs. Raises DataError if it cannot be read."""
    return _read(file, None)


def _read(file: Path, most: int | None) -> Table:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            header = lines.readline()
            delimiter = max(DELIMITERS, key=header.count)
            columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            rows = [] if most == 0 else list(_rows(lines, columns, delimiter))
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8; save it as CSV in UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from None
    return Table(file, columns, rows)


def _rows(lines: Iterator[str], columns: Sequence[str], delimiter: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter)
    for values in reader:
        if any(value.strip() for value in values):
            yield Row(reader.line_num + 1, {name: value.strip() for name, value in zip(columns, values, strict=False)})


def _folded(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
