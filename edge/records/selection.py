"""Which verdicts of a journal are meant: conditions on rows, on blocks, and on the verdicts in a block."""

import sqlite3
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

from edge.records.tables import LATE_FIELDS, SHADOW_RESULTS, VERDICTS, Value
from edge.records.verdict_blocks import MOST_VERDICTS, as_said, counted_as, mark, outcome_of
from edge.verdict import Outcome, Reason


@dataclass(frozen=True)
class Selection:
    """Which verdicts: all given conditions hold at once; without any, all verdicts.

    Published from `since` on and before `until` (times with an offset); of `outcome`; for one of `reasons`; whose part
    has all free `fields`, in the verdict or known after it; of `part`; of the run `epoch`; numbered `first_seq` to
    `last_seq`; with `flips` those good ones that a candidate rejects and those rejects that one calls good; with a
    defect of this `kind`.
    """

    since: datetime | None = None
    until: datetime | None = None
    outcome: Outcome | None = None
    reasons: frozenset[Reason] = frozenset()
    fields: dict[str, str] = field(default_factory=dict)
    part: str | None = None
    epoch: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    flips: bool = False
    kind: str | None = None

    @property
    def wanted(self) -> frozenset[Reason]:
        """The reasons that `outcome` and `reasons` allow; all of them if neither is given."""
        reasons = self.reasons or frozenset(Reason)
        return frozenset(one for one in reasons if self.outcome is None or outcome_of(one) is self.outcome)

    @property
    def is_of_any_reason(self) -> bool:
        """Whether neither the outcome nor the reason matters."""
        return self.outcome is None and not self.reasons


class _Conditions:
    """SQL conditions with their values."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self.values: tuple[Value, ...] = ()

    def add(self, condition: str, *values: Value) -> None:
        self._said.append(condition)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(f"({one})" for one in self._said) or "1"


def row_conditions(
    selection: Selection, has_late_fields: bool, has_shadow_results: bool, has_kinds: bool
) -> tuple[str, tuple[Value, ...]]:
    """The SQL condition on the table `verdicts`, and its values. Times of the journal are text in UTC. `has_...` say
    whether the journal has these tables, and the column of kinds.
    """
    s, where = selection, _Conditions()
    for column, value in (("part", s.part), ("epoch", s.epoch), ("verdict", s.outcome)):
        if value is not None:
            where.add(f"{column} = ?", str(value))
    for condition, number in (("seq >= ?", s.first_seq), ("seq <= ?", s.last_seq)):
        if number is not None:
            where.add(condition, number)
    for condition, time in (("time >= ?", s.since), ("time < ?", s.until)):
        if time is not None:
            where.add(condition, time_text(time))
    if s.reasons:
        where.add(f"reason IN ({', '.join('?' * len(s.reasons))})", *map(str, sorted(s.reasons)))
    has_field = "EXISTS (SELECT 1 FROM json_each(verdicts.json, '$.fields') WHERE key = ? AND atom = ?)"
    of_this = "late_fields.epoch = verdicts.epoch AND late_fields.seq = verdicts.seq"
    has_late = f"EXISTS (SELECT 1 FROM late_fields WHERE {of_this} AND name = ? AND text = ?)"
    for pair in s.fields.items():
        if has_late_fields:
            where.add(f"{has_field} OR {has_late}", *pair, *pair)
        else:
            where.add(has_field, *pair)
    if s.flips:
        of_this = "shadow_results.epoch = verdicts.epoch AND shadow_results.seq = verdicts.seq"
        differs = "outcome <> verdict AND 'unknown' NOT IN (outcome, verdict)"
        is_flip = f"EXISTS (SELECT 1 FROM shadow_results WHERE {of_this} AND {differs})"
        where.add(is_flip if has_shadow_results else "0")
    if s.kind is not None:
        where.add("kind = ?", s.kind) if has_kinds else where.add("0")
    return str(where), where.values


def known(journal: sqlite3.Connection) -> tuple[bool, bool, bool]:
    """Whether the journal knows late fields, shadow results and kinds, as `row_conditions` takes them."""
    return LATE_FIELDS.is_in(journal), SHADOW_RESULTS.is_in(journal), VERDICTS.has(journal, "kind")


def block_conditions(selection: Selection, after: int, before: int | None) -> tuple[str, tuple[Value, ...]]:
    """The SQL condition on `verdict_blocks` that all blocks with a selected verdict fulfil, and its values."""
    s, where = selection, _Conditions()
    where.add("row > ?", after + 1 - MOST_VERDICTS)
    where.add("row + verdicts > ?", after + 1)
    if before is not None:
        where.add("row < ?", before)
    if s.epoch is not None:
        where.add("epoch = ?", s.epoch)
    if s.first_seq is not None:
        where.add("first_seq > ?", s.first_seq - MOST_VERDICTS)
        where.add("first_seq + verdicts > ?", s.first_seq)
    if s.last_seq is not None:
        where.add("first_seq <= ?", s.last_seq)
    if s.since is not None:
        where.add("last_time >= ?", time_text(s.since))
    if s.until is not None:
        where.add("first_time < ?", time_text(s.until))
    if not s.is_of_any_reason:
        wanted = sorted(s.wanted)
        where.add(" OR ".join(["instr(counts, ?) > 0"] * len(wanted)) or "0", *map(counted_as, wanted))
    if s.kind is not None:
        where.add("instr(counts, ?) > 0", counted_as(s.kind))
    if s.part is not None:
        where.add("instr(parts, ?) > 0", mark(s.part))
    of_this = "late_fields.epoch = verdict_blocks.epoch AND seq >= first_seq AND seq < first_seq + verdicts"
    has_late = f"EXISTS (SELECT 1 FROM late_fields WHERE {of_this} AND name = ? AND text = ?)"
    for name, text in s.fields.items():
        where.add(f"instr(fields, ?) > 0 OR {has_late}", mark(f"{name}={text}"), name, text)
    return str(where), where.values


def is_selected(
    s: Selection, text: str, seq: int, late: Mapping[int, Set[tuple[str, str]]], shadow: Mapping[int, Set[str]]
) -> bool:
    """Whether a verdict in a block is selected. By number, `late` has name and text of the free fields that were known
    after it, and `shadow` the outcomes that candidates gave it.
    """
    if (s.first_seq is not None and seq < s.first_seq) or (s.last_seq is not None and seq > s.last_seq):
        return False
    if not s.is_of_any_reason and not any(f'"reason":"{reason}"' in text for reason in s.wanted):
        return False
    if s.flips and seq not in shadow:
        return False
    is_of_any_verdict = s.is_of_any_reason and not s.flips and s.kind is None
    if is_of_any_verdict and s.since is None and s.until is None and s.part is None and not s.fields:
        return True
    said = as_said(text)
    try:
        return (
            said is not None
            and (s.is_of_any_reason or said.reason in s.wanted)
            and (not s.flips or _is_flip(said.verdict, shadow[seq]))
            and (s.since is None or said.time >= time_text(s.since))
            and (s.until is None or said.time < time_text(s.until))
            and (s.part is None or said.part == s.part)
            and (s.kind is None or said.kind == s.kind)
            and all((said.fields or {}).get(n) == t or (n, t) in late.get(seq, ()) for n, t in s.fields.items())
        )
    except (AttributeError, TypeError):
        return False


def _is_flip(outcome: str, others: Set[str]) -> bool:
    """Whether one of the other outcomes contradicts this one."""
    return outcome != Outcome.UNKNOWN and bool(others - {outcome, Outcome.UNKNOWN})


def time_text(time: datetime) -> str:
    """A time as the journal writes it: ISO 8601 in UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
