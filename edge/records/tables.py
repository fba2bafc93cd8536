"""The journal's tables, with every column defined once: all statements that create, migrate, fill and read them.

`user_version` holds a journal's version; version 0 has no tables. `migration(n)` gives the statements that bring
version n - 1 to n: they add the columns and indices whose `since` is n. Columns of later versions are the last ones
and may be null; in rows of earlier versions they are.
"""

import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from edge.verdict import Verdict

Value = str | int | float | bytes | None


class Column(NamedTuple):
    """A column: its name and its SQL type.

    `of` computes the value from a verdict; the audit computes it again and compares. Without `of` the value is passed
    by name when the row is inserted or, if `is_later`, set by an UPDATE. `since` is the journal version that added it.
    """

    name: str
    kind: str
    of: Callable[[Verdict], Value] | None = None
    is_later: bool = False
    since: int = 1


class Index(NamedTuple):
    """An index: its name, the columns that it covers, and the journal version that added it."""

    name: str
    columns: str
    since: int = 1


@dataclass(frozen=True)
class Table:
    """A table and its indices. If a row matches the SQL condition `unless`, no row is inserted.

    `opening` is how version 1 wrote the definition: readers compare its text.
    """

    name: str
    columns: tuple[Column, ...]
    indices: tuple[Index, ...] = ()
    unless: str = ""
    opening: str = "( "

    def migration(self, version: int) -> Iterator[str]:
        """The statements that migrate this table from the previous version to `version`."""
        added = [column for column in self.columns if column.since == version]
        definitions = [f"{column.name} {column.kind}" for column in added]
        if len(added) < len([column for column in self.columns if column.since <= version]):
            yield from (f"ALTER TABLE {self.name} ADD COLUMN {definition}" for definition in definitions)
        elif added:
            yield f"CREATE TABLE {self.name} {self.opening}{', '.join(definitions)})"
        new = [index for index in self.indices if index.since == version]
        yield from (f"CREATE INDEX {index.name} ON {self.name} ({index.columns})" for index in new)

    @functools.cached_property
    def _entered(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if not column.is_later)

    @functools.cached_property
    def insert(self) -> str:
        """The statement that inserts a row; `entry` returns it with its values."""
        names = ", ".join(column.name for column in self._entered)
        values = ", ".join(f"?{number}" for number in range(1, len(self._entered) + 1))
        unless = f" WHERE NOT EXISTS (SELECT 1 FROM {self.name} WHERE {self.unless})" if self.unless else ""
        return f"INSERT INTO {self.name} ({names}) SELECT {values}{unless}"

    def entry(self, verdict: Verdict | None = None, /, **given: Value) -> tuple[str, tuple[Value, ...]]:
        """`insert` and its values: computed from the verdict, else given by name, else null."""
        made = (
            given.get(column.name) if column.of is None or verdict is None else column.of(verdict)
            for column in self._entered
        )
        return self.insert, tuple(made)

    def read(
        self, journal: sqlite3.Connection, rest: str = "", values: tuple[Value, ...] = ()
    ) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries by column name; a column that an older journal lacks is None, and a table that it lacks
        has no rows. `rest` is the SQL after the FROM clause.
        """
        cursor = journal.cursor()
        cursor.row_factory = None
        there = {name for _, name, *_ in cursor.execute(f"PRAGMA table_info({self.name})")}
        if not there:
            return
        names = [column.name for column in self.columns]
        columns = ", ".join(name if name in there else f"NULL AS {name}" for name in names)
        for row in cursor.execute(f"SELECT {columns} FROM {self.name} {rest}", values):
            yield dict(zip(names, row, strict=True))

    def is_in(self, journal: sqlite3.Connection) -> bool:
        """Whether the journal has this table; one of an earlier version may lack it."""
        known: set[str] = getattr(journal, "known", set())
        if self.name not in known and journal.execute(f"PRAGMA table_info({self.name})").fetchall():
            known.add(self.name)
        return self.name in known

    def has(self, journal: sqlite3.Connection, column: str) -> bool:
        """Whether the journal has this column of the table; one of an earlier version may lack it."""
        cursor = journal.cursor()
        cursor.row_factory = None
        return any(name == column for _, name, *_ in cursor.execute(f"PRAGMA table_info({self.name})"))

    def is_made_of(self, verdict: Any, row: dict[str, Any]) -> bool:
        """Whether the values in a row equal those computed from its verdict. A column added later may be null."""
        return all(
            row[column.name] == column.of(verdict) or (row[column.name] is None and column.since > 1)
            for column in self.columns
            if column.of is not None
        )


def _of_verdict(name: str, kind: str) -> Column:
    return Column(name, kind, attrgetter(name))


def _fields(verdict: Verdict) -> str | None:
    """The free fields as JSON; None without any."""
    return json.dumps(verdict.fields, ensure_ascii=False) if verdict.fields else None


def _added(since: int, **kinds: str) -> tuple[Column, ...]:
    """Columns that a later version added, by name, with their SQL types."""
    return tuple(Column(name, kind, since=since) for name, kind in kinds.items())


_EPOCH, _SEQ, _TIME = (
    Column("epoch", "TEXT NOT NULL"),
    Column("seq", "INTEGER NOT NULL"),
    Column("time", "TEXT NOT NULL"),
)
# (epoch, seq) has no UNIQUE constraint: the audit must be able to find a number that a station published twice.

RUNS = Table(
    "runs",
    (
        _EPOCH,
        Column("boot", "INTEGER NOT NULL"),
        Column("station", "TEXT NOT NULL"),
        Column("source", "TEXT NOT NULL"),
        Column("bundle", "TEXT NOT NULL"),
        Column("started", "TEXT NOT NULL"),
        Column("config", "TEXT NOT NULL"),
        Column("accepted", "INTEGER NOT NULL DEFAULT 0", is_later=True),
        Column("ended", "TEXT", is_later=True),
        Column("cause", "TEXT", is_later=True),
        Column("last_seq", "INTEGER", is_later=True),
    ),
)
VERDICTS = Table(
    "verdicts",
    (
        _of_verdict("epoch", "TEXT NOT NULL"),
        _of_verdict("seq", "INTEGER NOT NULL"),
        _of_verdict("part", "TEXT NOT NULL"),
        _of_verdict("verdict", "TEXT NOT NULL"),
        _of_verdict("reason", "TEXT NOT NULL"),
        _of_verdict("score", "REAL"),
        _of_verdict("threshold", "REAL"),
        _of_verdict("age_ms", "REAL NOT NULL"),
        _of_verdict("time", "TEXT NOT NULL"),
        _of_verdict("backend", "TEXT"),
        Column("json", "TEXT NOT NULL"),
        Column("fields", "TEXT", _fields, since=2),
        Column("kind", "TEXT", attrgetter("kind"), since=7),
    ),
    (Index("verdicts_by_seq", "epoch, seq"), Index("verdicts_by_part", "part")),
)
ACKNOWLEDGEMENTS = Table(
    "acknowledgements",
    (_EPOCH, _SEQ, Column("fate", "TEXT NOT NULL"), Column("client", "TEXT NOT NULL"), _TIME),
    (Index("acknowledgements_by_seq", "epoch, seq"),),
)
LATE_RESULTS = Table(
    "late_results",
    (_EPOCH, _SEQ, Column("score", "REAL"), Column("fault", "TEXT"), _TIME),
    (Index("late_results_by_seq", "epoch, seq"),),
)
LATE_FIELDS = Table(
    "late_fields",
    _added(
        3,
        epoch="TEXT NOT NULL",
        seq="INTEGER NOT NULL",
        name="TEXT NOT NULL",
        text="TEXT NOT NULL",
        time="TEXT NOT NULL",
    ),
    (Index("late_fields_by_seq", "epoch, seq", since=3),),
)
SHADOW_RESULTS = Table(  # what a candidate says of a part; see edge.station.rollout
    "shadow_results",
    _added(
        6,
        epoch="TEXT NOT NULL",
        seq="INTEGER NOT NULL",
        bundle="TEXT NOT NULL",
        outcome="TEXT NOT NULL",
        score="REAL",
        fault="TEXT",
        time="TEXT NOT NULL",
    ),
    (Index("shadow_results_by_seq", "epoch, seq", since=6),),
)
IMAGES = Table(
    "images",
    (
        _EPOCH,
        _SEQ,
        Column("path", "TEXT NOT NULL"),
        Column("sha256", "TEXT NOT NULL"),
        Column("bytes", "INTEGER NOT NULL"),
        _TIME,
        Column("gone", "TEXT", is_later=True),
    ),
    (Index("images_by_seq", "epoch, seq"), Index("images_by_path", "path")),
    unless="path = ?3 AND gone IS NULL",  # a starting archive process reports images that may be in the table
)
EVENTS = Table(
    "events",
    (Column("epoch", "TEXT"), Column("kind", "TEXT NOT NULL"), Column("text", "TEXT NOT NULL"), _TIME),
    opening="(",
)
LOST_RANGES = Table(
    "lost_ranges",
    (
        Column("epoch", "TEXT"),
        Column("lost_from", "INTEGER NOT NULL"),
        Column("lost_to", "INTEGER"),
        Column("accepted", "INTEGER"),
        Column("why", "TEXT NOT NULL"),
        _TIME,
    ),
)

VERDICT_BLOCKS = Table(
    "verdict_blocks",
    # `row` is that of the first verdict; those of the others follow on
    _added(
        4,
        row="INTEGER PRIMARY KEY",
        epoch="TEXT NOT NULL",
        first_seq="INTEGER NOT NULL",
        verdicts="INTEGER NOT NULL",
        first_time="TEXT NOT NULL",
        last_time="TEXT NOT NULL",
        counts="TEXT NOT NULL",
        scores="TEXT NOT NULL",
        ages="TEXT NOT NULL",
        parts="BLOB NOT NULL",
        fields="BLOB NOT NULL",
        sha256="BLOB NOT NULL",
        payload="BLOB NOT NULL",
    ),
    (
        Index("verdict_blocks_by_seq", "epoch, first_seq", since=4),
        Index("verdict_blocks_by_time", "last_time", since=5),
    ),
)
EXPIRED_RUNS = Table(
    "expired_runs",
    _added(
        4,
        epoch="TEXT NOT NULL",
        last_seq="INTEGER NOT NULL",
        last_row="INTEGER NOT NULL",
        last_time="TEXT NOT NULL",
        sha256="BLOB NOT NULL",
    ),
    (Index("expired_runs_by_epoch", "epoch", since=4),),
)
EXPIRED_HOURS = Table(
    "expired_hours",
    _added(
        4,
        hour="TEXT NOT NULL",
        epoch="TEXT NOT NULL",
        reason="TEXT NOT NULL",
        verdicts="INTEGER NOT NULL",
        passed="INTEGER NOT NULL",
    ),
    (Index("expired_hours_by_hour", "hour, epoch, reason", since=4),),
)

EXPIRED_IMAGES = Table(  # how many images were removed of which the journal has no row any more
    "expired_images",
    _added(5, outcome="TEXT NOT NULL", images="INTEGER NOT NULL"),
)

TABLES = (
    RUNS, VERDICTS, ACKNOWLEDGEMENTS, LATE_RESULTS, IMAGES, EVENTS, LOST_RANGES, LATE_FIELDS, VERDICT_BLOCKS,
    EXPIRED_RUNS, EXPIRED_HOURS, EXPIRED_IMAGES, SHADOW_RESULTS,
)  # fmt: skip

VERSION = max(column.since for table in TABLES for column in table.columns)
"""Version of the tables. A journal with a later version is refused."""


def migration(version: int) -> list[str]:
    """The statements that migrate a journal from the previous version to `version`; version 0 has no tables."""
    return [statement for table in TABLES for statement in table.migration(version)]
