"""Proof from the journal that a part which passed the gate had an in-time final good."""

import sqlite3
from collections import defaultdict
from enum import StrEnum
from typing import NamedTuple

from pydantic import ValidationError

from edge.records.journal import has_run
from edge.records.stored_verdicts import damaged_block, expired_hours, expired_seq, find, last_seq
from edge.records.verdict_blocks import outcome_of
from edge.text import printable
from edge.validation import plain
from edge.verdict import Outcome, Reason, Verdict


class Standing(StrEnum):
    """Result of the proof for a part that passed; see `prove`."""

    PROVEN = "proven"
    PENDING = "pending"
    UNPROVEN = "unproven"
    EXPIRED = "expired"
    ESCAPE = "escape"


class Proof(NamedTuple):
    """`why` is the reason in words; empty if proven."""

    standing: Standing
    why: str = ""


def broken_rule(error: ValueError) -> str:
    """Which rule of verdicts a row breaks, in one line."""
    return plain(error, Verdict) if isinstance(error, ValidationError) else printable(str(error))


def prove(journal: sqlite3.Connection, live: str | None, epoch: str, seq: int, part: str | None = None) -> Proof:
    """Look for the in-time final good that lets (epoch, seq) pass, and `part` if it is named.

    Pending: the verdict of the epoch `live`, which is still being written, is not on disk yet. Unproven: the verdict is
    in a range that the journal says it lost, or in a damaged block. Expired: only counts of its hour are left. Anything
    else but a good is an escape.
    """
    stored = find(journal, epoch, seq)
    if stored is None:
        return _without_verdict(journal, live, epoch, seq)
    try:
        verdict = stored.verdict
    except ValueError:
        return Proof(Standing.ESCAPE, "its verdict breaks the rules of verdicts")
    if (verdict.epoch, verdict.seq) != (epoch, seq):
        return Proof(Standing.ESCAPE, f"the row holds verdict {verdict.seq} of {verdict.epoch}")
    if verdict.verdict is not Outcome.GOOD:
        return Proof(Standing.ESCAPE, f"its verdict was {verdict.verdict}/{verdict.reason}")
    if part is not None and verdict.part != part:
        return Proof(Standing.ESCAPE, f"the verdict was good for part {verdict.part}, not for {part}")
    return Proof(Standing.PROVEN)  # a good that came after its budget breaks the rules


class Prover:
    """Proofs of the passes of one log. Of verdicts that have expired it allows each run as many passes as goods."""

    def __init__(self, journal: sqlite3.Connection, live: str | None) -> None:
        """`live`: as for `prove`."""
        self._journal, self._live = journal, live
        self._passed: defaultdict[str, set[int]] = defaultdict(set)
        self._goods: dict[str, int] = {}

    def prove(self, epoch: str, seq: int, part: str | None = None) -> Proof:
        """As `prove`; an escape, too, if more expired verdicts let parts pass than were good."""
        proof = prove(self._journal, self._live, epoch, seq, part)
        if proof.standing is Standing.EXPIRED:
            self._passed[epoch].add(seq)
            if epoch not in self._goods:
                self._goods[epoch] = _expired_goods(self._journal, epoch)
            if len(self._passed[epoch]) > self._goods[epoch]:
                return Proof(Standing.ESCAPE, f"only {self._goods[epoch]} of the run's expired verdicts were good")
        return proof


def _expired_goods(journal: sqlite3.Connection, epoch: str) -> int:
    goods = {reason.value for reason in Reason if outcome_of(reason) is Outcome.GOOD}
    return sum(row["verdicts"] for row in expired_hours(journal, "epoch = ?", (epoch,)) if row["reason"] in goods)


def _without_verdict(journal: sqlite3.Connection, live: str | None, epoch: str, seq: int) -> Proof:
    if (block := damaged_block(journal, epoch, seq)) is not None:
        return Proof(Standing.UNPROVEN, f"its verdict cannot be read: {block} is damaged")
    if epoch == live and seq > last_seq(journal, epoch):
        return Proof(Standing.PENDING, "its verdict is not on disk yet")
    # A lost range without an epoch is that of a damaged journal: whose runs it held is not known.
    lost = journal.execute(
        "SELECT 1 FROM lost_ranges WHERE (epoch = ? OR (epoch IS NULL AND NOT ?)) "
        "AND lost_from <= ? AND (lost_to IS NULL OR lost_to >= ?) LIMIT 1",
        (epoch, has_run(journal, epoch), seq, seq),
    ).fetchone()
    if lost is not None:
        return Proof(Standing.UNPROVEN, "its verdict is in a range that the journal lost")
    if 1 <= seq <= expired_seq(journal, epoch):
        return Proof(Standing.EXPIRED, "its verdict has expired, and only counts of its hour are left")
    return Proof(Standing.ESCAPE, "the journal has no such verdict")
