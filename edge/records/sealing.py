"""Sealing: rows of verdicts, and the rows beside them, are moved into compressed blocks."""

import sqlite3
from types import SimpleNamespace
from typing import Any, NamedTuple

from edge.records.journal import ForeignJournalError
from edge.records.stored_verdicts import expired_row, sealed_to
from edge.records.tables import VERDICT_BLOCKS, VERDICTS, Table, Value
from edge.records.verdict_blocks import (
    BESIDE,
    MOST_BYTES,
    MOST_VERDICTS,
    Contents,
    Rows,
    as_said,
    can_be_sealed,
    give_way,
    is_row,
    names_of,
    pack,
    unpack,
)

NEWEST = 2000
"""Verdicts that stay rows: an acknowledgement that comes within so many verdicts goes into the block."""

AT_ONCE = 10
"""Rows that are checked, 0.3 ms, before other threads of the station get their turn."""


class Statement(NamedTuple):
    """An SQL statement with its values. `rows`: how many rows it changes; if it changes others, the journal is not what
    was read. None: any number.
    """

    sql: str
    values: tuple[Value, ...] = ()
    rows: int | None = None


class Sealing(NamedTuple):
    """What is to be done in one transaction; `to` is the last row that was looked at. Without statements: nothing."""

    statements: tuple[Statement, ...]
    to: int


def next_sealing(journal: sqlite3.Connection, after: int = 0, newest: int = NEWEST) -> Sealing | None:
    """How the oldest rows after the row `after` become a block; None while there are too few of them.

    The newest rows stay. So do rows that do not follow from their JSON, which only damage can cause.
    """
    after = max(after, sealed_to(journal))
    (top,) = journal.execute("SELECT coalesce(max(rowid), 0) FROM verdicts").fetchone()
    names = ", ".join(column.name for column in VERDICTS.columns)
    select = f"SELECT rowid, {names} FROM verdicts WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
    found = journal.execute(select, (after, top - newest, MOST_VERDICTS)).fetchall()
    if len(found) < MOST_VERDICTS and _is_one_piece(found):
        return None
    rows, texts, said, size = list[int](), list[str](), list[SimpleNamespace](), 0
    is_cut, skipped = len(found) == MOST_VERDICTS, 0
    for number, (row, *values) in enumerate(found):
        if number % AT_ONCE == 0:
            give_way()
        columns = dict(zip((column.name for column in VERDICTS.columns), values, strict=True))
        one = as_said(columns["json"]) if isinstance(columns["json"], str) else None
        if not can_be_sealed(columns, one):
            if not rows:
                skipped = row
                continue
            is_cut = True
            break
        assert one is not None
        size += len(columns["json"].encode())
        if rows and (row != rows[-1] + 1 or size > MOST_BYTES or not _follows(said[-1], one)):
            is_cut = True
            break
        rows.append(row)
        texts.append(columns["json"])
        said.append(one)
    if not rows and skipped:
        return Sealing((), skipped)
    if not rows or not is_cut:
        return None
    return _sealing(journal, rows, texts, said)


def _is_one_piece(found: list[tuple[Any, ...]]) -> bool:
    """Whether rows that do not fill a block are of one run and one hour, without a gap: more will follow them."""
    if not found:
        return True
    places = [column.name for column in VERDICTS.columns]
    epoch, seq, time = (1 + places.index(name) for name in ("epoch", "seq", "time"))
    first, last = found[0], found[-1]
    if not (isinstance(first[seq], int) and isinstance(last[seq], int)):
        return False
    is_same = first[epoch] == last[epoch] and str(first[time])[:13] == str(last[time])[:13]
    return is_same and last[seq] - first[seq] == last[0] - first[0] == len(found) - 1


def _follows(before: SimpleNamespace, one: SimpleNamespace) -> bool:
    """Whether a verdict may follow another one in a block."""
    return (one.epoch, one.seq, one.time[:13]) == (before.epoch, before.seq + 1, before.time[:13])


def _sealing(journal: sqlite3.Connection, rows: list[int], texts: list[str], said: list[SimpleNamespace]) -> Sealing:
    epoch, first, last = said[0].epoch, said[0].seq, said[-1].seq
    beside: Rows = {}
    deletions: list[Statement] = []
    for table in BESIDE:
        of_these = _beside(journal, table, epoch, first, last)
        if of_these is not None:
            beside[table.name] = [row for _, row in of_these]
            numbers = tuple(number for number, _ in of_these)
            deletion = f"DELETE FROM {table.name} WHERE epoch = ? AND seq BETWEEN ? AND ? AND rowid <= ?"
            deletions.append(Statement(deletion, (epoch, first, last, max(numbers)), len(numbers)))
    block = pack(rows[0], texts, said, beside, last_sha256(journal))
    give_way()
    try:
        is_whole = unpack(block) == Contents(texts, beside)
    except ForeignJournalError:
        is_whole = False
    if not is_whole:
        return Sealing((), rows[-1])  # these stay rows: a reader could not get them back from the block
    deletions.append(Statement("DELETE FROM verdicts WHERE rowid BETWEEN ? AND ?", (rows[0], rows[-1]), len(rows)))
    return Sealing((Statement(*block.entry(), 1), *deletions), rows[-1])


def _beside(
    journal: sqlite3.Connection, table: Table, epoch: str, first: int, last: int
) -> list[tuple[int, dict[str, Any]]] | None:
    """Rows of a table beside these verdicts, with their numbers; None without any, or if a value has another type."""
    names = names_of(table.columns)
    select = (
        f"SELECT rowid, {', '.join(names)} FROM {table.name} WHERE epoch = ? AND seq BETWEEN ? AND ? ORDER BY rowid"
    )
    found = [
        (number, dict(zip(names, row, strict=True)))
        for number, *row in journal.execute(select, (epoch, first, last)).fetchall()
    ]
    if not found or len(found) > 20 * MOST_VERDICTS or not all(is_row(table.columns, row) for _, row in found):
        return None
    return found


def last_sha256(journal: sqlite3.Connection) -> bytes:
    """SHA-256 of the newest block, also if that has expired; empty if there was none."""
    newest = journal.execute(f"SELECT sha256 FROM {VERDICT_BLOCKS.name} ORDER BY row DESC LIMIT 1").fetchone()
    return bytes(newest[0]) if newest else expired_row(journal)[1]
