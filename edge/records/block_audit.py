"""Audit of the blocks of verdicts, and of the verdicts of which only counts are left."""

import sqlite3
from collections import Counter

from edge.records.audit_result import Audit, Kind, Run
from edge.records.stored_verdicts import (
    contents,
    expired_hours,
    expired_row,
    expired_seq,
    expired_until,
    readable,
)
from edge.records.verdict_blocks import Block, as_said, derive, digest, named, outcome_of, read_blocks
from edge.text import counted
from edge.verdict import Outcome, Reason


def check_blocks(journal: sqlite3.Connection, found: Audit) -> None:
    """Check that each block is as it was sealed, and follows the one before. The first follows the last that expired.

    A damaged block is a finding, and the verdicts in it count as missing.
    """
    last_row, previous = expired_row(journal)
    found.expired_until = expired_until(journal)
    for block in read_blocks(journal, "ORDER BY row"):
        where = (block.epoch, block.first_seq)
        if digest(block, previous) != block.sha256:
            found.find(Kind.JOURNAL, f"{named(block)} was changed, or the block before it was removed", *where)
        elif readable(journal, block) is None:
            found.find(Kind.JOURNAL, f"{named(block)} is damaged", *where)
        elif not _is_derived(journal, block):
            found.find(Kind.JOURNAL, f"{named(block)} differs from its own counts", *where)
        if block.row <= last_row:
            found.find(Kind.JOURNAL, f"{named(block)} overlaps the one before", *where)
        last_row, previous = block.last_row, block.sha256


def _is_derived(journal: sqlite3.Connection, block: Block) -> bool:
    """Whether the columns of a block follow from its payload."""
    texts, beside = contents(journal, block)
    said = [one for one in map(as_said, texts) if one is not None]
    try:
        numbered = [(one.epoch, one.seq) for one in said]
        derived = derive(said, beside)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return False
    expected = [(block.epoch, seq) for seq in range(block.first_seq, block.last_seq + 1)]
    return numbered == expected and all(getattr(block, name) == value for name, value in derived.items())


def add_expired(
    journal: sqlite3.Connection, found: Audit, run: Run, held: int, lost: list[tuple[int, int | None]]
) -> None:
    """Add the verdicts of a run of which only counts are left. `held` of those before the first that is there in full
    are still there; `lost` are the ranges that the journal says it lost.
    """
    counts = Counter[str]()
    for row in expired_hours(journal, "epoch = ?", (run.epoch,)):
        if row["reason"] not in set(Reason):
            found.find(Kind.JOURNAL, "counts of an hour have a reason that no verdict has", run.epoch)
            continue
        outcome = outcome_of(Reason(row["reason"]))
        counts[outcome] += row["verdicts"]
        run.passed += row["passed"]
        if row["passed"] and outcome is not Outcome.GOOD:
            passed = counted(row["passed"], "part")
            text = f"{passed} with the verdict {outcome}/{row['reason']} passed in the hour {row['hour']}"
            found.find(Kind.ESCAPE, f"{text}; only counts are left of it", run.epoch)
    run.good += counts[Outcome.GOOD]
    run.reject += counts[Outcome.REJECT]
    run.unknown += counts[Outcome.UNKNOWN]
    run.expired = counts.total()
    last = expired_seq(journal, run.epoch)
    missing = last - held - run.expired
    run.lost += max(0, missing)
    said = _numbers(lost, last)
    if missing > said:
        text = (
            f"of the verdicts up to {last}, which expired, {missing} were missing, and the journal says why of {said}"
        )
        found.find(Kind.SEQUENCE, text, run.epoch)
    elif missing < 0:
        found.find(Kind.SEQUENCE, f"the counts of expired verdicts up to {last} are {-missing} too many", run.epoch)


def _numbers(lost: list[tuple[int, int | None]], last: int) -> int:
    """How many of the numbers 1 to `last` are in a lost range."""
    total, done = 0, 0
    for first, to in sorted(lost, key=lambda one: one[0]):
        end = last if to is None else min(to, last)
        total += max(0, end - max(first - 1, done))
        done = max(done, end)
    return total
