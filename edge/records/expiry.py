"""Retention of the journal: the oldest blocks of verdicts expire, and counts by hour remain for ever."""

import contextlib
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from edge.channel.control_messages import Fate
from edge.records import LARGEST_JOURNAL
from edge.records.disk_reserve import free_bytes
from edge.records.journal import ForeignJournalError, wall_time
from edge.records.retention import HOLD, misplaced, outcome_of_image
from edge.records.sealing import AT_ONCE, Statement
from edge.records.selection import time_text
from edge.records.stored_verdicts import beside_block, one_state, readable
from edge.records.tables import (
    ACKNOWLEDGEMENTS,
    EVENTS,
    EXPIRED_HOURS,
    EXPIRED_IMAGES,
    EXPIRED_RUNS,
    VERDICT_BLOCKS,
    VERDICTS,
    Table,
    Value,
)
from edge.records.verdict_blocks import BESIDE, Block, Contents, as_said, give_way, minutes_of, named, read_blocks

FREE_PAGES = 512
"""Unused pages that the file keeps for the next rows."""

PAGES_AT_ONCE = 256
"""Pages that are given back to the file system in one transaction."""

EARLIEST = "2020"
"""Times before this year are those of a clock that was not set."""

TIDIED_AT_ONCE = 1000
"""Rows of removed images that one transaction takes away."""

MOST_REWRITTEN = 256 * 2**20
"""Bytes in use of a file that is rewritten at the start of a station."""


@dataclass(frozen=True)
class JournalKeeping:
    """How long verdicts are kept in full: while the journal has at most `max_bytes`, and for `max_age_days` days (None:
    for ever). The newest 2000 verdicts, and those of parts with an image on hold, are kept whatever their age.
    """

    max_bytes: int = LARGEST_JOURNAL
    max_age_days: float | None = None


class Expiry(NamedTuple):
    """How a block expires, in one transaction; without statements nothing expires. `free` are the images that were not
    on hold: the transaction must not be committed if one of them is now.
    """

    statements: tuple[Statement, ...] = ()
    free: tuple[tuple[Path, str], ...] = ()

    def is_valid(self) -> bool:
        """Whether no image of the block was put on hold since; also no if that cannot be told. Reads each folder of
        images once: the station's writer waits for it.
        """
        holds = defaultdict[Path, set[str]](set)
        for folder, path in self.free:
            hold = (folder / path).with_suffix(HOLD)
            holds[hold.parent].add(hold.name)
        return not any(_has_any(within, names) for within, names in holds.items())


def _has_any(folder: Path, names: set[str]) -> bool:
    """Whether a folder has a file with one of these names; also if it cannot be read, unless it is missing."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.name in names for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def next_expiry(journal: sqlite3.Connection, folder: Path, keeping: JournalKeeping) -> Expiry:
    """How the oldest block expires; without statements if nothing is too old and the journal is small enough.

    Looks for holds between two transactions: it may take long, and a transaction that reads keeps the log long.
    """
    with one_state(journal):
        block = next(iter(read_blocks(journal, "ORDER BY row LIMIT 1")), None)
        if block is None or not (is_too_old(journal, keeping) or used_bytes(journal) > keeping.max_bytes):
            return Expiry()
        images = _images(journal, block)
    held = {seq for seq, path in images if is_held(folder, path)}
    with one_state(journal):
        statements = tuple(_expiry(journal, block, held))
    free = [(folder, path) for seq, path in images if seq not in held]
    return Expiry(statements, tuple(one for one in free if misplaced(*one) is None))  # others cannot be on hold


def is_too_old(journal: sqlite3.Connection, keeping: JournalKeeping) -> bool:
    """Whether the verdicts of the oldest block are older than verdicts are kept, by the station's clock.

    A block of a time at which no station can have written it says nothing of its age: the next one decides.
    """
    if keeping.max_age_days is None:
        return False
    now = datetime.now(UTC)
    between = "+last_time BETWEEN ? AND ?"  # the plus: in the order of the rows, of which mostly the first one decides
    plausible = f"SELECT last_time FROM {VERDICT_BLOCKS.name} WHERE {between} ORDER BY row LIMIT 1"
    found = journal.execute(plausible, (EARLIEST, time_text(now + timedelta(days=1)))).fetchone()
    limit = time_text(now - timedelta(days=min(keeping.max_age_days, 300_000)))
    return found is not None and bool(found[0] < limit)


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


def _expiry(journal: sqlite3.Connection, block: Block, held: set[int]) -> Iterator[Statement]:
    if readable(journal, block) is None:
        held = set()
        text = f"{named(block)} expired damaged: its counts are those of its columns"
        yield Statement(*EVENTS.entry(epoch=block.epoch, kind="journal", text=text, time=wall_time()), 1)
    yield Statement("DELETE FROM verdict_blocks WHERE row = ? AND sha256 = ?", (block.row, block.sha256), 1)
    span = (block.epoch, block.first_seq, block.last_seq)
    kept = f" AND seq NOT IN ({', '.join(map(str, sorted(held)))})" if held else ""
    for table in BESIDE:
        yield Statement(f"DELETE FROM {table.name} WHERE epoch = ? AND seq BETWEEN ? AND ?{kept}", span)
    yield from _tidied(journal, f"epoch = ? AND seq BETWEEN ? AND ?{kept}", span)
    yield from _held(journal, block, held)
    yield from _counted(journal, block, held)
    yield from _noted(block)


def is_held(folder: Path, path: str) -> bool:
    """Whether the image at `path`, relative to the records' folder, is on hold."""
    return misplaced(folder, path) is None and (folder / path).with_suffix(HOLD).exists()


def _images(journal: sqlite3.Connection, block: Block) -> list[tuple[int, str]]:
    """The kept images of a block's verdicts: their numbers and paths."""
    select = "SELECT DISTINCT seq, path FROM images WHERE epoch = ? AND seq BETWEEN ? AND ? AND gone IS NULL"
    images = journal.execute(select, (block.epoch, block.first_seq, block.last_seq)).fetchall()
    return [(int(seq), str(path)) for seq, path in images]


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
    """How rows of images go that were removed after their verdicts had expired; empty if there are none."""
    of_these = "e.epoch = images.epoch AND e.last_seq >= images.seq"
    return tuple(_tidied(journal, f"EXISTS (SELECT 1 FROM expired_runs e WHERE {of_these})"))


def _tidied(journal: sqlite3.Connection, where: str, values: tuple[Value, ...] = ()) -> Iterator[Statement]:
    """The rows of some removed images go, and their numbers by outcome stay."""
    select = f"SELECT rowid, path FROM images WHERE gone IS NOT NULL AND {where} ORDER BY rowid LIMIT {TIDIED_AT_ONCE}"
    found = journal.execute(select, values).fetchall()
    if not found:
        return
    rows = ", ".join(str(int(row)) for row, _ in found)
    yield Statement(f"DELETE FROM images WHERE rowid IN ({rows}) AND gone IS NOT NULL", rows=len(found))
    for outcome, images in sorted(Counter(outcome_of_image(path) for _, path in found).items()):
        yield _unless(EXPIRED_IMAGES, "outcome = ?", (outcome,), outcome=outcome)
        yield Statement("UPDATE expired_images SET images = images + ? WHERE outcome = ?", (images, outcome), 1)
