"""The journal on disk, one SQLite file in WAL mode: opening, migration and checks.

Rows are added, and later moved into blocks (`sealing.py`), which expire (`expiry.py`). Two updates exist: the end of a
run, and the removal of an image. Only the station's writer has a connection that writes; all other connections read.

A reader does not trust a journal, because its sender may have forged it. The reader requires exactly the tables of the
journal's version and values of the columns' types, and limits the steps of queries by the size of the file.
"""

import contextlib
import functools
import os
import sqlite3
import stat
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.errors import DamagedError, RecordsError
from edge.files import is_hollow, sync
from edge.records.durable_files import PRIVATE, open_private
from edge.records.tables import TABLES, VERSION, Table, migration
from edge.text import printable

JOURNAL = "journal.db"

BESIDE = ("", "-wal", "-shm", "-journal")
"""Suffixes of the journal itself and of the files that SQLite creates beside it."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 2**20,  # bytes of a value or a row; a verdict has a few thousand
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}

_STEPS, _STEPS_A_BYTE, _STEPS_AT_ONCE = 2_000_000, 20, 100_000
"""Steps of SQLite's virtual machine that one reader may take: a fixed number and a number per byte, counted in groups.
An audit takes 0.3 steps per byte of the journal.
"""


class JournalConnection(sqlite3.Connection):
    """A connection for reading. `opened` has the blocks of verdicts that were inflated last, by row and SHA-256.
    `known` has names of tables that the journal has. `gaps` has the damaged blocks that readers left out, in words, by
    row.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `sqlite3.connect`."""
        super().__init__(*arguments, **options)
        self.opened: OrderedDict[tuple[int, bytes], Any] = OrderedDict()
        self.known: set[str] = set()
        self.gaps: dict[int, str] = {}


class ForeignJournalError(sqlite3.DatabaseError):
    """An SQLite file that is not a station's journal. The message names the differing table or value."""


IMAGE_GONE = "UPDATE images SET gone = ? WHERE path = ? AND gone IS NULL"
ACCEPTED = "UPDATE runs SET accepted = ? WHERE epoch = ?"
END_RUN = "UPDATE runs SET ended = ?, cause = ?, last_seq = ? WHERE epoch = ?"


def wall_time() -> str:
    """The current UTC time in ISO 8601, with milliseconds. The station decides nothing by it but
    what has become too old to be kept.
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def is_damage(error: Exception) -> bool:
    """Whether an error means that the journal is damaged or foreign, rather than temporarily inaccessible."""
    if isinstance(error, ForeignJournalError | UnicodeDecodeError):  # the latter from SQLite's message
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_to_write(folder: Path) -> tuple[sqlite3.Connection, str | None]:
    """Check, migrate or create the journal in `folder`. Returns its connection and, if a damaged journal was moved
    aside, the new name of that file, else None.

    Reads the whole file. Raises sqlite3.Error or OSError if the journal cannot be opened now, RecordsError if it has a
    later version.
    """
    aside = None
    if not _is_sound(folder):
        aside = _move_aside(folder)
    _make_private(folder)
    connection = _connected(folder)
    try:
        if (version := _version(connection)) < VERSION:
            _migrate(connection, version)
            sync(folder)
    except BaseException:
        connection.close()
        raise
    return connection, aside


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate the tables from `version` to VERSION in one transaction: an interrupted migration changes nothing."""
    connection.execute("BEGIN IMMEDIATE")
    for to in range(version + 1, VERSION + 1):
        for statement in migration(to):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _make_private(folder: Path) -> None:
    """Create the journal with mode 0600 if it is missing, and give its files that mode.

    SQLite creates the files beside the journal with the journal's mode. An existing journal is not opened here: closing
    a descriptor of it releases the POSIX locks that this process holds on it.
    """
    if not (folder / JOURNAL).exists():
        os.close(open_private(folder / JOURNAL, os.O_WRONLY | os.O_CREAT))
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{JOURNAL}{suffix}").chmod(PRIVATE)


def _connected(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / JOURNAL, isolation_level=None, timeout=1.0)
    try:
        _distrust(connection)
        if _size(folder / JOURNAL) == 0:  # in an existing file it would change the header
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_sound(folder: Path) -> bool:
    """Whether the journal is undamaged after SQLite's own recovery from an incomplete write-ahead log."""
    log = folder / f"{JOURNAL}-wal"
    if _size(folder / JOURNAL) == 0:
        return _size(log) == 0
    try:
        with contextlib.closing(_connected(folder)) as connection:
            check_schema(connection, folder / JOURNAL)
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            return False
        raise


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _move_aside(folder: Path) -> str:
    """Rename the damaged journal and its files. The log is renamed first, so that SQLite never applies it to a new
    journal. Returns the new name.
    """
    name = f"journal-damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db"
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{JOURNAL}{suffix}").rename(folder / f"{name}{suffix}")
    sync(folder)
    return name


def has_run(connection: sqlite3.Connection, epoch: str) -> bool:
    """Whether the journal has this run."""
    return connection.execute("SELECT 1 FROM runs WHERE epoch = ?", (epoch,)).fetchone() is not None


def has_image(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the journal lists an image that is not removed at this path, relative to the records' folder."""
    found = connection.execute("SELECT 1 FROM images WHERE path = ? AND gone IS NULL", (path,))
    return found.fetchone() is not None


def wait_for_writer(folder: Path, patience_s: float = 60.0) -> None:
    """Wait until the transaction in which a station may be has ended; writes nothing.

    Raises sqlite3.Error if that takes longer than `patience_s`, or if the journal is not this user's to write.
    """
    uri = f"{(folder / JOURNAL).absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=patience_s)) as connection:
        _distrust(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def open_to_read(folder: Path, beside: int = 0) -> sqlite3.Connection:
    """Open the journal of a running or a stopped station read-only, with a limit of steps, without trusting the file.

    `beside` is the size in bytes of a file that is compared with the journal; it raises the limit of steps.

    Raises RecordsError if there is no journal, if it is not a regular file, or if it has a later version; sqlite3.Error
    if it is damaged or has other tables than a station's.
    """
    path = (folder / JOURNAL).absolute()
    size = _checked_size(folder) + beside
    connection = _reading(f"{path.as_uri()}?mode=ro")
    try:
        try:
            _guard(connection, size)
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:  # read-only folder: SQLite needs immutable=1
            connection.close()
            connection = _reading(f"{path.as_uri()}?immutable=1")
            _guard(connection, size)
        connection.execute("BEGIN")  # version and tables of one state: a station may migrate them at this moment
        check_schema(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _reading(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0, factory=JournalConnection)


def _checked_size(folder: Path) -> int:
    """Size in bytes of the journal and the files beside it. Raises RecordsError if a reader must not open them."""
    size = 0
    for suffix in BESIDE:
        path = folder / f"{JOURNAL}{suffix}"
        try:
            status = path.lstat()
        except PermissionError as error:
            raise RecordsError(f"{folder} is not for this user to read; run as the user of the station") from error
        except OSError:
            status = None
        if status is not None and not stat.S_ISREG(status.st_mode):  # a pipe may never end, a link leads elsewhere
            raise RecordsError(f"{path} is no regular file; give the folder that edge-run --records wrote")
        if status is not None and is_hollow(status):
            raise RecordsError(
                f"{path} says it has {status.st_size} bytes and holds almost none, unlike that of a station"
            )
        if suffix == "" and status is not None and status.st_size == 0:  # SQLite deletes the log of an empty file
            raise DamagedError(f"{path} is empty, 0 bytes: what it held is lost; a station that starts begins it anew")
        if suffix == "" and status is None:
            raise RecordsError(f"{folder} holds no journal; give the folder that edge-run --records wrote")
        size += status.st_size if status is not None else 0
    return size


def _distrust(connection: sqlite3.Connection) -> None:
    """Forbid functions in the file's schema, and check its cells when they are read."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _guard(connection: sqlite3.Connection, size: int) -> None:
    """Limit the steps, value sizes and statements for reading a journal of `size` bytes."""
    left = _STEPS + _STEPS_A_BYTE * size

    def is_too_much() -> bool:
        nonlocal left
        left -= _STEPS_AT_ONCE
        return left < 0

    for limit, most in _LIMITS.items():
        connection.setlimit(limit, most)
    connection.set_progress_handler(is_too_much, _STEPS_AT_ONCE)
    _distrust(connection)


@functools.cache
def _schema(version: int) -> frozenset[tuple[str, str, str]]:
    """Kind, name and definition of all tables and indices in a journal of this version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for to in range(1, version + 1):
            connection.executescript(";".join(migration(to)))
        return _schema_of(connection)


def _version(connection: sqlite3.Connection) -> int:
    """Version of the journal; 0 without tables. Tables without a version, as in a restored dump, have version 1."""
    (has_tables,) = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return max(1, int(version)) if has_tables else 0


def _schema_of(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100").fetchall()
    return frozenset((str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in found)


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse the journal at `path` if no station of this or an earlier version can have written it.

    Raises RecordsError if it has a later version; ForeignJournalError if its tables and indices are not those of its
    version. A file without tables is accepted. A view, a trigger, a generated column or a missing index could make a
    query run without end.
    """
    try:
        if (version := _version(connection)) > VERSION:
            raise RecordsError(f"{path} is of a later version of this software; read it with that one")
        found, expected = _schema_of(connection), _schema(version)
    except UnicodeDecodeError as error:  # SQLite's message contains the undecodable bytes
        raise ForeignJournalError("its list of tables is damaged") from error
    differing = [*sorted(found - expected), *sorted(expected - found)]
    if found and differing:
        kind, name, _ = differing[0]
        raise ForeignJournalError(f"its {printable(kind[:20])} {printable(name[:60])} is not that of a station")


def check_rows(
    journal: sqlite3.Connection, tables: Iterable[Table] = TABLES, where: str = "1", values: tuple[object, ...] = ()
) -> None:
    """Raise ForeignJournalError if a value has another type than its column: SQLite itself accepts any type.

    Only rows that match the SQL condition `where` with its `values` are checked.
    """
    cursor = journal.cursor()
    cursor.row_factory = None
    for table in tables:
        allowed = {
            name: f"('{kind.lower()}')" if is_required else f"('{kind.lower()}', 'null')"
            for _, name, kind, is_required, *_ in cursor.execute(f"PRAGMA table_info({table.name})")
        }
        if not allowed:  # a journal of an earlier version
            continue
        kinds = ", ".join(f"typeof({name})" for name in allowed)
        wrong = " OR ".join(f"typeof({name}) NOT IN {some}" for name, some in allowed.items())
        select = f"SELECT rowid, {kinds} FROM {table.name} WHERE ({where}) AND ({wrong}) LIMIT 1"
        if (row := cursor.execute(select, values).fetchone()) is not None:
            number, *found = row
            named = zip(allowed.items(), found, strict=True)
            name, kind = next((name, kind) for (name, some), kind in named if f"'{kind}'" not in some)
            raise ForeignJournalError(f"row {number} of the table {table.name} has a {kind} as its {name}")


def unread(folder: Path, error: Exception, said: str | None = None) -> RecordsError:
    """What a reader of the journal in `folder` raises because of this error, whose text may be `said`."""
    kind = DamagedError if is_damage(error) else RecordsError
    return kind(f"{folder}: the journal cannot be read: {said or why_unread(error)[:300]}")


def why_unread(error: Exception) -> str:
    """Why a journal cannot be read, as one printable line: SQLite's message may contain unprintable content."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
        return "reading it takes more steps than a journal of its size can need"
    return printable(str(error))


def last_epochs(folder: Path, most: int) -> frozenset[str]:
    """Epochs of the last `most` runs; empty if the journal is unreadable. Raises RecordsError like `open_to_read`."""
    if _size(folder / JOURNAL) == 0:
        return frozenset()
    try:
        with contextlib.closing(open_to_read(folder)) as connection:
            return frozenset(
                str(e) for (e,) in connection.execute("SELECT epoch FROM runs ORDER BY rowid DESC LIMIT ?", (most,))
            )
    except sqlite3.Error:
        return frozenset()


def last_boot(folder: Path) -> int:
    """Largest boot number in the journal; 0 if it is unreadable. Raises RecordsError like `open_to_read`."""
    if _size(folder / JOURNAL) == 0:
        return 0
    try:
        with contextlib.closing(open_to_read(folder)) as connection:
            counted = "SELECT coalesce(max(boot), 0) FROM runs WHERE typeof(boot) = 'integer'"
            (boot,) = connection.execute(counted).fetchone()
            return int(boot)
    except sqlite3.Error:
        return 0
