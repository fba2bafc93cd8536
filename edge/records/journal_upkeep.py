"""The thread that keeps the journal small: it prepares what the writer's thread carries out, a block at a time."""

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

from edge.errors import RecordsError
from edge.records.expiry import JournalKeeping, next_expiry, next_release, next_tidying
from edge.records.journal import open_to_read
from edge.records.journal_writer import Upkeep, Writer
from edge.records.sealing import NEWEST, Statement, next_sealing
from edge.records.stored_verdicts import one_state

IDLE_S = 2.0
"""Interval of looks for something to do."""

PAUSE_S = 0.05
"""Least pause between two blocks, which are 5000 verdicts a second at most."""

TROUBLE_S = 30.0
"""Pause after something failed."""

TIDY_EVERY_S = 3600.0


class JournalUpkeep(threading.Thread):
    """Seals rows into blocks, lets blocks expire, and gives unused pages back to the file system.

    It reads with a connection of its own, and waits for each transaction. `trouble` says what failed last, in words;
    None after a success.
    """

    def __init__(self, folder: Path, writer: Writer, keeping: JournalKeeping, newest: int = NEWEST) -> None:
        """`newest` verdicts stay rows. Nothing is read before `start`."""
        super().__init__(name="edge-upkeep", daemon=True)
        self.trouble: str | None = None
        self._folder, self._writer, self._keeping, self._newest = folder, writer, keeping, newest
        self._stopped = threading.Event()
        self._after = self._opening = 0
        self._tidy_due = time.monotonic() + TIDY_EVERY_S

    def stop(self) -> None:
        """End the thread before its next step. Does not wait."""
        self._stopped.set()

    def run(self) -> None:
        """Tend the journal until `stop`."""
        pause_s = IDLE_S
        while not self._stopped.wait(pause_s):
            begun = time.monotonic()
            try:
                pause_s = self._turn()
            except Exception as error:  # any error: the journal grows, and the line goes on
                self.trouble = f"older verdicts of the journal are not compressed or removed: {error}"
                pause_s = TROUBLE_S
            pause_s = max(pause_s, time.monotonic() - begun)

    def _turn(self) -> float:
        """Do one step. Returns the pause until the next one."""
        if not self._writer.is_writing:
            self._after = 0  # the journal may be another one then
            return IDLE_S
        with contextlib.suppress(RecordsError, FileNotFoundError):  # removed: the writer says so
            upkeep = self._next()
            if upkeep is None:
                return IDLE_S
            self._carry_out(upkeep)
        return PAUSE_S

    def _next(self) -> Upkeep | None:
        with self._writer.reading, contextlib.ExitStack() as until:
            if self._stopped.is_set():
                return None
            if self._opening != self._writer.openings:  # the journal may be another one
                self._opening, self._after = self._writer.openings, 0
            journal = until.enter_context(contextlib.closing(open_to_read(self._folder)))
            with one_state(journal):
                if statements := self._sealing(journal) or self._tidying(journal):
                    return Upkeep(statements, self._opening)
            expiry = next_expiry(journal, self._folder, self._keeping)
            if expiry.statements:
                return Upkeep(expiry.statements, self._opening, expiry.is_valid)
            release = next_release(journal)
            return Upkeep(release, self._opening) if release else None

    def _sealing(self, journal: sqlite3.Connection) -> tuple[Statement, ...]:
        sealing = next_sealing(journal, self._after, self._newest)
        while sealing is not None and not sealing.statements:
            self._after = sealing.to
            sealing = next_sealing(journal, self._after, self._newest)
        if sealing is None:
            return ()
        self._after = sealing.to
        return sealing.statements

    def _tidying(self, journal: sqlite3.Connection) -> tuple[Statement, ...]:
        if time.monotonic() < self._tidy_due:
            return ()
        tidying = next_tidying(journal)
        if not tidying:  # otherwise there may be more
            self._tidy_due = time.monotonic() + TIDY_EVERY_S
        return tidying

    def _carry_out(self, upkeep: Upkeep) -> None:
        """Let the writer's thread execute the statements. Raises sqlite3.Error if it could not."""
        self._writer.tend(upkeep)
        while not upkeep.is_over.wait(IDLE_S):
            if self._stopped.is_set():
                return
        if upkeep.trouble is not None:
            self._after = 0
            raise sqlite3.OperationalError(upkeep.trouble)
        self.trouble = None
