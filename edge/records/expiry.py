"""Retention of the journal: the oldest blocks of verdicts expire, and counts by hour remain for ever."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.channel.control_messages import Fate
from edge.records import LARGEST_JOURNAL
from edge.records.disk_reserve import free_bytes
from edge.records.journal import ForeignJournalError, wall_time
from edge.records.retention import HOLD, misplaced
from edge.records.sealing import AT_ONCE, Statement
from edge.records.selection import time_text
from edge.records.stored_verdicts import beside_block, readable
from edge.records.tables import ACKNOWLEDGEMENTS, EVENTS, EXPIRED_HOURS, EXPIRED_RUNS, VERDICTS, Table
from edge.records.verdict_blocks import BESIDE, Block, Contents, as_said, give_way, minutes_of, named, read_blocks

FREE_PAGES = 512
"""Unused pages that the file keeps for the next rows."""

PAGES_AT_ONCE = 256
"""Pages that are given back to the file system in one transaction."""

MOST_REWRITTEN = 256 * 2**20
"""Bytes in use of a file that is rewritten at the start of a station."""


@dataclass(frozen=True)
class JournalKeeping:
    """How long verdicts are kept in full: while the journal has at most `max_bytes`, and for `max_age_days` days (None:
    for ever). The newest 2000 verdicts, and those of parts with an image on hold, are kept whatever their age.
    """

    max_bytes: int = LARGEST_JOURNAL
    max_age_days: float | None = None


def next_expiry(journal: sqlite3.Connection, folder: Path, keeping: JournalKeeping) -> tuple[Statement, ...]:
    """How the oldest block expires, in one transaction; empty if nothing is too old and the journal is small enough."""
    for block in read_blocks(journal, "ORDER BY row LIMIT 1"):
        if is_too_old(block, keeping) or used_bytes(journal) > keeping.max_bytes:
            return tuple(_expiry(journal, folder, block))
    return ()


def is_too_old(block: Block, keeping: JournalKeeping) -> bool:
    """Whether the last verdict of a block is older than verdicts are kept."""
    if keeping.max_age_days is None:
        return False
    return block.last_time < time_text(datetime.now(UTC) - timedelta(days=min(keeping.max_age_days, 300_000)))


def used_bytes(journal: sqlite3.Connection) -> int:
    """Bytes of the journal that hold something."""
    pages, free, size = (
        journal.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def next_release(journal: sqlite3.Connection) -> tuple[Statement, ...]:
    """How some unused pages are given back to the file system; empty if there are few, or if the file cannot shrink."""
    (kind,), (free,) = (journal.execute(f"PRAGMA {name}").fetchone() for name in ("auto_vacuum", "freelist_count"))
    if kind != 2 or free < FREE_PAGES + PAGES_AT_ONCE:
        return ()
    return (Statement("PRAGMA incremental_vacuum(1)"),) * PAGES_AT_ONCE  # sqlite3 ends the statement after one page


def compact(journal: sqlite3.Connection, folder: Path) -> None:
    """Rewrite a file from before version 4 whose rows now lie in blocks: it becomes small, and can shrink from then on.

    That is one transaction. A file with more than MOST_REWRITTEN bytes in use is left as it is, and so is one that has
    little unused room or that the disk has no room to rewrite. Raises sqlite3.Error, OSError.
    """
    (kind,), (pages,), (free,) = (
        journal.execute(f"PRAGMA {name}").fetchone() for name in ("auto_vacuum", "page_count", "freelist_count")
    )
    used = used_bytes(journal)
    if kind == 2 or free < max(FREE_PAGES, pages // 2) or used > MOST_REWRITTEN or free_bytes(folder) < 4 * used:
        return
    journal.execute("PRAGMA auto_vacuum = INCREMENTAL")
    journal.execute("VACUUM")  # keeps the row numbers of tables that have an index


def _expiry(journal: sqlite3.Connection, folder: Path, block: Block) -> Iterator[Statement]:
    is_damaged = readable(journal, block) is None
    held = set[int]() if is_damaged else held_seqs(journal, folder, block)
    if is_damaged:
        text = f"{named(block)} expired damaged: its counts are those of its columns"
        yield Statement(*EVENTS.entry(epoch=block.epoch, kind="journal", text=text, time=wall_time()), 1)
    yield Statement("DELETE FROM verdict_blocks WHERE row = ? AND sha256 = ?", (block.row, block.sha256), 1)
    span = (block.epoch, block.first_seq, block.last_seq)
    kept = f" AND seq NOT IN ({', '.join(map(str, sorted(held)))})" if held else ""
    for table in BESIDE:
        yield Statement(f"DELETE FROM {table.name} WHERE epoch = ? AND seq BETWEEN ? AND ?{kept}", span)
    yield Statement(f"DELETE FROM images WHERE epoch = ? AND seq BETWEEN ? AND ? AND gone IS NOT NULL{kept}", span)
    yield from _held(journal, block, held)
    yield from _counted(journal, block, held)
    yield from _noted(block)


def held_seqs(journal: sqlite3.Connection, folder: Path, block: Block) -> set[int]:
    """Numbers of the verdicts of a block whose parts have an image on hold."""
    select = "SELECT DISTINCT seq, path FROM images WHERE epoch = ? AND seq BETWEEN ? AND ? AND gone IS NULL"
    images = journal.execute(select, (block.epoch, block.first_seq, block.last_seq))
    return {
        int(seq)
        for seq, path in images
        if misplaced(folder, path) is None and (folder / path).with_suffix(HOLD).exists()
    }


def _held(journal: sqlite3.Connection, block: Block, held: set[int]) -> Iterator[Statement]:
    """The held verdicts become rows again, with their row numbers, and so do the rows beside them."""
    found = readable(journal, block)
    if found is None:
        return  # of a damaged block nothing can be held
    texts, beside = found
    names = ", ".join(("rowid", *(column.name for column in VERDICTS.columns)))
    for seq in sorted(held):
        text, row = texts[seq - block.first_seq], block.row + seq - block.first_seq
        said: Any = as_said(text)
        values = (row, *(text if column.of is None else column.of(said) for column in VERDICTS.columns))
        yield Statement(f"INSERT INTO verdicts ({names}) VALUES ({', '.join('?' * len(values))})", values, 1)
    for table in BESIDE:
        for one in beside.get(table.name, ()):
            if one["seq"] in held:
                yield Statement(*table.entry(epoch=block.epoch, **one), 1)


def _counted(journal: sqlite3.Connection, block: Block, held: set[int]) -> Iterator[Statement]:
    """The verdicts that go are added to the counts of their hour."""
    reasons, passes = Counter[str](), Counter[str]()
    found = readable(journal, block)
    if found is None:
        reasons = _from_columns(block)
    texts, beside = found or Contents([], {})
    acknowledged = (*beside.get(ACKNOWLEDGEMENTS.name, ()), *beside_block(journal, ACKNOWLEDGEMENTS, block))
    passed = {row["seq"] for row in acknowledged if row["fate"] == Fate.PASSED}
    for seq, text in enumerate(texts, block.first_seq):
        if seq % AT_ONCE == 0:
            give_way()
        said = as_said(text)
        if seq not in held and said is not None:
            reasons[said.reason] += 1
            passes[said.reason] += seq in passed
    where = "hour = ? AND epoch = ? AND reason = ?"
    for reason, verdicts in sorted(reasons.items()):
        key = (block.hour, block.epoch, reason)
        yield _unless(EXPIRED_HOURS, where, key, hour=block.hour, epoch=block.epoch, reason=reason)
        add = f"UPDATE expired_hours SET verdicts = verdicts + ?, passed = passed + ? WHERE {where}"
        yield Statement(add, (verdicts, passes[reason], *key), 1)


def _from_columns(block: Block) -> Counter[str]:
    """The verdicts of a damaged block by reason, as its columns count them; none if these are damaged, too."""
    found = Counter[str]()
    with contextlib.suppress(ForeignJournalError):
        for reasons in minutes_of(block).values():
            found.update(reasons)
    return found


def _noted(block: Block) -> Iterator[Statement]:
    """How far the verdicts of this run have expired."""
    start = {"epoch": block.epoch, "last_seq": 0, "last_row": 0, "last_time": ""}
    yield _unless(EXPIRED_RUNS, "epoch = ?", (block.epoch,), **start, sha256=b"")
    change = "UPDATE expired_runs SET last_seq = ?, last_row = ?, last_time = ?, sha256 = ? WHERE epoch = ?"
    yield Statement(change, (block.last_seq, block.last_row, block.last_time, block.sha256, block.epoch), 1)


def _unless(table: Table, where: str, key: tuple[str, ...], **given: Any) -> Statement:
    """Insert a row unless one matches `where` with the values `key`; numbers that are not given are 0."""
    columns = {column.name: given.get(column.name, 0) for column in table.columns}
    select = f"SELECT {', '.join('?' * len(columns))} WHERE NOT EXISTS (SELECT 1 FROM {table.name} WHERE {where})"
    return Statement(f"INSERT INTO {table.name} ({', '.join(columns)}) {select}", (*columns.values(), *key))


def next_tidying(journal: sqlite3.Connection) -> tuple[Statement, ...]:
    """How the rows of images go that were removed after their verdicts had expired; empty if there are none."""
    of_these = "e.epoch = images.epoch AND e.last_seq >= images.seq"
    expired = f"gone IS NOT NULL AND EXISTS (SELECT 1 FROM expired_runs e WHERE {of_these})"
    (there,) = journal.execute(f"SELECT EXISTS (SELECT 1 FROM images WHERE {expired})").fetchone()
    return (Statement(f"DELETE FROM images WHERE {expired}"),) if there else ()
