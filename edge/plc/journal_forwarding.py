"""The verdicts of the journals for a broker, in their order, with a cursor that says how far the broker has them."""

import contextlib
import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, RecordsError
from edge.plc.settings import BrokerTable
from edge.records.durable_files import write_durably
from edge.records.journal import JOURNAL, open_to_read, wall_time
from edge.records.selection import Selection
from edge.records.stored_verdicts import expired_row, gaps, had_row, one_state, select
from edge.text import counted

MOST_AT_ONCE = 200
"""Verdicts of a station that are read at once."""

BEGINNING: dict[str, Any] = {"rowid": 0, "epoch": "", "seq": 0}


@dataclass(frozen=True)
class Row:
    """A verdict of a journal. `is_backlog`: it was there when the connection was made."""

    text: str
    is_backlog: bool


@dataclass
class _Journal:
    """The journal of a station, and how far it was published."""

    station: str
    records: Path
    at: dict[str, Any] | None  # the last row that the broker has: rowid, epoch, seq
    sent: int = 0
    backlog: int = 0  # last row when the connection was made
    expired: int = 0  # row up to which it was said that verdicts expired before they were sent
    gaps: set[str] = field(default_factory=set)  # damaged blocks that were told of
    under_way: deque[tuple[dict[str, Any], int]] = field(default_factory=deque)  # row and its message's number


class JournalForwarding:
    """Reads the verdicts that a broker does not have yet. `say` is called with a line for people about each failure."""

    def __init__(
        self, stations: list[str], table: BrokerTable, where: str, most: int, say: Callable[[str], None]
    ) -> None:
        """Read the cursor; `where` names the table in errors, `most` verdicts of a station wait for an acknowledgement.

        Raises ConfigError, in one line.
        """
        if strange := sorted(set(table.records) - set(stations)):
            raise ConfigError(f"{where}: records name {strange[0]!r}, which is none of {', '.join(stations)}")
        cursor = _read_cursor(table, where)
        self._cursor, self._most, self._say = table.cursor, most, say
        self.journals = [
            _Journal(station, table.records[station], cursor.get(station))
            for station in stations
            if station in table.records
        ]
        self._acknowledged: deque[int] = deque()
        self._settled: set[int] = set()
        self._begun: str | None = None

    def begin(self) -> None:
        """Without a cursor, what was judged before this moment is history; what comes before the broker does is not."""
        now = wall_time()
        self._for_each(self._begin)
        self._begun = now

    def forward(self, publish: Callable[[str, Row], int | None]) -> None:
        """Give `publish` the stations' rows that follow, as many as may be under way. It returns the number by which
        `acknowledge` is called later, None if the row was not taken.
        """
        self._for_each(lambda journal: self._forward(journal, publish))

    def acknowledge(self, number: int) -> None:
        """The broker has the rows of this number; in any thread."""
        self._acknowledged.append(number)

    def settle(self) -> None:
        """Move the cursors over what the broker has acknowledged, in order."""
        has_moved = False
        while self._acknowledged:
            self._settled.add(self._acknowledged.popleft())
        for journal in self.journals:
            while journal.under_way and journal.under_way[0][1] in self._settled:
                journal.at, has_moved = journal.under_way.popleft()[0], True
        self._settled &= {number for journal in self.journals for _, number in journal.under_way}
        if has_moved:
            self._save()

    def restart(self) -> None:
        """A connection is new: what was not acknowledged is read again, and all that is there now is its backlog."""
        self.settle()
        self._settled.clear()
        self._for_each(self._restart)

    def _for_each(self, do: Callable[[_Journal], None]) -> None:
        for journal in self.journals:
            try:
                do(journal)
            except (sqlite3.Error, RecordsError, OSError) as error:
                self._say(f"{journal.records}: {str(error).splitlines()[0]}")

    def _begin(self, journal: _Journal) -> None:
        """Without a cursor, begin after the last row. If that could not be read at the start, the time of the rows says
        which one it was.
        """
        if journal.at is None:
            journal.at = _last_row(journal.records, self._begun)
            journal.sent = journal.at["rowid"]
            self._save()

    def _restart(self, journal: _Journal) -> None:
        journal.under_way.clear()
        journal.backlog = _last_row(journal.records)["rowid"]

    def _forward(self, journal: _Journal, publish: Callable[[str, Row], int | None]) -> None:
        room = min(MOST_AT_ONCE, self._most - len(journal.under_way))
        if room <= 0:
            return
        self._begin(journal)
        assert journal.at is not None
        with contextlib.closing(open_to_read(journal.records)) as opened:
            if not journal.under_way:
                journal.sent = journal.at["rowid"] if _has(opened, journal.at) else 0  # 0: another journal
            with one_state(opened):
                rows = [*select(opened, after=journal.sent, limit=room)]
                self._say_what_is_missing(journal, opened, [row.row for row in rows], len(rows) < room)
        for rowid, epoch, seq, text in rows:
            number = publish(journal.station, Row(text, rowid <= journal.backlog))
            if number is None:
                return
            journal.under_way.append(({"rowid": rowid, "epoch": epoch, "seq": seq}, number))
            journal.sent = rowid

    def _say_what_is_missing(
        self, journal: _Journal, opened: sqlite3.Connection, rows: Sequence[int], is_all: bool
    ) -> None:
        """Say once of each verdict that cannot be sent that it cannot. `rows` follow on what was sent; `is_all`: no
        others do.
        """
        expired, _ = expired_row(opened)
        start, end = max(journal.sent, journal.expired), expired if is_all else min(expired, rows[-1])
        if missing := end - start - sum(start < row <= end for row in rows) if end > start else 0:
            self._say(f"{journal.records}: {counted(missing, 'verdict')} expired before they were sent")
        journal.expired = max(end, journal.expired)
        for gap in gaps(opened):
            if gap not in journal.gaps:
                journal.gaps.add(gap)
                self._say(f"{journal.records}: {gap}: its verdicts are not sent")

    def _save(self) -> None:
        assert self._cursor is not None
        text = json.dumps({one.station: one.at for one in self.journals if one.at is not None})
        try:
            write_durably({self._cursor: f"{text}\n".encode()})
        except OSError as error:
            self._say(f"{self._cursor} cannot be written: {error.strerror}; make room there")


def _last_row(records: Path, before: str | None = None) -> dict[str, Any]:
    """The last row; with a time, the last one before the first row that is not older."""
    if not (records / JOURNAL).exists():
        return dict(BEGINNING)
    with contextlib.closing(open_to_read(records)) as journal:
        end = None
        if before is not None:
            later = Selection(since=datetime.fromisoformat(before))
            end = next((one.row for one in select(journal, later, limit=1)), None)
        last = next(select(journal, newest_first=True, before=end, limit=1), None)
    return {"rowid": last.row, "epoch": last.epoch, "seq": last.seq} if last else dict(BEGINNING)


def _has(journal: sqlite3.Connection, at: dict[str, Any]) -> bool:
    """Whether the journal is the one that the cursor was made from."""
    return bool(at["rowid"] == 0 or had_row(journal, at["rowid"], at["epoch"], at["seq"]))


def _read_cursor(table: BrokerTable, where: str) -> dict[str, dict[str, Any]]:
    if not table.records:
        return {}
    if table.cursor is None:
        raise ConfigError(f"{where}: records need cursor = FILE, which says how far the broker has them")
    if not os.access(table.cursor.parent, os.W_OK | os.X_OK):
        remedy = "make it, or name a file elsewhere" if not table.cursor.parent.exists() else "it must be writable"
        raise ConfigError(f"{where}: cursor = {table.cursor}: its folder cannot be written; {remedy}")
    try:
        said = json.loads(table.cursor.read_text(encoding="utf-8")) if table.cursor.exists() else {}
        return {
            str(station): {"rowid": int(at["rowid"]), "epoch": str(at["epoch"]), "seq": int(at["seq"])}
            for station, at in said.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{table.cursor} is no cursor of edge-plc; move it away to begin at the present") from error
