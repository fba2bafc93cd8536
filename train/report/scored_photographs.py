"""The photographs of a run with their scores, from which all figures of the report are computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.evaluation.threshold_stability import Sample
from train.data.photographs import SPLITS, Photograph
from train.run import SCORES_FILE, Run, RunError, Scored, read_scores


@dataclass(frozen=True)
class Inspected(Scored):
    """A row of scores.csv with its `photograph`."""

    photograph: Photograph

    def is_miss(self, threshold: float) -> bool:
        """Whether it is bad and would pass."""
        return self.is_bad and self.score < threshold

    def is_false_alarm(self, threshold: float) -> bool:
        """Whether it is good and would be rejected."""
        return not self.is_bad and self.score >= threshold


def read_inspected(run: Run) -> dict[str, list[Inspected]]:
    """The photographs of each non-empty split, in the order of scores.csv; of a large training part some.

    Raises RunError if scores.csv cannot be read or belongs to other photographs, DataError if the run's photographs
    cannot be listed.
    """
    photographs = {(split, p.name, p.is_bad): p for split in SPLITS for p in run.photographs(split)}
    rows = {(row.split, row.name, row.is_bad): row for row in read_scores(run.path)}
    due = {key for key in photographs if key[0] != "train"}
    if strangers := sorted((rows.keys() - photographs.keys()) | (due - rows.keys())):
        split, name, is_bad = strangers[0]
        raise RunError(
            f"{run.path / SCORES_FILE} is not of this run's photographs: {len(strangers)} differ in name, split or "
            f"label, the first {name} ({split}, {'bad' if is_bad else 'good'}); put back the one of this run, or train "
            "again"
        )
    found: dict[str, list[Inspected]] = {split: [] for split in SPLITS}
    for key, row in rows.items():
        photograph = photographs[key]
        part = row.part or photograph.details.get("part") or None
        found[row.split].append(Inspected(row.name, row.split, row.is_bad, row.defect, part, row.score, photograph))
    return {split: members for split, members in found.items() if members}


def sample(inspected: Sequence[Inspected]) -> Sample:
    """The scores, truths and parts of some photographs; parts only if each of them has one."""
    parts = [one.part for one in inspected]
    return Sample(
        scores=np.array([one.score for one in inspected], np.float64),
        bad=np.array([one.is_bad for one in inspected], bool),
        parts=tuple(part for part in parts if part) if parts and all(parts) else None,
    )


def count_parts(named: Iterable[str | None]) -> int | None:
    """Number of distinct parts, by their names; None if parts are unknown."""
    parts = {*named}
    return None if None in parts else len(parts)
