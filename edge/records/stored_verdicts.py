"""The verdicts of a journal, whether they are rows of `verdicts` or lie in blocks, and what came of them.

Every reader of verdicts, acknowledgements, late results and late fields uses these functions.
"""

import contextlib
import heapq
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge.records.journal import ForeignJournalError, JournalConnection, has_run
from edge.records.selection import Selection, block_conditions, is_selected, known, row_conditions
from edge.records.tables import (
    ACKNOWLEDGEMENTS,
    EXPIRED_HOURS,
    EXPIRED_IMAGES,
    EXPIRED_RUNS,
    LATE_FIELDS,
    LATE_RESULTS,
    SHADOW_RESULTS,
    VERDICT_BLOCKS,
    VERDICTS,
    Table,
    Value,
)  # fmt: skip
from edge.records.verdict_blocks import (
    MOST_VERDICTS,
    Block,
    Contents,
    is_row,
    named,
    read_blocks,
    unpack,
)  # fmt: skip
from edge.verdict import Verdict

KEPT_OPEN = 4
"""Inflated blocks that a connection keeps."""

Row = dict[str, Any]


class Stored(NamedTuple):
    """A verdict in the journal. `row` ascends in the order of publication over all runs and never changes."""

    row: int
    epoch: str
    seq: int
    text: str
    """The JSON as published."""

    @property
    def verdict(self) -> Verdict:
        """The verdict, validated. Raises ValueError if it breaks the rules of verdicts."""
        return Verdict.model_validate_json(self.text)


def select(
    journal: sqlite3.Connection,
    selection: Selection | None = None,
    *,
    newest_first: bool = False,
    after: int = 0,
    before: int | None = None,
    limit: int | None = None,
) -> Iterator[Stored]:
    """The selected verdicts in order of publication, or the newest first. `after` and `before` are rows, and excluded.

    Reads no more than what is taken. Verdicts in a damaged block are left out, see `gaps`. Raises sqlite3.Error if the
    journal is damaged or not that of a station.
    """
    selection = selection or Selection()
    with one_state(journal):
        blocks = _in_blocks(journal, selection, newest_first, after, before)
        rows = _in_rows(journal, selection, newest_first, after, before)
        merged = heapq.merge(blocks, rows, key=lambda one: one.row, reverse=newest_first)
        yield from itertools.islice(merged, limit)


def _in_rows(
    journal: sqlite3.Connection, selection: Selection, newest_first: bool, after: int, before: int | None
) -> Iterator[Stored]:
    where, values = row_conditions(selection, *known(journal))
    types = "typeof(epoch) = 'text' AND typeof(seq) = 'integer' AND typeof(json) = 'text'"
    select = f"SELECT rowid, epoch, seq, json FROM verdicts WHERE rowid > ? AND rowid < ? AND {types} AND {where}"
    span = (after, 2**63 - 1 if before is None else before)
    for row in _rows(journal, f"{select} ORDER BY rowid {'DESC' if newest_first else 'ASC'}", (*span, *values)):
        yield Stored(*row)


def _in_blocks(
    journal: sqlite3.Connection, selection: Selection, newest_first: bool, after: int, before: int | None
) -> Iterator[Stored]:
    where, values = block_conditions(selection, after, before)
    order = "DESC" if newest_first else "ASC"
    for block in read_blocks(journal, f"WHERE {where} ORDER BY row {order}", values):
        found = readable(journal, block)
        if found is None:
            continue
        late = _late_fields(journal, block, found) if selection.fields else {}
        shadow = _shadow_outcomes(journal, block, found) if selection.flips else {}
        places = range(block.verdicts)
        for place in reversed(places) if newest_first else places:
            row, seq = block.row + place, block.first_seq + place
            is_within = row > after and (before is None or row < before)
            if is_within and is_selected(selection, found.texts[place], seq, late, shadow):
                yield Stored(row, block.epoch, seq, found.texts[place])


def _late_fields(journal: sqlite3.Connection, block: Block, of: Contents) -> dict[int, set[tuple[str, str]]]:
    """Names and texts of the free fields that were known after the verdicts of a block, by their numbers."""
    found: dict[int, set[tuple[str, str]]] = {}
    for row in (*of.beside.get(LATE_FIELDS.name, []), *beside_block(journal, LATE_FIELDS, block)):
        found.setdefault(row["seq"], set()).add((row["name"], row["text"]))
    return found


def _shadow_outcomes(journal: sqlite3.Connection, block: Block, of: Contents) -> dict[int, set[str]]:
    """The outcomes that candidates gave the verdicts of a block, by their numbers."""
    found: dict[int, set[str]] = {}
    for row in (*of.beside.get(SHADOW_RESULTS.name, []), *beside_block(journal, SHADOW_RESULTS, block)):
        found.setdefault(row["seq"], set()).add(row["outcome"])
    return found


# ------------------------------------------------------------------------------------------------- single verdicts


def find(journal: sqlite3.Connection, epoch: str, seq: int) -> Stored | None:
    """The first verdict of the run with this number; None if the journal has none, or only in a damaged block."""
    with one_state(journal):
        types = "typeof(epoch) = 'text' AND typeof(seq) = 'integer' AND typeof(json) = 'text'"
        where = f"epoch = ? AND seq = ? AND {types} ORDER BY rowid LIMIT 1"
        found = [
            Stored(*row)
            for row in _rows(journal, f"SELECT rowid, epoch, seq, json FROM verdicts WHERE {where}", (epoch, seq))
        ]
        for block, (texts, _) in _opened(journal, epoch, seq):
            place = seq - block.first_seq
            found.append(Stored(block.row + place, epoch, seq, texts[place]))
        return min(found, default=None)


def _opened(journal: sqlite3.Connection, epoch: str, seq: int) -> Iterator[tuple[Block, Contents]]:
    """The undamaged blocks that hold this verdict, of those inflated last without reading them again."""
    for key in _holding(journal, epoch, seq):
        opened = journal.opened.get(key) if isinstance(journal, JournalConnection) else None
        if opened is not None:
            yield opened
        for block in () if opened is not None else read_blocks(journal, "WHERE row = ?", key[:1]):
            found = readable(journal, block)
            if found is not None:
                yield block, found


def _holding(journal: sqlite3.Connection, epoch: str, seq: int) -> list[tuple[int, bytes]]:
    """Row and SHA-256 of the blocks that hold this verdict."""
    if not VERDICT_BLOCKS.is_in(journal):
        return []
    where = "epoch = ? AND first_seq > ? AND first_seq <= ? AND first_seq + verdicts > ? ORDER BY row"
    select = f"SELECT row, sha256 FROM verdict_blocks WHERE {where}"
    return [(row, sha256) for row, sha256 in _rows(journal, select, (epoch, seq - MOST_VERDICTS, seq, seq))]


def damaged_block(journal: sqlite3.Connection, epoch: str, seq: int) -> str | None:
    """The damaged block that holds this verdict, in words; None if none does."""
    for row, _ in _holding(journal, epoch, seq):
        for block in read_blocks(journal, "WHERE row = ?", (row,)):
            if readable(journal, block) is None:
                return named(block)
    return None


def why_none(journal: sqlite3.Connection, folder: Path, epoch: str, seq: int) -> str:
    """Why `find` has not found this verdict: there is none, or its block is damaged."""
    if (block := damaged_block(journal, epoch, seq)) is not None:
        return f"{folder}: verdict {seq} of the run {epoch} cannot be read: {block} is damaged"
    return f"{folder} has no verdict {seq} of the run {epoch}"


def last_row(journal: sqlite3.Connection) -> int:
    """Row of the newest verdict; 0 if there was none. Expired verdicts count."""
    ((row,),) = _rows(journal, "SELECT coalesce(max(rowid), 0) FROM verdicts")
    return max(int(row), sealed_to(journal))


def last_seq(journal: sqlite3.Connection, epoch: str) -> int:
    """Number of the last verdict of this run; 0 if there was none. Expired verdicts count."""
    ((seq,),) = _rows(journal, "SELECT coalesce(max(seq), 0) FROM verdicts WHERE epoch = ?", (epoch,))
    newest = _last_of_blocks(journal, "first_seq", "WHERE epoch = ?", (epoch,))
    return max(int(seq), newest, expired_seq(journal, epoch))


def expired_seq(journal: sqlite3.Connection, epoch: str) -> int:
    """Number up to which verdicts of this run expired; 0 if none did."""
    return max((one["last_seq"] for one in expired_runs(journal, "epoch = ?", (epoch,))), default=0)


def expired_row(journal: sqlite3.Connection) -> tuple[int, bytes]:
    """Row of the last verdict that expired, and the SHA-256 of its block; 0 and nothing if none did."""
    return max(((one["last_row"], one["sha256"]) for one in expired_runs(journal)), default=(0, b""))


def expired_runs(journal: sqlite3.Connection, where: str = "1", values: tuple[Value, ...] = ()) -> Iterator[Row]:
    """How far runs have expired; rows of `expired_runs` with values of other types are left out."""
    return (row for row in EXPIRED_RUNS.read(journal, f"WHERE {where}", values) if is_row(EXPIRED_RUNS.columns, row))


def expired_until(journal: sqlite3.Connection) -> str | None:
    """When the last verdict of which only counts are left was published; None if none expired."""
    return max((row["last_time"] for row in expired_runs(journal)), default=None)


def expired_images(journal: sqlite3.Connection) -> int:
    """Number of removed images of which the journal has no row any more."""
    return sum(row["images"] for row in EXPIRED_IMAGES.read(journal) if is_row(EXPIRED_IMAGES.columns, row))


def expired_hours(journal: sqlite3.Connection, where: str = "1", values: tuple[Value, ...] = ()) -> Iterator[Row]:
    """Counts of expired verdicts by hour; rows of `expired_hours` with values of other types are left out."""
    return (row for row in EXPIRED_HOURS.read(journal, f"WHERE {where}", values) if is_row(EXPIRED_HOURS.columns, row))


def sealed_to(journal: sqlite3.Connection) -> int:
    """Row of the last verdict that is or was in a block; 0 if none was."""
    return max(expired_row(journal)[0], _last_of_blocks(journal, "row"))


def _last_of_blocks(journal: sqlite3.Connection, first: str, where: str = "", values: tuple[Value, ...] = ()) -> int:
    """The last number in the block whose column `first` is the highest; 0 without blocks."""
    if not VERDICT_BLOCKS.is_in(journal):
        return 0
    select = f"SELECT CAST({first} AS INTEGER), CAST(verdicts AS INTEGER) FROM verdict_blocks {where}"
    rows = _rows(journal, f"{select} ORDER BY {first} DESC LIMIT 1", values)
    return max((number + verdicts - 1 for number, verdicts in rows), default=0)


def had_row(journal: sqlite3.Connection, row: int, epoch: str, seq: int) -> bool:
    """Whether this verdict has this row, or had it before it expired."""
    there = [*_rows(journal, "SELECT epoch, seq FROM verdicts WHERE rowid = ?", (row,))]
    if VERDICT_BLOCKS.is_in(journal):  # its columns suffice, also of a damaged block
        where = "row > ? AND row <= ? AND row + verdicts > ?"
        sealed = f"SELECT epoch, first_seq + ? - row FROM verdict_blocks WHERE {where}"
        there += _rows(journal, sealed, (row, row - MOST_VERDICTS, row, row))
    if there:
        return (epoch, seq) in there
    return row <= expired_row(journal)[0] and seq <= expired_seq(journal, epoch) and has_run(journal, epoch)


def epochs(journal: sqlite3.Connection) -> set[str]:
    """The runs of which the journal has verdicts."""
    found = {epoch for (epoch,) in _rows(journal, "SELECT DISTINCT epoch FROM verdicts")}
    if VERDICT_BLOCKS.is_in(journal):
        found |= {epoch for (epoch,) in _rows(journal, "SELECT DISTINCT epoch FROM verdict_blocks")}
    return found


def of_run(journal: sqlite3.Connection, epoch: str) -> Iterator[tuple[int, str, Row | None]]:
    """Number, JSON and columns of all verdicts of a run in order of their numbers; without columns if in a block.

    Those of a damaged block are left out.
    """

    def rows() -> Iterator[tuple[int, str, Row | None]]:
        for row in VERDICTS.read(journal, "WHERE epoch = ? ORDER BY seq, rowid", (epoch,)):
            yield row["seq"], row["json"], row

    def sealed() -> Iterator[tuple[int, str, Row | None]]:
        for block in read_blocks(journal, "WHERE epoch = ? ORDER BY first_seq, row", (epoch,)):
            found = readable(journal, block)
            for seq, text in enumerate(found.texts if found else (), block.first_seq):
                yield seq, text, None

    yield from heapq.merge(sealed(), rows(), key=lambda one: one[0])


# ------------------------------------------------------------------------------------------- what came of a verdict


def acknowledgements_of(journal: sqlite3.Connection, epoch: str, seq: int) -> list[Row]:
    """Fate, client and time of each acknowledgement of this verdict, the oldest first."""
    return _beside(journal, ACKNOWLEDGEMENTS, epoch, seq)


def late_results_of(journal: sqlite3.Connection, epoch: str, seq: int) -> list[Row]:
    """Score, fault and time of each result that came after this verdict, the oldest first."""
    return _beside(journal, LATE_RESULTS, epoch, seq)


def late_fields_of(journal: sqlite3.Connection, epoch: str, seq: int) -> list[Row]:
    """Name, text and time of the free fields that were known after this verdict, the oldest first."""
    return _beside(journal, LATE_FIELDS, epoch, seq)


def shadow_results_of(journal: sqlite3.Connection, epoch: str, seq: int) -> list[Row]:
    """Bundle, outcome, score, fault and time of what candidates said of this part, the oldest first."""
    return _beside(journal, SHADOW_RESULTS, epoch, seq)


def _beside(journal: sqlite3.Connection, table: Table, epoch: str, seq: int) -> list[Row]:
    with one_state(journal):
        found: list[Row] = []
        for _, (_, beside) in _opened(journal, epoch, seq):
            found += [row for row in beside.get(table.name, ()) if row["seq"] == seq]
        names = [column.name for column in table.columns if column.name not in ("epoch", "seq")]
        found = [{name: row[name] for name in names} for row in found]
        if table.is_in(journal):
            select = f"SELECT {', '.join(names)} FROM {table.name} WHERE epoch = ? AND seq = ? ORDER BY rowid"
            found += [dict(zip(names, row, strict=True)) for row in _rows(journal, select, (epoch, seq))]
        return found


def beside_block(journal: sqlite3.Connection, table: Table, block: Block) -> Iterator[Row]:
    """Rows of a table that came after the verdicts of this block were sealed."""
    span = (block.epoch, block.first_seq, block.last_seq)
    return table.read(journal, "WHERE epoch = ? AND seq BETWEEN ? AND ? ORDER BY rowid", span)


def acknowledged(journal: sqlite3.Connection) -> Iterator[tuple[str, int, list[Row]]]:
    """Each acknowledged verdict, by epoch and number, with all its acknowledgements, the oldest of them first."""
    has_blocks = VERDICT_BLOCKS.is_in(journal)
    for block in read_blocks(journal, "ORDER BY row"):
        by_seq: dict[int, list[Row]] = {}
        found = readable(journal, block)
        sealed = found.beside.get(ACKNOWLEDGEMENTS.name, []) if found else []
        for row in (*sealed, *beside_block(journal, ACKNOWLEDGEMENTS, block)):
            row.pop("epoch", None)
            by_seq.setdefault(row["seq"], []).append(row)
        yield from ((block.epoch, seq, by_seq[seq]) for seq in sorted(by_seq))
    of_this = "b.epoch = acknowledgements.epoch AND b.first_seq <= seq AND b.first_seq > seq - ? "
    in_block = f"SELECT 1 FROM verdict_blocks b WHERE {of_this} AND b.first_seq + b.verdicts > seq"
    where = f"WHERE NOT EXISTS ({in_block})" if has_blocks else ""
    values = (MOST_VERDICTS,) if has_blocks else ()
    rows = ACKNOWLEDGEMENTS.read(journal, f"{where} ORDER BY epoch, seq, rowid", values)
    for (epoch, seq), some in itertools.groupby(rows, key=lambda row: (row.pop("epoch"), row["seq"])):
        yield epoch, seq, [*some]


def controllers(journal: sqlite3.Connection) -> set[str]:
    """The controllers that acknowledged a part."""
    return {row["client"] for _, _, rows in acknowledged(journal) for row in rows}


# ------------------------------------------------------------------------------------------------------ connections


def contents(journal: sqlite3.Connection, block: Block) -> Contents:
    """The contents of a block. Raises ForeignJournalError if it is not that of a station."""
    if not isinstance(journal, JournalConnection):
        return unpack(block)
    key = (block.row, block.sha256)
    found = journal.opened.pop(key, None) or (block, unpack(block))
    journal.opened[key] = found
    if len(journal.opened) > KEPT_OPEN:
        journal.opened.popitem(last=False)
    return found[1]


def readable(journal: sqlite3.Connection, block: Block) -> Contents | None:
    """The contents of a block; None if it is damaged, which `gaps` tells of then."""
    try:
        return contents(journal, block)
    except ForeignJournalError:
        leave_out(journal, block)
        return None


def leave_out(journal: sqlite3.Connection, block: Block) -> None:
    """Let `gaps` tell of this damaged block."""
    if isinstance(journal, JournalConnection):
        journal.gaps[block.row] = named(block)


def gaps(journal: sqlite3.Connection) -> list[str]:
    """The damaged blocks that were left out of what this connection has read, in words, oldest first."""
    found = journal.gaps if isinstance(journal, JournalConnection) else {}
    return [f"{found[row]} is damaged, and left out" for row in sorted(found)]


@contextlib.contextmanager
def one_state(journal: sqlite3.Connection) -> Iterator[None]:
    """All readings in the context are of one state of a journal that is being written."""
    if journal.in_transaction:
        yield
        return
    journal.execute("BEGIN")
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.Error):
            journal.execute("COMMIT")


def _rows(journal: sqlite3.Connection, sql: str, values: tuple[Value, ...] = ()) -> Iterator[tuple[Any, ...]]:
    cursor = journal.cursor()
    cursor.row_factory = None
    return iter(cursor.execute(sql, values))
