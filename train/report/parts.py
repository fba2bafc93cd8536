"""Evaluation of whole parts by all their photographs together: by the mean score, and by the highest."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.evaluation.intervals import auroc_interval
from edge.evaluation.metrics import auroc, part_scores
from edge.evaluation.threshold_stability import Sample

Judge = Callable[[npt.NDArray[np.float64]], float]
JUDGES: dict[str, Judge] = {"mean": lambda scores: float(scores.mean()), "highest": lambda scores: float(scores.max())}
"""Aggregations of the scores of a part's photographs."""


@dataclass(frozen=True)
class Ranking:
    """An AUROC with its interval, and the numbers of bad and good parts (of photographs if parts are unknown)."""

    auroc: float
    low: float
    high: float
    bad: int
    good: int

    @property
    def tells_apart(self) -> bool:
        """Whether scores distinguish bad from good significantly better than guessing: the interval is above 0.5."""
        return self.low > 0.5


def ranking(sample: Sample) -> Ranking | None:
    """The AUROC over photographs; its interval counts each part once. None with one class."""
    value = auroc(sample.scores, sample.bad)
    if value is None:
        return None
    bad, good = (_units(sample.of_class(is_bad)) for is_bad in (True, False))
    return Ranking(value, *auroc_interval(value, bad, good), bad, good)


def by_part(sample: Sample, judge: Judge) -> Sample | None:
    """One score per part, bad if any of its photographs is; None unless a part has several photographs."""
    if sample.parts is None or len(set(sample.parts)) == len(sample.parts):
        return None
    scores, bad = part_scores(sample.scores, sample.bad, sample.parts, judge)
    return Sample(scores, bad, tuple(sorted(set(sample.parts))))


def _units(sample: Sample) -> int:
    return len(sample.bad) if sample.parts is None else len(set(sample.parts))
