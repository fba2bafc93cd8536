"""Blocks of verdicts: the compressed form in which the journal keeps its older verdicts and what came of them.

A block holds consecutive verdicts of one run and one hour. Its payload is deflated text: a line of JSON for each
verdict, as published, and one line with the rows of the tables beside them, column by column. Its other columns are
derived from the payload, so that counts need no decompression and few blocks are opened in a search. `sha256` covers
all columns and the SHA-256 of the block before.
"""

import hashlib
import json
import re
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from types import SimpleNamespace
from typing import Any, NamedTuple

from edge.records.journal import ForeignJournalError
from edge.records.tables import (
    ACKNOWLEDGEMENTS,
    LATE_FIELDS,
    LATE_RESULTS,
    SHADOW_RESULTS,
    VERDICT_BLOCKS,
    VERDICTS,
    Column,
    Value,
)
from edge.verdict import Outcome, Reason

MOST_VERDICTS = 250
"""Verdicts of a block. On verdicts of the demonstration line deflate takes 78 bytes a verdict in blocks of 100, 75.5 in
blocks of 250 and 73 in blocks of 1000; one verdict of 250 is found in a millisecond.
"""

MOST_BYTES = 2**19
"""Bytes of a block's verdicts before compression."""

MOST_UNPACKED = 2**23
"""Bytes to which a reader inflates a payload: the verdicts, and the rows beside them."""

KINDS = "kinds"
"""Key of the counts by kind of defect, beside the minutes."""

LEVEL = 6
"""Of zlib: 10 µs and 76 bytes a verdict; level 1 takes 4 µs and 91 bytes, level 9 17 µs and 74 bytes."""

BESIDE = (ACKNOWLEDGEMENTS, LATE_RESULTS, LATE_FIELDS, SHADOW_RESULTS)
"""Tables whose rows go into the block of their verdict."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", re.ASCII)
_HOUR, _MINUTE = slice(0, 13), slice(14, 16)
_TYPES: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int), "BLOB": (bytes,)}
_OUTCOMES = {Reason.CLEAR: Outcome.GOOD, Reason.DEFECT: Outcome.REJECT}

Rows = dict[str, list[dict[str, Any]]]
"""Rows by the name of their table; each has all columns but the epoch."""


class Contents(NamedTuple):
    """What a block holds: the verdicts as published, in order, and the rows beside them."""

    texts: list[str]
    beside: Rows


@dataclass(frozen=True)
class Block:
    """A row of the table `verdict_blocks`.

    `counts` is JSON: for each minute of the hour, as two digits, how many verdicts had each reason, and under "kinds",
    if a verdict has one, the same for kinds of defects. `scores` and `ages` are JSON: how often each value came,
    rounded to two significant digits. `parts` and `fields` are marks (see `mark`) of the parts' ids and of the free
    fields as NAME=TEXT.
    """

    row: int
    epoch: str
    first_seq: int
    verdicts: int
    first_time: str
    last_time: str
    counts: str
    scores: str
    ages: str
    parts: bytes
    fields: bytes
    sha256: bytes
    payload: bytes

    @property
    def last_row(self) -> int:
        """Row of the last verdict."""
        return self.row + self.verdicts - 1

    @property
    def last_seq(self) -> int:
        """Number of the last verdict in its run."""
        return self.first_seq + self.verdicts - 1

    @property
    def hour(self) -> str:
        """The hour in which all verdicts of the block were published, as 2026-11-29T14."""
        return self.first_time[_HOUR]

    def entry(self) -> tuple[str, tuple[Value, ...]]:
        """The statement that inserts the block, and its values."""
        return VERDICT_BLOCKS.entry(**{column.name: getattr(self, column.name) for column in VERDICT_BLOCKS.columns})


COLUMNS = ", ".join(column.name for column in VERDICT_BLOCKS.columns)
"""The columns in the order of `Block`."""


def mark(text: str) -> bytes:
    """Three bytes of the text's CRC-32. Of 10,000 blocks of 250 marks a search opens one without need."""
    return (zlib.crc32(text.encode(errors="surrogatepass")) & 0xFFFFFF).to_bytes(3, "big")


def outcome_of(reason: Reason) -> Outcome:
    """The outcome to which a reason belongs."""
    return _OUTCOMES.get(reason, Outcome.UNKNOWN)


def as_said(text: str) -> SimpleNamespace | None:
    """The verdict in a JSON text, its keys as attributes and not validated; None if the text is no object."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return SimpleNamespace(**{"fields": None, "kind": None, **said}) if isinstance(said, dict) else None


def can_be_sealed(columns: dict[str, Any], said: SimpleNamespace | None) -> bool:
    """Whether a row of `verdicts` follows from its JSON, so that the JSON suffices. The audit finds the others."""
    text = columns["json"]
    try:
        return (
            said is not None
            and VERDICTS.is_made_of(said, columns)
            and all(type(value) in (str, int, float, type(None)) for value in columns.values())
            and type(said.seq) is int
            and said.seq >= 0
            and "\n" not in text
            and len(text) <= MOST_BYTES // 8
            and f'"reason":"{said.reason}"' in text  # `Selection` looks for this text
            and outcome_of(Reason(said.reason)) == said.verdict
            and _TIME.fullmatch(said.time) is not None
            and (said.score is None or isfinite(said.score))
            and isfinite(said.age_ms)
            and isinstance(said.part, str)
            and isinstance(said.fields, dict | None)
            and isinstance(said.kind, str | None)
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return False


def pack(row: int, texts: Sequence[str], said: Sequence[SimpleNamespace], beside: Rows, previous: bytes) -> Block:
    """The block of these verdicts, of which the first has the row number `row`.

    `said` are the verdicts of `texts`, all of which `can_be_sealed`; `previous` is the SHA-256 of the block before.
    """
    columns = {
        table.name: {name: [one[name] for one in beside[table.name]] for name in names_of(table.columns)}
        for table in BESIDE
        if beside.get(table.name)
    }
    give_way()
    lines = [*texts, json.dumps(columns, ensure_ascii=False, separators=(",", ":"))]
    give_way()
    payload = zlib.compress("\n".join(lines).encode(), LEVEL)
    give_way()
    derived = derive(said, beside)
    give_way()
    first = said[0]
    start = {"row": row, "epoch": first.epoch, "first_seq": first.seq, "verdicts": len(said)}
    block = Block(**start, **derived, sha256=b"", payload=payload)
    return Block(**{**vars(block), "sha256": digest(block, previous)})


def derive(said: Sequence[SimpleNamespace], beside: Rows) -> dict[str, Any]:
    """The columns of a block that follow from its verdicts and the rows beside them."""
    minutes: dict[str, Any] = {}
    kinds: dict[str, Counter[str]] = {}
    for one in said:
        minutes.setdefault(one.time[_MINUTE], Counter())[str(one.reason)] += 1
        if one.kind is not None:
            kinds.setdefault(one.time[_MINUTE], Counter())[one.kind] += 1
    minutes |= {KINDS: kinds} if kinds else {}
    late = beside.get(LATE_FIELDS.name, ())
    pairs = {f"{name}={text}": None for one in said for name, text in (one.fields or {}).items()}
    pairs |= {f"{row['name']}={row['text']}": None for row in late}
    times = [one.time for one in said]
    give_way()
    scores = Counter(rounded(one.score) for one in said if one.score is not None)
    give_way()
    ages = Counter(rounded(one.age_ms) for one in said)
    give_way()
    return {
        "first_time": min(times),
        "last_time": max(times),
        "counts": _compact(minutes),
        "scores": _compact(scores),
        "ages": _compact(ages),
        "parts": b"".join(mark(one.part) for one in said),
        "fields": b"".join(map(mark, pairs)),
    }


def give_way() -> None:
    """Let the other threads of the process run. A thread that computes lets go of the interpreter only after 5 ms, and
    a sleep of no time takes it back before another thread is awake.
    """
    time.sleep(0.0002)


def rounded(value: float) -> str:
    """The value as text, to two significant digits."""
    return f"{value:.2g}"


def digest(block: Block, previous: bytes) -> bytes:
    """SHA-256 of the block before, and of all columns of this one."""
    covered = [getattr(block, column.name) for column in VERDICT_BLOCKS.columns if column.name != "sha256"]
    found = hashlib.sha256(previous)
    for value in covered:
        data = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.digest()


def unpack(block: Block) -> Contents:
    """Inflate a block. Raises ForeignJournalError if no station can have written it."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(block.payload, MOST_UNPACKED)
        if not inflater.eof or inflater.unused_data:
            raise ForeignJournalError(f"{named(block)} is longer than that of a station")
        *texts, last = data.decode().split("\n")
        if len(texts) != block.verdicts:
            raise ForeignJournalError(f"{named(block)} holds {len(texts)} verdicts")
        return Contents(texts, _rows(json.loads(last), block))
    except (zlib.error, ValueError, RecursionError) as error:
        raise ForeignJournalError(f"{named(block)} is damaged") from error


def _rows(columns: Any, block: Block) -> Rows:
    """The rows beside the verdicts. Raises ValueError if they are not those of a station."""
    tables = {table.name: table for table in BESIDE}
    if not isinstance(columns, dict) or columns.keys() - tables.keys():
        raise ValueError("no rows")
    rows: Rows = {}
    for name, of in columns.items():
        names = names_of(tables[name].columns)
        if not isinstance(of, dict) or [*of] != names or not all(isinstance(some, list) for some in of.values()):
            raise ValueError("no columns")
        rows[name] = [dict(zip(names, one, strict=True)) for one in zip(*of.values(), strict=True)]
        if not all(is_row(tables[name].columns, row) and 0 <= row["seq"] - block.first_seq < block.verdicts
                   for row in rows[name]):  # fmt: skip
            raise ValueError("no row")
    return rows


def names_of(columns: Iterable[Column]) -> list[str]:
    """Names of the columns but the epoch, which a block has once."""
    return [column.name for column in columns if column.name != "epoch"]


def is_row(columns: Iterable[Column], row: dict[str, Any]) -> bool:
    """Whether the values have the types of their columns."""
    for column in columns:
        if column.name not in row:
            continue
        value, kind = row[column.name], column.kind.partition(" ")[0]
        if type(value) not in _TYPES[kind] and not (value is None and "NOT NULL" not in column.kind):
            return False
    return True


def block_of(row: tuple[Any, ...]) -> Block:
    """A block from the values of `COLUMNS`. Raises ForeignJournalError if they have other types, or none of a block."""
    types = (int, str, int, int, str, str, str, str, str, bytes, bytes, bytes, bytes)
    if tuple(map(type, row)) != types or not (
        0 < row[3] <= MOST_VERDICTS and 0 <= row[0] < 2**62 and 0 <= row[2] < 2**62
    ):
        raise ForeignJournalError("a row of the table verdict_blocks is not that of a station")
    return Block(*row)


def minutes_of(block: Block) -> dict[str, dict[str, int]]:
    """`counts` decoded: minute as two digits, reason, number. Raises ForeignJournalError."""
    return _by_minute(block, _decoded(block, block.counts))


def kinds_of(block: Block) -> dict[str, dict[str, int]]:
    """The same of kinds of defects; empty if no verdict of the block has one. Raises ForeignJournalError."""
    kinds = _decoded(block, block.counts).get(KINDS, {})
    if not isinstance(kinds, dict):
        raise ForeignJournalError(f"{named(block)} has counts that are not those of a station")
    return _by_minute(block, kinds)


def counted_as(name: str) -> str:
    """The text of a reason or kind in `counts`."""
    return f"{json.dumps(name)}:"


def _by_minute(block: Block, said: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {minute: _numbers(block, numbers) for minute, numbers in said.items() if re.fullmatch(r"[0-5]\d", minute)}


def values_of(block: Block, text: str) -> Counter[float]:
    """`scores` or `ages` decoded: the rounded value, and how often it came. Raises ForeignJournalError."""
    try:
        return Counter({float(value): count for value, count in _numbers(block, _decoded(block, text)).items()})
    except ValueError as error:
        raise ForeignJournalError(f"{named(block)} has counts that are not those of a station") from error


def named(block: Block) -> str:
    """The block in words."""
    return f"the block of verdicts {block.first_seq} to {block.last_seq}"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _decoded(block: Block, text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ForeignJournalError(f"{named(block)} has counts that are not those of a station")
    return said


def _numbers(block: Block, said: Any) -> dict[str, int]:
    if not isinstance(said, dict) or not all(type(n) is int and 0 < n <= MOST_VERDICTS for n in said.values()):
        raise ForeignJournalError(f"{named(block)} has counts that are not those of a station")
    return said


def read_blocks(journal: sqlite3.Connection, rest: str, values: tuple[Value, ...] = ()) -> Iterable[Block]:
    """The blocks that the SQL after the FROM clause selects; none if the journal has no such table."""
    if not VERDICT_BLOCKS.is_in(journal):
        return
    cursor = journal.cursor()
    cursor.row_factory = None
    for row in cursor.execute(f"SELECT {COLUMNS} FROM verdict_blocks {rest}", values):
        yield block_of(row)
