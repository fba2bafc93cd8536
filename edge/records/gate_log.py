"""Reads a gate's log, and compares it with the station's journal."""

import io
import os
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.files import open_regular
from edge.gate.decision import Why
from edge.gate.log import CUT
from edge.records.pass_proof import Proof, Prover, Standing
from edge.records.stored_verdicts import acknowledged, find
from edge.records.verdict_blocks import as_said
from edge.text import counted
from edge.validation import plain
from edge.verdict import Verdict

MOST_IN_A_LINE = 64 * 1024
"""Characters; a gate writes a few hundred."""

_Short = Annotated[str, Field(max_length=1000)]


class Decision(BaseModel):
    """One line of the log: what the gate did with a part, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: _Short | None = None
    seq: int | None = Field(default=None, ge=0, le=2**53)
    part: _Short | None = None
    decision: Literal["pass", "reject"]
    why: _Short = ""
    fate: Fate | None = None
    time: _Short | None = None
    to_seq: int | None = Field(default=None, ge=0, le=2**53)
    detail: str | None = None

    @property
    def passes(self) -> bool:
        """Whether any field says that the part passed; a contradictory line needs a proof, too."""
        return any(self._said)

    @property
    def is_consistent(self) -> bool:
        """Whether decision, reason and fate say the same."""
        return len(set(self._said)) == 1

    @property
    def _said(self) -> tuple[bool, bool, bool]:
        return self.decision == "pass", self.why == Why.CLEAR, self.fate is Fate.PASSED


@dataclass
class GateReport:
    """Comparison of the log with the journal: passes by their standing there, rejects by the gate's own reason.

    `is_cut`: a line has no end. `clients` counts the controllers whose acknowledgements the journal has: the log is
    compared with them if there is one, for it does not say whose it is. `is_of_other_runs`: the log names runs, and the
    journal has none of them.
    """

    passes: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    is_cut: bool = False
    is_of_other_runs: bool = False
    clients: int = 0


class Logged:
    """The fate of each part in a log, by epoch and number, for comparison with the gate's acknowledgements."""

    def __init__(self) -> None:
        """Without any line."""
        self._fates: defaultdict[str | None, dict[int, Fate | None]] = defaultdict(dict)
        self._unnumbered: set[str | None] = set()

    def __bool__(self) -> bool:
        """Whether there is any line."""
        return bool(self._fates)

    def note(self, decision: Decision) -> None:
        """Add a line; of two lines on one verdict the one that passes counts."""
        run = self._fates[decision.epoch]
        if decision.seq is None:
            self._unnumbered.add(decision.part)
        elif decision.passes or decision.seq not in run:
            run[decision.seq] = Fate.PASSED if decision.passes else decision.fate

    @property
    def epochs(self) -> set[str]:
        """The epochs that the lines name."""
        return {epoch for epoch in self._fates if epoch is not None}

    def has_run(self, epoch: str) -> bool:
        """Whether any line is of this epoch."""
        return epoch in self._fates

    def last(self, epoch: str) -> int:
        """The highest number in the lines of this epoch; 0 if there is none."""
        return max(self._fates.get(epoch, {}), default=0)

    def agrees(self, epoch: str, seq: int, fate: str, part: str | None) -> bool:
        """Whether the log agrees with an acknowledgement. If the gate decided a part before its verdict came, perhaps
        without a number, its acknowledgement is that of a late verdict.
        """
        logged = self.fate(epoch, seq)
        if logged is None or logged is Fate.MISSED:
            is_after = fate in (Fate.LATE_REJECT, Fate.MISSED)
            return is_after and (logged is not None or part in self._unnumbered)
        return logged == fate

    def fate(self, epoch: str, seq: int) -> Fate | None:
        """The fate of a part; None if the log has no line of it, or a line without a fate."""
        return self._fates.get(epoch, {}).get(seq)


class Contradiction(NamedTuple):
    """A contradiction between log and journal, in words."""

    text: str
    epoch: str
    seq: int | None = None


def compare(journal: sqlite3.Connection, logged: Logged) -> Iterator[Contradiction]:
    """Acknowledgements of one client that its log lacks. The log is written first, so it must have every acknowledged
    part; an acknowledgement of a logged part may be lost or not be written yet.
    """
    absent = Counter[str]()
    for epoch, seq, fate in _fates(journal):
        if logged.agrees(epoch, seq, fate, None):
            continue
        stored = find(journal, epoch, seq)
        part = None if stored is None else getattr(as_said(stored.text), "part", None)
        if part is not None and logged.agrees(epoch, seq, fate, part):
            continue
        if not logged.has_run(epoch):
            absent[epoch] += 1
            continue
        own = logged.fate(epoch, seq)
        says = f"says {own}" if own else "does not say what became of it"
        yield Contradiction(f"the gate acknowledged part {seq} as {fate}, and its log {says}", epoch, seq)
    for epoch, count in absent.items():
        parts = counted(count, "part")
        yield Contradiction(f"the gate acknowledged {parts} of this run, and its log has no line of it", epoch)


def _fates(journal: sqlite3.Connection) -> Iterator[tuple[str, int, str]]:
    for epoch, seq, rows in acknowledged(journal):
        yield from ((epoch, seq, fate) for fate in dict.fromkeys(row["fate"] for row in rows))


def read_decisions(path: Path, report: GateReport | None = None) -> Iterator[Decision]:
    """Lines of the log. A line without an end is left out, and the report, if given, says so.

    Raises RecordsError if the file cannot be read, or names the line that is no decision.
    """
    return read_lines(path, Decision, "decision of a gate", "the log that edge-gate wrote", report)


Line = TypeVar("Line", bound=BaseModel)


class CutReport(Protocol):
    """A report that says whether a line of the log has no end."""

    is_cut: bool


def read_lines(path: Path, model: type[Line], noun: str, log: str, report: CutReport | None = None) -> Iterator[Line]:
    """Lines of a controller's log, each a `model`. `noun` names a line in errors, `log` the file.

    A line without an end is left out, and the report says so. Raises RecordsError if the file cannot be read, or names
    the line that is none.
    """
    there = Path(os.path.realpath(path))
    try:
        with io.TextIOWrapper(open_regular(there.parent, there.name, sys.maxsize), "utf-8", "replace") as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_IN_A_LINE), ""), 1):
                if len(line) == MOST_IN_A_LINE:
                    raise RecordsError(f"{path} line {number} is no {noun}: it has no end")
                is_cut = not line.endswith("\n") or line.endswith(f"{CUT}\n")
                if report is not None:
                    report.is_cut |= is_cut
                if line.strip() and not is_cut:
                    try:
                        yield model.model_validate_json(line)
                    except ValidationError as error:
                        raise RecordsError(f"{path} line {number} is no {noun}: {plain(error, model)}") from error
    except OSError as error:
        raise RecordsError(f"{path} cannot be read ({error.strerror}); give {log}") from error


def decisions_about(path: Path, verdicts: Sequence[Verdict]) -> dict[tuple[str, int], list[Decision]]:
    """The decisions of a gate's log about each of these verdicts, by epoch and number; also those that the gate made
    before the verdict came, by the part's id. Raises RecordsError as `read_decisions`.
    """
    found: dict[tuple[str, int], list[Decision]] = {(v.epoch, v.seq): [] for v in verdicts}
    by_part: defaultdict[str | None, list[tuple[str, int]]] = defaultdict(list)
    for v in verdicts:
        by_part[v.part].append((v.epoch, v.seq))
    for decision in read_decisions(path):
        about = by_part.get(decision.part, []) if decision.seq is None else _named(decision, found)
        for key in about:
            if decision.epoch in (None, key[0]):
                found[key].append(decision)
    return found


def _named(decision: Decision, keys: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    """The keys, epoch and number, that a decision with a number is about."""
    assert decision.seq is not None
    if decision.to_seq is None:
        key = decision.epoch or "", decision.seq
        return [key] if key in keys else []
    return [key for key in keys if decision.seq <= key[1] <= decision.to_seq]


def join(
    journal: sqlite3.Connection, live: str | None, decisions: Iterable[Decision]
) -> Iterator[tuple[Decision, Proof]]:
    """Every decision, a pass with its proof. A verdict lets one part pass, once."""
    prover, passed = Prover(journal, live), set[tuple[str, int]]()
    for decision in decisions:
        if not decision.passes:
            yield decision, Proof(Standing.PROVEN)
        elif decision.epoch is None or decision.seq is None:
            yield decision, Proof(Standing.ESCAPE, "it passed without a verdict")
        elif (decision.epoch, decision.seq) in passed:
            yield decision, Proof(Standing.ESCAPE, "it is the second pass on one verdict")
        else:
            passed.add((decision.epoch, decision.seq))
            yield decision, prover.prove(decision.epoch, decision.seq, decision.part)
