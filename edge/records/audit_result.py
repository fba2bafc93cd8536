"""What an audit of a record found: its runs, and what is wrong with it."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from edge.records.gate_log import GateReport

MOST_NAMED = 100
"""Problems of a kind that are named one by one; the rest are counted."""

LONGEST_TEXT = 1000
"""Characters of a problem; a journal may say more in one value than anybody reads."""


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
    IMAGE = "image"
    JOURNAL = "journal"


class Problem(NamedTuple):
    """Something that is not as it should be, in words."""

    kind: Kind
    text: str
    epoch: str | None = None
    seq: int | None = None


@dataclass
class Run:
    """The books of one epoch, as the journal has them. `lost` counts the verdicts known to be missing."""

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
    is_live: bool = False
    is_cut: bool = False
    """It had not ended when this copy of the record was made."""
    last_here: int = 0


@dataclass
class Audit:
    """What was found. The record is sound if there is no problem."""

    folder: Path
    is_live: bool
    is_copy: bool = False
    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    images: int | None = None
    """Those that are kept; None if they were not looked at."""
    images_gone: int = 0
    without_image: Counter[str] = field(default_factory=Counter)
    """Rejects and unknowns that had a frame, of which no image was ever kept: a full disk stops images."""
    gate: GateReport | None = None
    copied: Counter[str] = field(default_factory=Counter)
    """Images that a copy has or lacks because the station ran on while it was made, by why."""

    @property
    def is_sound(self) -> bool:
        """True if there is no problem at all."""
        return not self.counts

    def find(self, kind: Kind, text: str, epoch: str | None = None, seq: int | None = None) -> None:
        """Note a problem."""
        self.counts[kind] += 1
        text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
        if self.counts[kind] <= MOST_NAMED:
            self.problems.append(Problem(kind, text, epoch, seq))

    @property
    def live_epoch(self) -> str | None:
        """The run that is still being written."""
        return next((run.epoch for run in self.runs if run.is_live), None)

    @property
    def cut_run(self) -> Run | None:
        """The run that had not ended when this copy was made."""
        return next((run for run in self.runs if run.is_cut), None)

    @property
    def open_epoch(self) -> str | None:
        """The run of which more may be known elsewhere than the journal says here."""
        return self.cut_run.epoch if self.cut_run else self.live_epoch
