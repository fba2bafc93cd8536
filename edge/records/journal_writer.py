"""The one thread, with the one connection, that writes the journal."""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from edge.records.disk_reserve import LAST, Reserve, free_bytes, is_full
from edge.records.journal import (
    ACCEPTED,
    END_RUN,
    JOURNAL,
    close_unfinished,
    has_run,
    is_damage,
    open_to_write,
    wall_time,
)
from edge.records.tables import EVENTS, LOST_RANGES, RUNS, Value

COMMIT_EVERY_S = 0.02
MOST_IN_A_COMMIT = 2000
RETRY_S = 0.5

REMOVED = "the journal was removed while it was written"


class Row(NamedTuple):
    """One statement with its values; `seq` is set for a verdict only."""

    sql: str
    values: tuple[Value, ...]
    seq: int | None = None


class End(NamedTuple):
    """How a run ended."""

    cause: str
    last_seq: int


class Writer(threading.Thread):
    """`put` rows from one other thread; all that are there go to disk together, every 20 ms at most.

    A row leaves `backlog` when it is on disk, and is tried again until it is. What goes wrong is said in `trouble`.
    """

    def __init__(self, folder: Path, reserve: Reserve) -> None:
        """Nothing is opened before `start`; then the journal is checked first, while rows gather."""
        super().__init__(name="edge-journal", daemon=True)
        self.durable_seq = 0
        self.accepted = 0
        self.trouble: str | None = None
        self.damage: str | None = None
        self._reserve = reserve
        self._folder = folder
        self._is_open = False
        self._path = folder / JOURNAL
        self._inode = 0
        self._unsaid: str | None = None  # damage that the new journal does not say yet
        self._rows: deque[Row] = deque()
        self._put = self._done = 0
        self._last_seq = 0  # the last one written; beyond durable_seq if rows were lost between
        self._accepted_written = 0
        self._run: Row | None = None
        self._end: End | None = None
        self._wake = threading.Event()
        self._commit_due = 0.0

    @property
    def backlog(self) -> int:
        """Rows that are not on disk yet."""
        return self._put - self._done

    @property
    def is_on_reserve(self) -> bool:
        """True if the disk is so full that the reserve was given up."""
        return self._is_open and not self._reserve.is_whole

    def put(self, row: Row) -> None:
        """Never waits and knows no bound; the caller keeps one."""
        self._put += 1
        self._rows.append(row)
        self._wake.set()

    def finish(self, end: End) -> None:
        """Write what is left and the end of the run, then close the journal."""
        self._end = end
        self._wake.set()

    # ------------------------------------------------------------------------------------------ in the thread

    def run(self) -> None:
        """Until the run's end is written. An error leaves the rows where they are, for another try."""
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
            except Exception as error:  # whatever it is: the thread goes on, and the station hears of it
                journal = self._recover(journal, error)
                if self._end is not None and self._is_full(error):
                    self._reserve.release()
                    break
        self._finish(journal, self._end)

    def _open(self) -> sqlite3.Connection:
        journal, aside = open_to_write(self._folder)
        try:
            if self._run is None:
                close_unfinished(journal)
            if aside is not None:
                self._unsaid = f"the journal was damaged; what it held is in {aside}"
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
        """The first rows of a journal that stands in for another."""
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
        self._wake.wait()
        while self._end is None and (early_s := self._commit_due - time.monotonic()) > 0:
            time.sleep(early_s)
        self._commit_due = time.monotonic() + COMMIT_EVERY_S
        self._wake.clear()
        batch = [self._rows.popleft() for _ in range(min(len(self._rows), MOST_IN_A_COMMIT))]
        if self._rows or self._end is not None:
            self._wake.set()
        return batch

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
        """Make the next try possible; the connection, or None if it must be opened again."""
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
        if code == sqlite3.SQLITE_IOERR:  # SQLite does not always say which
            with contextlib.suppress(OSError):
                return free_bytes(self._folder) < LAST // 4
        return bool(code == sqlite3.SQLITE_FULL)

    def _finish(self, journal: sqlite3.Connection | None, end: End | None) -> None:
        """Write the end of the run, on the last of the reserve if need be."""
        if journal is None or end is None:
            return
        with contextlib.suppress(sqlite3.Error), contextlib.closing(journal):
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
    """Write a row. One that can never be written, and is no verdict, becomes an event: it shall hold up no other."""
    try:
        journal.execute(row.sql, row.values)
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError) as error:
        if row.seq is not None:
            raise
        journal.execute(*EVENTS.entry(kind="journal", text=f"a row was refused: {error}", time=wall_time()))
