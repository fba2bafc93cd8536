"""The log of edge-plc, held against itself and against the station's journal: every pass bit that was ever 1."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from edge.channel.control_messages import Fate
from edge.plc.codes import Code
from edge.plc.handshake import Numbers, order_number
from edge.plc.process_image import Event
from edge.records.gate_log import read_lines
from edge.records.pass_proof import Proof, Prover, Standing
from edge.records.stored_verdicts import acknowledged, controllers

_Short = Annotated[str, Field(max_length=1000)]
CLEAR = Code.CLEAR.name.lower()


class PlcLine(BaseModel):
    """One line of the log: what happened to a result."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    station: _Short
    event: Event
    epoch: _Short | None = None
    seq: int | None = Field(default=None, ge=0, le=2**53)
    part: _Short
    number: int = Field(ge=0, lt=2**32)
    numbers: Numbers
    code: _Short

    @property
    def passes(self) -> bool:
        """Whether the line says that the pass bit was set: by its event, or by a fail that was clear."""
        return self.event == "pass" or (self.event == "fail" and self.code == CLEAR)


@dataclass
class PlcReport:
    """How the log stands to the journal: pass bits by what the journal says of them, fails by their code.

    `others` counts the lines of other stations. `is_cut`: edge-plc did not live to end a line.
    """

    passes: Counter[str] = field(default_factory=Counter)
    fails: Counter[str] = field(default_factory=Counter)
    overruns: int = 0
    others: int = 0
    is_cut: bool = False


class PlcFinding(NamedTuple):
    """Something that is wrong, in words. `standing` is set if it is a pass bit that the journal does not prove."""

    text: str
    epoch: str | None
    seq: int | None
    standing: Standing | None = None


def check_plc_log(
    journal: sqlite3.Connection, live: str | None, stations: set[str], path: Path, report: PlcReport
) -> Iterator[PlcFinding]:
    """Go through the log, count into `report`, and yield what is wrong.

    A pass bit is proven by an in-time final good of that epoch, number and part; a verdict sets one pass bit, once.
    Raises RecordsError if the file cannot be read, or names the line that is none of edge-plc.
    """
    prover, passed = Prover(journal, live), set[tuple[str, int]]()
    shown: PlcLine | None = None
    for line in read_lines(path, PlcLine, "line of edge-plc", "the log that edge-plc wrote", report):
        if line.station not in stations:
            report.others += 1
            continue
        named = f"part {line.part or '?'} with the number {line.number}"
        if (line.event == "pass") != (line.code == CLEAR) and line.event in ("pass", "fail"):
            yield PlcFinding(f"the line on {named} contradicts itself: {line.event}, {line.code}", line.epoch, line.seq)
        if line.passes:
            proof = _proof(prover, line, passed)
            report.passes[proof.standing] += 1
            if proof.standing in (Standing.ESCAPE, Standing.UNPROVEN):
                yield PlcFinding(f"the pass bit was 1 for {named}: {proof.why}", line.epoch, line.seq, proof.standing)
        elif line.event == "fail":
            report.fails[line.code] += 1
        report.overruns += line.event == "overrun"
        if line.event == "acknowledged" and not _is_same(shown, line):
            yield PlcFinding(f"{named} was acknowledged, and the log does not say it was shown", line.epoch, line.seq)
        shown = line if line.event in ("pass", "fail") else shown
    yield from _unlogged(journal, passed)


def _is_same(shown: PlcLine | None, line: PlcLine) -> bool:
    return shown is not None and (shown.epoch, shown.seq, shown.number) == (line.epoch, line.seq, line.number)


def _proof(prover: Prover, line: PlcLine, passed: set[tuple[str, int]]) -> Proof:
    if line.epoch is None or line.seq is None:
        return Proof(Standing.ESCAPE, "it has no verdict")
    if (line.epoch, line.seq) in passed:
        return Proof(Standing.ESCAPE, "it is the second pass bit on one verdict")
    passed.add((line.epoch, line.seq))
    if line.numbers == "order" and line.number != order_number(line.seq):
        return Proof(Standing.ESCAPE, f"the number is not that of verdict {line.seq}")
    if line.numbers == "plc" and line.part != str(line.number):
        return Proof(Standing.ESCAPE, "the PLC triggered no such part with this number")
    return prover.prove(line.epoch, line.seq, line.part)


def _unlogged(journal: sqlite3.Connection, passed: set[tuple[str, int]]) -> Iterator[PlcFinding]:
    """Parts that the only controller of the station acknowledged as passed, and whose pass bit is not in the log."""
    if len(controllers(journal)) != 1:
        return
    for epoch, seq, rows in acknowledged(journal):
        if any(row["fate"] == Fate.PASSED for row in rows) and (epoch, seq) not in passed:
            yield PlcFinding(f"part {seq} was acknowledged as passed, and the log has no pass bit of it", epoch, seq)
