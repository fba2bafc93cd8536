# ruff: noqa: D101, D102, D103
"""Stands in for edge.records.stored_verdicts and edge.records.summary until they are there."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from edge.verdict import Outcome, Reason, Verdict


class Stored(NamedTuple):
    row: int
    epoch: str
    seq: int
    text: str

    @property
    def verdict(self) -> Verdict:
        return Verdict.model_validate_json(self.text)


@dataclass(frozen=True)
class Selection:
    since: datetime | None = None
    until: datetime | None = None
    outcome: Outcome | None = None
    reasons: frozenset[Reason] = frozenset()
    fields: dict[str, str] = field(default_factory=dict)
    part: str | None = None
    epoch: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None


def _iso(moment: datetime) -> str:
    from datetime import UTC

    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def select(
    journal: sqlite3.Connection, selection: Selection = Selection(), *, newest_first: bool = False, after: int = 0,
    before: int | None = None, limit: int | None = None,
) -> Iterator[Stored]:  # fmt: skip
    where: list[str] = ["rowid > ?"]
    values: list[str | int] = [after]
    value: str | int | None
    s = selection
    for test, value in (
        ("rowid < ?", before), ("time >= ?", _iso(s.since) if s.since else None),
        ("time < ?", _iso(s.until) if s.until else None), ("verdict = ?", s.outcome), ("part = ?", s.part), ("epoch = ?", s.epoch), ("seq >= ?", s.first_seq),
        ("seq <= ?", s.last_seq),
    ):  # fmt: skip
        if value is not None:
            where.append(test)
            values.append(value)
    if s.reasons:
        where.append(f"reason IN ({', '.join('?' * len(s.reasons))})")
        values.extend(s.reasons)
    for name, text in s.fields.items():
        where.append("json_extract(fields, '$.' || ?) = ?")
        values.extend((name, text))
    order = "DESC" if newest_first else "ASC"
    sql = f"SELECT rowid, epoch, seq, json FROM verdicts WHERE {' AND '.join(where)} ORDER BY rowid {order} LIMIT ?"
    for row in journal.execute(sql, (*values, -1 if limit is None else limit)):
        yield Stored(*row)


def find(journal: sqlite3.Connection, epoch: str, seq: int) -> Stored | None:
    row = journal.execute("SELECT rowid, epoch, seq, json FROM verdicts WHERE epoch = ? AND seq = ?", (epoch, seq))
    found = row.fetchone()
    return None if found is None else Stored(*found)


@dataclass
class Counts:
    start: datetime
    reasons: Counter[str]

    @property
    def good(self) -> int:
        return self.reasons[Reason.CLEAR]

    @property
    def reject(self) -> int:
        return self.reasons[Reason.DEFECT]

    @property
    def unknown(self) -> int:
        return self.total - self.good - self.reject

    @property
    def total(self) -> int:
        return sum(self.reasons.values())


def counts(
    journal: sqlite3.Connection, since: datetime, until: datetime, per: Literal["minute", "hour"]
) -> list[Counts]:
    length = 16 if per == "minute" else 13
    rows = journal.execute(
        f"SELECT substr(time, 1, {length}), reason, count(*) FROM verdicts WHERE time >= ? AND time < ? GROUP BY 1, 2",
        (_iso(since), _iso(until)),
    )
    found: dict[str, Counts] = {}
    for start, reason, count in rows:
        moment = datetime.fromisoformat(start + (":00+00:00" if per == "minute" else ":00:00+00:00"))
        found.setdefault(start, Counts(moment, Counter())).reasons[reason] += count
    return [found[start] for start in sorted(found)]


def total(journal: sqlite3.Connection, since: datetime | None = None, until: datetime | None = None) -> Counts:
    rows = journal.execute(
        "SELECT reason, count(*) FROM verdicts WHERE time >= ? AND time < ? GROUP BY 1",
        (_iso(since) if since else "", _iso(until) if until else "9"),
    )
    from datetime import UTC

    return Counts(since or datetime.fromtimestamp(0, UTC), Counter(dict(rows.fetchall())))


@dataclass
class Spread:
    start: datetime
    scores: Counter[float]
    ages_ms: Counter[float]


def spreads(journal: sqlite3.Connection, since: datetime, until: datetime) -> list[Spread]:
    rows = journal.execute(
        "SELECT substr(time, 1, 13), score, age_ms FROM verdicts WHERE time >= ? AND time < ?",
        (_iso(since), _iso(until)),
    )
    found: dict[str, Spread] = {}
    for start, score, age in rows:
        one = found.setdefault(start, Spread(datetime.fromisoformat(start + ":00:00+00:00"), Counter(), Counter()))
        if score is not None:
            one.scores[float(f"{score:.2g}")] += 1
        one.ages_ms[float(f"{age:.2g}")] += 1
    return [found[start] for start in sorted(found)]


def quantile(values: Counter[float], q: float) -> float | None:
    whole, seen = sum(values.values()), 0
    for value in sorted(values):
        seen += values[value]
        if seen >= q * whole:
            return value
    return None


@dataclass(frozen=True)
class Extent:
    verdicts: int
    first: datetime | None
    last: datetime | None
    bytes: int
    expired: int = 0
    expired_until: datetime | None = None


def extent(journal: sqlite3.Connection) -> Extent:
    count, first, last = journal.execute("SELECT count(*), min(time), max(time) FROM verdicts").fetchone()
    (pages,) = journal.execute("PRAGMA page_count").fetchone()
    (size,) = journal.execute("PRAGMA page_size").fetchone()
    when = [None if time is None else datetime.fromisoformat(time) for time in (first, last)]
    return Extent(count, when[0], when[1], pages * size)
