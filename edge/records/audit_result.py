"""The result of an audit: the runs of the record, and the problems found."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from edge.records.gate_log import GateReport
from edge.records.plc_log import PlcReport

MOST_NAMED = 100
"""Problems of one kind that are listed one by one; further ones are only counted."""

LONGEST_TEXT = 1000
"""Characters of a problem's text. Texts quote values of the journal, which can have up to 1 MiB."""


class Kind(StrEnum):
    """Kinds of problems, the worst first."""

    ESCAPE = "escape"
    UNPROVEN = "unproven"
    SEQUENCE = "sequence"
    LEDGER = "ledger"
    VERDICT = "verdict"
    RUN = "run"
    LOST = "lost"
    ACKNOWLEDGEMENT = "acknowledgement"
    GATE = "gate"
    PLC = "plc"
    IMAGE = "image"
    JOURNAL = "journal"


class Problem(NamedTuple):
    """One problem of the record, with a text for people, and the epoch and sequence number if known."""

    kind: Kind
    text: str
    epoch: str | None = None
    seq: int | None = None


@dataclass
class Run:
    """The figures of one run from the journal. `lost` counts the verdicts known to be missing."""

    epoch: str
    boot: int
    station: str
    source: str
    bundle: str
    started: str
    ended: str | None
    cause: str | None
    last_seq: int | None
    accepted: int
    good: int = 0
    reject: int = 0
    unknown: int = 0
    lost: int = 0
    passed: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    """Rejects by kind of defect, of those that are there in full and have one."""
    expired: int = 0
    """Of the verdicts, those of which only counts by hour are left."""
    is_live: bool = False
    is_cut: bool = False
    """Whether the run had not ended when this copy of the record was made."""
    last_here: int = 0


@dataclass
class Audit:
    """The result of an audit. The record is sound if there is no problem."""

    folder: Path
    is_live: bool
    is_copy: bool = False
    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    images: int | None = None
    """Number of images that are kept; None if images were not checked."""
    images_gone: int = 0
    without_image: Counter[str] = field(default_factory=Counter)
    """Rejects and unknowns that had a frame and no image at any time, by outcome: a full disk prevents images."""
    gate: GateReport | None = None
    plc: PlcReport | None = None
    expired_until: str | None = None
    """When the last verdict of which only counts are left was published; None if none expired."""
    challenges: dict[str, str] = field(default_factory=dict)
    """The newest challenges of each ending, "stored", "part" and "failed", as time and text."""
    copied: Counter[str] = field(default_factory=Counter)
    """Images that a copy has or lacks because the station kept running while the copy was made, by reason."""

    @property
    def is_sound(self) -> bool:
        """True if there is no problem at all."""
        return not self.counts

    def find(self, kind: Kind, text: str, epoch: str | None = None, seq: int | None = None) -> None:
        """Record a problem: count it, and list it if fewer than MOST_NAMED of its kind are listed."""
        self.counts[kind] += 1
        text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
        if self.counts[kind] <= MOST_NAMED:
            self.problems.append(Problem(kind, text, epoch, seq))

    @property
    def live_epoch(self) -> str | None:
        """Epoch of the run that is still being written."""
        return next((run.epoch for run in self.runs if run.is_live), None)

    @property
    def cut_run(self) -> Run | None:
        """The run that had not ended when this copy was made."""
        return next((run for run in self.runs if run.is_cut), None)

    @property
    def open_epoch(self) -> str | None:
        """Epoch of the run for which this journal may be incomplete: it is still written, or was when it was copied."""
        return self.cut_run.epoch if self.cut_run else self.live_epoch
