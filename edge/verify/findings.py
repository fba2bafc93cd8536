"""Evaluation of an artifact on labelled photographs, at its own threshold. Needs the extra `verify`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.evaluation.intervals import auroc_interval, clustered_rate
from edge.evaluation.metrics import Figures, Rate, judge, part_scores
from edge.station.part_counts import percentile
from edge.verify.scoring import Seen

UNNAMED = "bad"
"""The kind of a defect for which neither a folder nor parts.csv gives a name."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class ByPart(_Said):
    """The metrics with each part counting once; a part with several photographs is bad if any of them is.

    `recall` and `specificity` are those of the photographs, with intervals that treat the photographs of one part as a
    cluster. `whole_parts` judges parts by the highest score of their photographs; None if each part was photographed
    once.
    """

    parts: int
    recall: Rate
    specificity: Rate
    whole_parts: Figures | None


class Overlap(_Said):
    """Means over `photographs` with ground truth; a map's pixel counts as a defect from `level` on."""

    level: float
    photographs: int
    dice: float
    iou: float


class Latency(_Said):
    """Latency of one inference, from the frame in memory to the score, for frames of any size; milliseconds."""

    p50_ms: float
    p99_ms: float


class Findings(_Said):
    """The evaluation of one artifact. `misses` and `false_rejects` name photographs, the worst first."""

    figures: Figures
    auroc_low: float | None
    auroc_high: float | None
    by_part: ByPart | None
    kinds: dict[str, Rate]
    overlap: Overlap | None
    latency: Latency
    misses: list[str]
    false_rejects: list[str]


class Flip(_Said):
    """A photograph on which two artifacts disagree."""

    name: str
    label: str
    scores: dict[str, float]


def part_names(seen: Sequence[Seen]) -> tuple[str, ...] | None:
    """The part on each photograph; None unless parts.csv names it for every photograph."""
    names = tuple(one.photograph.details.get("part", "") for one in seen)
    return names if all(names) else None


def kind_of(one: Seen) -> str:
    """The kind of defect on a bad photograph."""
    return one.photograph.defect or UNNAMED


def findings(seen: Sequence[Seen], artifact: str, threshold: float, level: float | None) -> Findings:
    """The evaluation of one artifact. Raises DataError if a score is not finite."""
    scores = np.array([one.scores[artifact] for one in seen])
    bad = np.array([one.photograph.is_bad for one in seen])
    parts = part_names(seen)
    figures = judge(scores, bad, threshold)
    low, high = (None, None) if figures.auroc is None else auroc_interval(figures.auroc, *_units(bad, parts))
    ascending = sorted(one.ms[artifact] for one in seen)
    order = np.argsort(scores, kind="stable")
    return Findings(
        figures=figures,
        auroc_low=low,
        auroc_high=high,
        by_part=None if parts is None else _by_part(scores, bad, parts, threshold),
        kinds=_kinds(seen, artifact, threshold),
        overlap=_overlap(seen, artifact, level),
        latency=Latency(p50_ms=percentile(ascending, 50) or 0.0, p99_ms=percentile(ascending, 99) or 0.0),
        misses=[seen[index].photograph.name for index in order if bad[index] and scores[index] < threshold],
        false_rejects=[
            seen[index].photograph.name for index in order[::-1] if not bad[index] and scores[index] >= threshold
        ],
    )


def flips(seen: Sequence[Seen], thresholds: Mapping[str, float]) -> list[Flip]:
    """Photographs that one artifact rejects and another passes, each at its own threshold."""
    return [
        Flip(name=one.photograph.name, label=one.photograph.label, scores=one.scores)
        for one in seen
        if len({score >= thresholds[artifact] for artifact, score in one.scores.items()}) > 1
    ]


def wrong(seen: Sequence[Seen], said: Mapping[str, Findings]) -> tuple[list[Seen], list[Seen]]:
    """Photographs that any artifact missed, and good ones that any artifact rejected; the worst first."""
    by_name = {one.photograph.name: one for one in seen}
    misses = dict.fromkeys(name for one in said.values() for name in one.misses)
    false_rejects = dict.fromkeys(name for one in said.values() for name in one.false_rejects)
    return [by_name[name] for name in misses], [by_name[name] for name in false_rejects]


def _units(bad: npt.NDArray[Any], parts: tuple[str, ...] | None) -> tuple[int, int]:
    """Numbers of bad and good trials: parts if they are named, else photographs."""
    if parts is None:
        return int(bad.sum()), int((~bad).sum())
    names = np.array(parts)
    return len(set(names[bad])), len(set(names[~bad]))


def _by_part(scores: npt.NDArray[Any], bad: npt.NDArray[Any], parts: tuple[str, ...], threshold: float) -> ByPart:
    names, count = np.array(parts), len(set(parts))
    rejected = scores >= threshold
    whole = None if count == len(parts) else judge(*part_scores(scores, bad, parts, np.max), threshold)
    return ByPart(
        parts=count,
        recall=clustered_rate(rejected[bad], list(names[bad])),
        specificity=clustered_rate(~rejected[~bad], list(names[~bad])),
        whole_parts=whole,
    )


def _kinds(seen: Sequence[Seen], artifact: str, threshold: float) -> dict[str, Rate]:
    """Rejection rate of each kind of defect; the photographs of one part count as one trial."""
    bad = [one for one in seen if one.photograph.is_bad]
    members = {kind: [one for one in bad if kind_of(one) == kind] for kind in sorted({kind_of(one) for one in bad})}
    return {
        kind: clustered_rate([one.scores[artifact] >= threshold for one in those], part_names(those))
        for kind, those in members.items()
    }


def _overlap(seen: Sequence[Seen], artifact: str, level: float | None) -> Overlap | None:
    found = [one.overlaps[artifact] for one in seen if artifact in one.overlaps]
    if not found or level is None:
        return None
    dice, iou = (float(mean) for mean in np.mean(found, axis=0))
    return Overlap(level=level, photographs=len(found), dice=dice, iou=iou)
