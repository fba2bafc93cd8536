"""Counts of a journal's verdicts by minute and hour, how scores and ages lie, and what of the record is there.

They come from the columns of the blocks and from the newest rows; no block is inflated. A span is therefore rounded
outwards to whole minutes. Blocks whose columns are damaged are left out; `stored_verdicts.gaps` tells of them.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from edge.records.expiry import used_bytes
from edge.records.journal import ForeignJournalError
from edge.records.selection import time_text
from edge.records.stored_verdicts import expired_hours, expired_until, leave_out, one_state
from edge.records.tables import VERDICT_BLOCKS, VERDICTS, Value
from edge.records.verdict_blocks import Block, block_of, kinds_of, minutes_of, outcome_of, rounded, values_of
from edge.verdict import Outcome, Reason

Per = Literal["minute", "hour"]
_LENGTHS: dict[Per, int] = {"minute": 16, "hour": 13}
_STEPS: dict[Per, timedelta] = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d(:\d\d)?", re.ASCII)
_REASONS = frozenset(map(str, Reason))
_HEADER = (
    "row, epoch, first_seq, verdicts, first_time, last_time, counts, scores, ages, "
    "x'' AS parts, x'' AS fields, x'' AS sha256, x'' AS payload"
)


@dataclass
class Counts:
    """The verdicts of a span of time that begins at `start`, in UTC: how many for each reason, and of rejects how many
    for each kind of defect. Rejects without a kind, and expired ones, are in `reasons` alone.
    """

    start: datetime
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> int:
        """Number of goods."""
        return self._of(Outcome.GOOD)

    @property
    def reject(self) -> int:
        """Number of rejects."""
        return self._of(Outcome.REJECT)

    @property
    def unknown(self) -> int:
        """Number of unknowns."""
        return self._of(Outcome.UNKNOWN)

    @property
    def total(self) -> int:
        """Number of verdicts."""
        return self.reasons.total()

    def _of(self, outcome: Outcome) -> int:
        return sum(count for reason, count in self.reasons.items() if outcome_of(Reason(reason)) is outcome)


@dataclass
class Spread:
    """How the scores and ages of an hour lie: values rounded to two significant digits, and how often each came."""

    start: datetime
    scores: Counter[float] = field(default_factory=Counter)
    ages_ms: Counter[float] = field(default_factory=Counter)


@dataclass(frozen=True)
class Extent:
    """What of a record is there.

    `verdicts` are there in full, published from `first` to `last`; of `expired` ones, published until `expired_until`,
    only counts by hour are left. `bytes` of the journal are in use.
    """

    verdicts: int
    first: datetime | None
    last: datetime | None
    bytes: int
    expired: int
    expired_until: datetime | None


def counts(journal: sqlite3.Connection, since: datetime, until: datetime, per: Per = "minute") -> list[Counts]:
    """The verdicts in each minute or hour from `since` to `until` that has any, oldest first. The span is rounded
    outwards to whole minutes or hours.

    Of expired verdicts only hours are known: they are in the counts per hour alone. Raises sqlite3.Error if the journal
    is damaged or not that of a station.
    """
    found: dict[str, Counter[str]] = {}
    kinds: dict[str, Counter[str]] = {}
    begin, end = _span(since, until, per)
    with one_state(journal):
        for block in _blocks(journal, begin, end):
            try:
                named = kinds_of(block)
                for minute, reasons in minutes_of(block).items():
                    _add(found, f"{block.hour}:{minute}", reasons, per)
                    _add_to(kinds, f"{block.hour}:{minute}", named.get(minute, {}), per)
            except ForeignJournalError:
                leave_out(journal, block)
        for minute, reason, number in _minutes_of_rows(journal, begin, end):
            _add(found, minute, {reason: number}, per)
        for minute, kind, number in _kinds_of_rows(journal, begin, end):
            _add_to(kinds, minute, {kind: number}, per)
        if per == "hour":
            for row in expired_hours(journal, "hour >= ? AND hour < ?", (begin[:13], end[:13])):
                _add(found, row["hour"], {row["reason"]: row["verdicts"]}, per)
    length = _LENGTHS[per]
    places = [place for place in sorted(found) if begin[:length] <= place < end[:length]]
    return [Counts(_moment(place), found[place], kinds.get(place, Counter())) for place in places]


def total(journal: sqlite3.Connection, since: datetime | None = None, until: datetime | None = None) -> Counts:
    """All verdicts from `since` to `until`, rounded outwards to whole minutes; expired ones, too, if neither is given.

    `start` is `since`, or the beginning of the first minute or hour that has verdicts.
    """
    first, never = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    per: Per = "hour" if since is None and until is None else "minute"
    parts = counts(journal, since or first, until or never, per)
    start = since or (parts[0].start if parts else first)
    kinds = sum((part.kinds for part in parts), Counter[str]())
    return Counts(start, sum((part.reasons for part in parts), Counter[str]()), kinds)


def spreads(journal: sqlite3.Connection, since: datetime, until: datetime) -> list[Spread]:
    """How scores and ages lie in each hour from `since` to `until` that has verdicts in full, oldest first."""
    found: dict[str, Spread] = {}
    begin, end = _span(since, until, "hour")

    def of(hour: str) -> Spread:
        return found.setdefault(hour, Spread(_moment(hour)))

    with one_state(journal):
        for block in _blocks(journal, begin, end):
            if begin[:13] <= block.hour < end[:13] and _TIME.fullmatch(block.hour):
                try:
                    of(block.hour).scores.update(values_of(block, block.scores))
                    of(block.hour).ages_ms.update(values_of(block, block.ages))
                except ForeignJournalError:
                    leave_out(journal, block)
        for hour, column, value, number in _values_of_rows(journal, begin, end):
            values = of(hour).scores if column == "score" else of(hour).ages_ms
            values[float(rounded(value))] += number
    return [found[hour] for hour in sorted(found)]


def quantile(values: Counter[float], q: float) -> float | None:
    """The smallest value that at least the share `q` of the values does not exceed; None without values."""
    left = q * values.total()
    for value in sorted(values):
        left -= values[value]
        if left <= 0:
            return value
    return None


def extent(journal: sqlite3.Connection) -> Extent:
    """What of the record is there."""
    with one_state(journal):
        verdicts, first, last = _rows(
            journal, "SELECT count(*), min(time), max(time) FROM verdicts WHERE typeof(time) = 'text'"
        )[0]
        if VERDICT_BLOCKS.is_in(journal):
            select = "SELECT CAST(coalesce(sum(verdicts), 0) AS INTEGER), min(first_time), max(last_time) "
            sealed, earliest, latest = _rows(journal, f"{select} FROM verdict_blocks")[0]
            verdicts += sealed
            first = min((one for one in (first, earliest) if isinstance(one, str)), default=None)
            last = max((one for one in (last, latest) if isinstance(one, str)), default=None)
        expired = sum(row["verdicts"] for row in expired_hours(journal))
        return Extent(verdicts, _when(first), _when(last), used_bytes(journal), expired, _when(expired_until(journal)))


def _blocks(journal: sqlite3.Connection, begin: str, end: str) -> Iterator[Block]:
    """The blocks with verdicts in this span, without marks and payload."""
    if VERDICT_BLOCKS.is_in(journal):
        for row in _rows(
            journal, f"SELECT {_HEADER} FROM verdict_blocks WHERE last_time >= ? AND first_time < ?", (begin, end)
        ):
            yield block_of(row)


def _minutes_of_rows(journal: sqlite3.Connection, begin: str, end: str) -> Iterator[tuple[str, str, int]]:
    known = ", ".join(f"'{reason}'" for reason in Reason)
    for minute, reason, number in _rows(
        journal,
        "SELECT substr(time, 1, 16), reason, count(*) FROM verdicts WHERE time >= ? AND time < ? "
        f"AND reason IN ({known}) GROUP BY 1, 2",
        (begin, end),
    ):
        if _TIME.fullmatch(minute):
            yield minute, reason, number


def _kinds_of_rows(journal: sqlite3.Connection, begin: str, end: str) -> Iterator[tuple[str, str, int]]:
    if not VERDICTS.has(journal, "kind"):
        return
    for minute, kind, number in _rows(
        journal,
        "SELECT substr(time, 1, 16), kind, count(*) FROM verdicts WHERE time >= ? AND time < ? "
        "AND typeof(kind) = 'text' GROUP BY 1, 2",
        (begin, end),
    ):
        if _TIME.fullmatch(minute):
            yield minute, kind, number


def _values_of_rows(journal: sqlite3.Connection, begin: str, end: str) -> Iterator[tuple[str, str, float, int]]:
    for column in ("score", "age_ms"):
        for hour, value, number in _rows(
            journal,
            f"SELECT substr(time, 1, 13), {column}, count(*) FROM verdicts WHERE time >= ? AND time < ? "
            f"AND typeof({column}) = 'real' AND abs({column}) < 1e300 GROUP BY 1, 2",
            (begin, end),
        ):
            if _TIME.fullmatch(hour):
                yield hour, column, value, number


def _add(found: dict[str, Counter[str]], minute: str, reasons: dict[str, int], per: Per) -> None:
    _add_to(found, minute, {reason: number for reason, number in reasons.items() if reason in _REASONS}, per)


def _add_to(found: dict[str, Counter[str]], minute: str, numbers: dict[str, int], per: Per) -> None:
    place = minute[: _LENGTHS[per]]
    if numbers and _TIME.fullmatch(place):
        found.setdefault(place, Counter()).update(numbers)


def _span(since: datetime, until: datetime, per: Per) -> tuple[str, str]:
    """The span rounded outwards to whole minutes or hours, as the journal writes times."""

    def floor(time: datetime) -> datetime:
        time = time.astimezone(UTC).replace(second=0, microsecond=0)
        return time.replace(minute=0) if per == "hour" else time

    end = floor(until)
    return time_text(floor(since)), time_text(end if end == until else end + _STEPS[per])


def _moment(place: str) -> datetime:
    return datetime.fromisoformat(f"{place}:00{':00' if len(place) == 13 else ''}+00:00")


def _when(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None


def _rows(journal: sqlite3.Connection, sql: str, values: tuple[Value, ...] = ()) -> list[tuple[Any, ...]]:
    cursor = journal.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()
