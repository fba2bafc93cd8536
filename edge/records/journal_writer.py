"""The thread that writes the journal, with the only connection that writes."""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.records.disk_reserve import LAST, Reserve, free_bytes, is_full
from edge.records.expiry import compact
from edge.records.journal import (
    ACCEPTED,
    END_RUN,
    JOURNAL,
    has_run,
    is_damage,
    open_to_write,
    wall_time,
)
from edge.records.sealing import Statement
from edge.records.stored_verdicts import last_seq
from edge.records.tables import EVENTS, LOST_RANGES, RUNS, Value

COMMIT_EVERY_S = 0.02
PARKED_AFTER_S = 1.0
"""After this long without a row the thread waits until it is woken; before, it looks for rows at each commit's time.
Waking it for a row would take the interpreter from the thread that publishes verdicts.
"""

MOST_IN_A_COMMIT = 2000
RETRY_S = 0.5
READING_S = 1.0
"""How long the end waits until upkeep has closed its connection."""

REMOVED = "the journal was removed while it was written"
DAMAGED = "the journal was damaged"


def is_replacement(text: str) -> bool:
    """Whether the text of an event says that this journal replaces a damaged or removed one."""
    return text.startswith((DAMAGED, REMOVED))


class Row(NamedTuple):
    """One SQL statement with its values; `seq` is set only for a verdict."""

    sql: str
    values: tuple[Value, ...]
    seq: int | None = None


class End(NamedTuple):
    """The end of a run: its cause, and the sequence number of its last verdict."""

    cause: str
    last_seq: int


class Upkeep:
    """Statements that are executed in one transaction between two commits; all of them or none."""

    def __init__(
        self,
        statements: Sequence[Statement],
        opening: int | None = None,
        is_valid: Callable[[], bool] = lambda: True,
    ) -> None:
        """`opening`: the `Writer.openings` for which it was prepared; None for any. `is_valid` is asked before the end
        of the transaction; if it says no, nothing is done. `trouble` says why it was not done, once `is_over` is set;
        None if it was, or if it was not valid any more.
        """
        self.statements, self.opening, self._is_valid = statements, opening, is_valid
        self.is_over = threading.Event()
        self.trouble: str | None = "the run has ended"

    def drop(self) -> None:
        """Do nothing: the journal is not the one for which it was prepared."""
        self.trouble = "the journal was opened again"
        self.is_over.set()

    def carry_out(self, journal: sqlite3.Connection) -> None:
        """Execute the statements; no transaction stays open. Raises sqlite3.Error only if the journal is damaged."""
        try:
            journal.execute("BEGIN IMMEDIATE")
            for sql, values, rows in self.statements:
                cursor = journal.execute(sql, values)
                cursor.fetchall()
                if rows is not None and cursor.rowcount != rows:
                    raise sqlite3.IntegrityError(f"{cursor.rowcount} rows instead of {rows}")
            journal.execute("COMMIT" if self._is_valid() else "ROLLBACK")
            self.trouble = None
        except Exception as error:
            self.trouble = str(error)
            with contextlib.suppress(sqlite3.Error):
                if journal.in_transaction:
                    journal.execute("ROLLBACK")
            if is_damage(error):
                raise
        finally:
            self.is_over.set()


class Writer(threading.Thread):
    """Writes rows that one other thread gives to `put`. A commit, at most every 20 ms, writes all rows that wait.

    A row leaves `backlog` when it is on disk; after an error its write is repeated. `trouble` describes the last error,
    None after a successful commit. `damage` says what was lost if the journal was replaced.
    """

    def __init__(self, folder: Path, reserve: Reserve) -> None:
        """Nothing is opened before `start`. The thread then checks the journal before it writes the first row."""
        super().__init__(name="edge-journal", daemon=True)
        self.durable_seq = 0
        self.accepted = 0
        self.trouble: str | None = None
        self.damage: str | None = None
        self.openings = 0  # of the journal, which may be another one each time
        self._reserve = reserve
        self._folder = folder
        self._is_open = False
        self._path = folder / JOURNAL
        self._inode = 0
        self._unsaid: str | None = None  # damage that is not in the new journal yet
        self._rows: deque[Row] = deque()
        self._put = self._done = 0
        self._last_seq = 0  # of the last written verdict; larger than durable_seq after a gap
        self._accepted_written = 0
        self._run: Row | None = None
        self._end: End | None = None
        self._upkeep: deque[Upkeep] = deque()
        self.reading = threading.Lock()  # held while upkeep has a connection: the last one that closes ends the log
        self._wake = threading.Event()
        self._is_parked = False
        self._commit_due = self._busy_s = 0.0

    @property
    def backlog(self) -> int:
        """Number of rows that are not on disk yet."""
        return self._put - self._done

    @property
    def is_writing(self) -> bool:
        """Whether the journal is open, and rows reach the disk."""
        return self._is_open and self.trouble is None and self._reserve.is_whole and self._end is None

    @property
    def is_on_reserve(self) -> bool:
        """Whether the disk is so full that the reserve was released."""
        return self._is_open and not self._reserve.is_whole

    def put(self, row: Row) -> None:
        """Queue a row. Never waits. The queue has no limit; the caller checks `backlog`."""
        self._put += 1
        self._rows.append(row)
        if self._is_parked:
            self._wake.set()

    def tend(self, upkeep: Upkeep) -> None:
        """Queue upkeep. Never waits; it is carried out when the waiting rows are written, if no run ends before."""
        self._upkeep.append(upkeep)
        self._wake.set()

    def finish(self, end: End) -> None:
        """Write the remaining rows and the end of the run, then close the journal. Does not wait for the thread."""
        self._end = end
        self._wake.set()

    # ----------------------------------------------------------------------------------- called in the thread

    def run(self) -> None:
        """Write rows until the end of the run is written. After an error the same rows are tried again."""
        journal: sqlite3.Connection | None = None
        batch: list[Row] = []
        while True:
            try:
                journal = journal or self._open()
                batch = batch or self._take()
                self._write(journal, batch)
                batch = []
                if self._end is not None and not self._rows:
                    break
                if self._upkeep and self._end is None:
                    self._tend(journal, self._upkeep.popleft())
            except Exception as error:  # any error: the thread continues, and `trouble` has the error
                journal = self._recover(journal, error)
                if self._end is not None and self._is_full(error):
                    self._reserve.release()
                    break
        self._finish(journal, self._end)

    def _tend(self, journal: sqlite3.Connection, upkeep: Upkeep) -> None:
        if upkeep.opening in (None, self.openings):
            upkeep.carry_out(journal)
        else:
            upkeep.drop()

    def _open(self) -> sqlite3.Connection:
        self.openings += 1
        journal, aside = open_to_write(self._folder)
        try:
            if self._run is None:
                close_unfinished(journal)
                with contextlib.suppress(sqlite3.Error, OSError):  # it stays as large as it is
                    compact(journal, self._folder)
            if aside is not None:
                self._unsaid = f"{DAMAGED}; what it held is in {aside}"
            elif self._run is not None and not has_run(journal, str(self._run.values[0])):
                self._unsaid = self._unsaid or REMOVED
            if self._unsaid is not None:
                self._begin_anew(journal, self._unsaid)
                self.damage, self._unsaid = self._unsaid, None
            self._inode = self._path.stat().st_ino
        except BaseException:
            journal.close()
            raise
        self._reserve.renew()
        self._is_open = True
        return journal

    def _begin_anew(self, journal: sqlite3.Connection, damage: str) -> None:
        """Write the first rows of a journal that replaces a damaged or removed one: the run, and what was lost."""
        now, epoch = wall_time(), None
        journal.execute("BEGIN IMMEDIATE")
        if self._run is not None:
            journal.execute(*self._run[:2])
            epoch = self._run.values[0]
        to = self._last_seq if self._run is not None else None
        journal.execute(*LOST_RANGES.entry(epoch=epoch, lost_from=1, lost_to=to, why=damage, time=now))
        journal.execute(*EVENTS.entry(epoch=epoch, kind="journal", text=damage, time=now))
        journal.execute("COMMIT")
        self.durable_seq = 0

    def _take(self) -> list[Row]:
        """The rows of the next commit; none if upkeep is to be done, or the run has ended."""
        while True:
            while self._end is None and (early_s := self._commit_due - time.monotonic()) > 0:
                time.sleep(early_s)
            now = time.monotonic()
            self._commit_due = now + COMMIT_EVERY_S
            batch = [self._rows.popleft() for _ in range(min(len(self._rows), MOST_IN_A_COMMIT))]
            if batch or self._upkeep or self._end is not None:
                self._busy_s = now
                return batch
            if now - self._busy_s > PARKED_AFTER_S:
                self._park()

    def _park(self) -> None:
        """Wait until there is something to do."""
        self._wake.clear()
        self._is_parked = True
        if not self._rows and not self._upkeep and self._end is None:  # what comes from now on wakes the thread
            self._wake.wait()
        self._is_parked = False

    def _write(self, journal: sqlite3.Connection, batch: list[Row]) -> None:
        accepted = self.accepted
        journal.execute("BEGIN IMMEDIATE")
        for row in batch:
            _insert(journal, row)
        if self._run is not None and accepted != self._accepted_written:
            journal.execute(ACCEPTED, (accepted, self._run.values[0]))
        journal.execute("COMMIT")
        if self._path.stat().st_ino != self._inode:
            raise FileNotFoundError(REMOVED)
        self._accepted_written = accepted
        for row in batch:
            if row.sql == RUNS.insert:
                self._run = row
            if row.seq is not None:
                self._last_seq = row.seq
                self.durable_seq += row.seq == self.durable_seq + 1
        self._done += len(batch)
        self.trouble = None
        self._reserve.renew()

    def _recover(self, journal: sqlite3.Connection | None, error: Exception) -> sqlite3.Connection | None:
        """Prepare the next try after an error. Returns the connection, None if it must be opened again."""
        self.trouble = f"the journal cannot be written: {error}"
        if self._is_full(error):
            self.trouble = "the disk is full: verdicts wait to be written to the journal"
        if journal is not None:
            with contextlib.suppress(sqlite3.Error):
                if journal.in_transaction:
                    journal.execute("ROLLBACK")
            if is_damage(error) or isinstance(error, FileNotFoundError):
                with contextlib.suppress(sqlite3.Error):
                    journal.close()
                journal = None
        if not (self._is_full(error) and self._reserve.release(keep=LAST)):
            time.sleep(RETRY_S if self._end is None else COMMIT_EVERY_S)
        return journal

    def _is_full(self, error: Exception) -> bool:
        if isinstance(error, OSError):
            return is_full(error)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR:  # SQLite also reports some full disks so
            with contextlib.suppress(OSError):
                return free_bytes(self._folder) < LAST // 4
        return bool(code == sqlite3.SQLITE_FULL)

    def _finish(self, journal: sqlite3.Connection | None, end: End | None) -> None:
        """Write the end of the run; on a full disk `run` has released the reserve for it."""
        if journal is None or end is None:
            return
        with contextlib.suppress(sqlite3.Error), contextlib.closing(journal):
            self._write_end(journal, end)
            self.reading.acquire(timeout=READING_S)

    def _write_end(self, journal: sqlite3.Connection, end: End) -> None:
        journal.execute("BEGIN IMMEDIATE")
        if self._run is not None:
            epoch, now = self._run.values[0], wall_time()
            if self._last_seq < end.last_seq:
                lost = {"lost_from": self._last_seq + 1, "lost_to": end.last_seq, "accepted": end.last_seq}
                why = "they were not written before the run ended"
                journal.execute(*LOST_RANGES.entry(epoch=epoch, **lost, why=why, time=now))
            journal.execute(ACCEPTED, (self.accepted, epoch))
            journal.execute(END_RUN, (now, end.cause, end.last_seq, epoch))
        journal.execute("COMMIT")


def _insert(journal: sqlite3.Connection, row: Row) -> None:
    """Write a row. A row that SQLite rejects permanently is replaced by an event, unless it is a verdict: otherwise its
    retries would block all later rows.
    """
    try:
        journal.execute(row.sql, row.values)
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError) as error:
        if row.seq is not None:
            raise
        journal.execute(*EVENTS.entry(kind="journal", text=f"a row was refused: {error}", time=wall_time()))


def close_unfinished(connection: sqlite3.Connection) -> None:
    """End each unfinished run, and enter a range of lost verdicts: those it may have published after its last row."""
    unfinished = connection.execute("SELECT epoch, accepted FROM runs WHERE ended IS NULL").fetchall()
    now = wall_time()
    connection.execute("BEGIN IMMEDIATE")
    for epoch, accepted in unfinished:
        last = last_seq(connection, epoch)
        why, at_least = "the run did not end in order", max(accepted, last)
        lost = {"epoch": epoch, "lost_from": last + 1, "accepted": at_least, "why": why, "time": now}
        connection.execute(*LOST_RANGES.entry(**lost))
        connection.execute(END_RUN, (now, why, None, epoch))
    connection.execute("COMMIT")
