"""Every photograph of a run with the score it got: what all figures of the report are made from."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.promise import Sample
from train.data.photographs import SPLITS, Photograph
from train.run import Run, RunError


@dataclass(frozen=True)
class Inspected:
    """One row of scores.csv. `photograph` is None where the data folder no longer holds it."""

    name: str
    split: str
    is_bad: bool
    defect: str | None
    score: float
    photograph: Photograph | None

    @property
    def part(self) -> str | None:
        """The part that it shows, if parts.csv says so."""
        return self.photograph.details.get("part") or None if self.photograph else None

    def is_miss(self, threshold: float) -> bool:
        """Whether it is bad and would pass."""
        return self.is_bad and self.score < threshold

    def is_false_alarm(self, threshold: float) -> bool:
        """Whether it is good and would be rejected."""
        return not self.is_bad and self.score >= threshold


def read_inspected(run: Run) -> dict[str, list[Inspected]]:
    """The photographs of each split that has any, in the order of scores.csv. Raises RunError."""
    photographs = {p.name: p for split in SPLITS for p in _photographs(run, split)}
    found: dict[str, list[Inspected]] = {}
    for row in _rows(run.path / "scores.csv"):
        inspected = Inspected(
            name=row["file"],
            split=row["split"],
            is_bad=row["label"] == "bad",
            defect=row["defect"] or None,
            score=float(row["score"]),
            photograph=photographs.get(row["file"]),
        )
        found.setdefault(inspected.split, []).append(inspected)
    return {split: found[split] for split in SPLITS if split in found}


def sample(inspected: Sequence[Inspected]) -> Sample:
    """The scores, truths and parts of some photographs; parts only where each of them has one."""
    parts = [one.part for one in inspected]
    return Sample(
        scores=np.array([one.score for one in inspected], np.float64),
        bad=np.array([one.is_bad for one in inspected], bool),
        parts=tuple(part for part in parts if part) if parts and all(parts) else None,
    )


def count_parts(inspected: Iterable[Inspected]) -> int | None:
    """How many different parts they show; None where parts are not known."""
    parts = {one.part for one in inspected}
    return None if None in parts else len(parts)


def _photographs(run: Run, split: str) -> list[Photograph]:
    try:
        return run.photographs(split)
    except DataError:
        return []


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}") from None
