"""The decisions on disk: `reviews.db`, an SQLite file beside the journal, whose rows are only added.

The journal has one writer, the station; decisions therefore have a file of their own. Several processes may write it:
each addition is one transaction that is on disk when it returns. The file keeps SQLite's rollback journal, so that
between two additions it is one file, which a copy of the folder has whole.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.errors import RecordsError
from edge.files import is_hollow
from edge.records.durable_files import open_private
from edge.records.journal import wall_time, why_unread
from edge.review.decisions import Choice, Decision, Judged, ReviewError, Way
from edge.verdict import Outcome

REVIEWS = "reviews.db"

VERSION = 1

WAIT_S = 10.0
"""How long an addition waits for that of another process."""

MOST_VALUE = 2**16
"""Bytes of a value; a comment has a few hundred."""

COLUMNS = (
    "id", "time", "person", "station", "epoch", "seq", "part", "choice", "way", "comment", "takes_back", "outcome",
    "score", "threshold", "bundle", "backend", "published", "every",
)  # fmt: skip

SCHEMA = (
    "CREATE TABLE decisions (id INTEGER PRIMARY KEY, time TEXT NOT NULL, person TEXT NOT NULL, station TEXT NOT NULL, "
    "epoch TEXT NOT NULL, seq INTEGER NOT NULL, part TEXT NOT NULL, choice TEXT, way TEXT NOT NULL, "
    "comment TEXT NOT NULL, takes_back INTEGER, outcome TEXT NOT NULL, score REAL, threshold REAL, "
    "bundle TEXT NOT NULL, backend TEXT, published TEXT NOT NULL, every INTEGER NOT NULL) STRICT",
    "CREATE INDEX decisions_by_verdict ON decisions (epoch, seq)",
    "CREATE INDEX decisions_by_part ON decisions (part)",
    "CREATE UNIQUE INDEX decisions_taken_back ON decisions (takes_back)",
    "CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions "
    "BEGIN SELECT RAISE(ABORT, 'decisions are only added'); END",
    "CREATE TRIGGER decisions_are_not_deleted BEFORE DELETE ON decisions "
    "BEGIN SELECT RAISE(ABORT, 'decisions are only added'); END",
)


def read(folder: Path, where: str = "1", values: tuple[str | int, ...] = ()) -> list[Decision]:
    """The rows that match the SQL condition, oldest first; empty without a file. Raises ReviewError."""
    with _opened(folder, None) as file:
        return [] if file is None else _rows(file, where, values)


def add(folder: Path, make: Callable[[Callable[..., list[Decision]]], dict[str, Any]]) -> Decision:
    """Add one row in a transaction of its own; it is on disk when this returns.

    `make` is called within the transaction with a function that reads rows as `read` does, and returns the row's
    columns without id and time. What it raises passes, and nothing is added. Raises ReviewError if the file cannot be
    written.
    """
    _make_private(folder)
    with _opened(folder, "BEGIN IMMEDIATE") as file:
        assert file is not None
        row = make(lambda where, values: _rows(file, where, values)) | {"time": wall_time()}
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        made = file.execute(f"INSERT INTO decisions ({names}) VALUES ({marks})", tuple(row.values()))
        number = int(made.lastrowid or 0)
        file.execute("COMMIT")
        return _rows(file, "id = ?", (number,))[0]


def _make_private(folder: Path) -> None:
    """Create the file with mode 0600 if it is missing, as the folder's owner: root may review a station's record."""
    path = folder / REVIEWS
    if not folder.is_dir():
        raise ReviewError(f"{folder}: no such folder; give the folder that edge-run --records wrote")
    if os.path.lexists(path):
        return
    try:
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT)
        try:
            owner = folder.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ReviewError(f"{path} cannot be written ({error.strerror}); run as the user of the station") from error


@contextlib.contextmanager
def _opened(folder: Path, begin: str | None) -> Iterator[sqlite3.Connection | None]:
    """The checked file, in a transaction if `begin` is given; None if there is none and nothing is to be written."""
    path = (folder / REVIEWS).absolute()
    if begin is None and _is_missing(path):
        yield None
        return
    _check_file(path)
    try:
        with contextlib.closing(_connected(path, begin is not None)) as file:
            file.execute(begin or "BEGIN")
            version = _checked_version(file, path)
            if version == 0 and begin is None:
                yield None
                return
            if version == 0:
                for statement in SCHEMA:
                    file.execute(statement)
                file.execute(f"PRAGMA user_version = {VERSION}")
            yield file
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            remedy = "run as the user of the station"
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            remedy = "another program holds it; try again"
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            remedy = "make room on the disk, or check it, and try again"
        else:
            remedy = "move it aside to begin a new one"
        what = "cannot be read" if begin is None else "cannot be written"
        raise ReviewError(f"{path} {what}: {why_unread(error)}; {remedy}") from error


def _is_missing(path: Path) -> bool:
    try:
        return path.lstat().st_size == 0 and not os.path.lexists(f"{path}-journal")
    except FileNotFoundError:
        return True
    except PermissionError as error:
        raise RecordsError(f"{path.parent} is not for this user to read; run as the user of the station") from error


def _check_file(path: Path) -> None:
    """Raise ReviewError if the file or the one that SQLite makes beside it is a link, a device, or hollow."""
    for one in (path, path.with_name(f"{path.name}-journal")):
        with contextlib.suppress(FileNotFoundError):
            status = one.lstat()
            if not stat.S_ISREG(status.st_mode) or is_hollow(status):
                raise ReviewError(f"{one} is no regular file; remove it, or give the folder that edge-run wrote")


def _connected(path: Path, writes: bool) -> sqlite3.Connection:
    """A connection that trusts nothing in the file: readers open it for writing too, where they may, so that SQLite
    can take back an addition that was killed.
    """
    mode = "rw" if writes or (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)) else "ro"
    file = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=WAIT_S)
    try:
        for limit, most in ((sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE), (sqlite3.SQLITE_LIMIT_ATTACHED, 0)):
            file.setlimit(limit, most)
        file.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1)
        file.execute("PRAGMA trusted_schema = OFF")
        file.execute("PRAGMA cell_size_check = ON")
        file.execute("PRAGMA synchronous = EXTRA")  # the removal of the rollback journal is on disk, too
    except BaseException:
        file.close()
        raise
    return file


def _checked_version(file: sqlite3.Connection, path: Path) -> int:
    """The file's version, 0 without tables. Raises ReviewError if no program of this version can have written it."""
    found = file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 100").fetchall()
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise ReviewError(f"{path} is of a later version of this software; read it with that one")
    if found and ({sql for (sql,) in found} != set(SCHEMA) or version != VERSION):
        raise ReviewError(f"{path} has other tables than decisions have; move it aside to begin a new one")
    return int(version) if found else 0


def _rows(file: sqlite3.Connection, where: str, values: tuple[str | int, ...]) -> list[Decision]:
    select = f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE {where} ORDER BY id"
    return [_decision(dict(zip(COLUMNS, row, strict=True))) for row in file.execute(select, values)]


def _decision(row: dict[str, Any]) -> Decision:
    try:
        judged = Judged(
            Outcome(row["outcome"]), row["score"], row["threshold"], row["bundle"], row["backend"], row["published"],
            row["every"],
        )  # fmt: skip
        choice = None if row["choice"] is None else Choice(row["choice"])
        return Decision(
            row["id"], row["time"], row["person"], row["station"], row["epoch"], row["seq"], row["part"], choice,
            Way(row["way"]), row["comment"], row["takes_back"], judged,
        )  # fmt: skip
    except ValueError as error:
        raise ReviewError(f"row {row['id']} of the decisions is not one: {error}") from error
