"""Every photograph of a run with the score it got: what all figures of the report are made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import DataError
from edge.promise import Sample
from train.data.photographs import SPLITS, Photograph
from train.run import Run, Scored, read_scores


@dataclass(frozen=True)
class Inspected(Scored):
    """A row of scores.csv and its `photograph`, None where the data folder no longer holds it."""

    photograph: Photograph | None

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
    for row in read_scores(run.path):
        photograph = photographs.get(row.name)
        part = row.part or (photograph.details.get("part") or None if photograph else None)
        inspected = Inspected(row.name, row.split, row.is_bad, row.defect, part, row.score, photograph)
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
