"""A gate's own log, held against the station's journal."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import RecordsError
from edge.records.proof import Proof, Standing, prove


class Decision(BaseModel):
    """One line of the log: what the gate did with a part, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: str | None = None
    seq: int | None = None
    part: str | None = None
    decision: Literal["pass", "reject"]
    why: str = ""
    fate: str | None = None
    time: str | None = None


@dataclass
class GateReport:
    """How the log stands to the journal: passes by what the journal says of them, rejects by the gate's own reason."""

    passes: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)


def read_decisions(path: Path) -> Iterator[Decision]:
    """Lines of the log. A last line that has no end is one that is being written, or was when the gate was killed.

    Raises RecordsError if the file cannot be read, or names the line that is no decision.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.endswith("\n") and line.strip():
                    yield _decision(path, number, line)
    except OSError as error:
        raise RecordsError(f"{path} cannot be read ({error.strerror}); give the log that edge-gate wrote") from error


def _decision(path: Path, number: int, line: str) -> Decision:
    try:
        return Decision.model_validate_json(line)
    except ValidationError as error:
        told = error.errors()[0]
        where = ".".join(map(str, told["loc"])) or "the line"
        raise RecordsError(f"{path} line {number} is no decision of a gate: {where}: {told['msg']}") from error


def join(journal: sqlite3.Connection, live: str | None, path: Path) -> Iterator[tuple[Decision, Proof]]:
    """Every decision; a pass with what the journal says of it. A verdict lets one part pass, once."""
    passed: set[tuple[str, int]] = set()
    for decision in read_decisions(path):
        if decision.decision == "reject":
            yield decision, Proof(Standing.PROVEN)
        elif decision.epoch is None or decision.seq is None:
            yield decision, Proof(Standing.ESCAPE, "it passed without a verdict")
        elif (decision.epoch, decision.seq) in passed:
            yield decision, Proof(Standing.ESCAPE, "it is the second pass on one verdict")
        else:
            passed.add((decision.epoch, decision.seq))
            yield decision, prove(journal, live, decision.epoch, decision.seq, decision.part)
