"""Metrics with their intervals, one definition for training, export and verification.

In this module `scores` are N finite floats, higher is worse; `bad` are N truths, True for a bad part; a part is
rejected if **score >= threshold**. A rate with a zero denominator is None, never NaN: without bad parts there is no
recall. Needs the extra `verify`; the running station does not import this file.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from edge.errors import DataError

Numbers = Sequence[float] | npt.NDArray[Any]
Truths = Sequence[bool] | npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


class Rate(BaseModel):
    """`successes` of `trials` with the exact binomial interval; without trials `value` is None."""

    model_config = ConfigDict(frozen=True)

    successes: int
    trials: int
    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.successes}/{self.trials})"


def rate(successes: int, trials: int, confidence: float = 0.95) -> Rate:
    """The proportion and its interval after Clopper and Pearson (Biometrika 26, 1934); 0 to 1 without trials.

    Raises ValueError unless 0 <= successes <= trials and 0 < confidence < 1.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"no such proportion: {successes} of {trials} at confidence {confidence}")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    value = successes / trials if trials else None
    return Rate(successes=successes, trials=trials, value=value, low=low, high=high)


class Confusion(BaseModel):
    """Counts at one threshold; positive means rejected, so `fn` are misses and `fp` false rejects."""

    model_config = ConfigDict(frozen=True)

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def recall(self) -> Rate:
        """Rejected bad parts among all bad parts (TPR)."""
        return rate(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Rate:
        """Passed good parts among all good parts (TNR)."""
        return rate(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> Rate:
        """Bad parts among the rejected parts."""
        return rate(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without bad parts and rejects."""
        doubled = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / doubled if doubled else None


class Figures(BaseModel):
    """The metrics at one threshold; `auroc` and `average_precision` are None with one class."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    confusion: Confusion
    recall: Rate
    specificity: Rate
    precision: Rate
    f1: float | None
    auroc: float | None
    average_precision: float | None


def judge(scores: Numbers, bad: Truths, threshold: float) -> Figures:
    """All metrics at a threshold. Raises DataError if there are no scores or one is not finite."""
    counts = confusion(scores, bad, threshold)
    return Figures(
        threshold=threshold,
        confusion=counts,
        recall=counts.recall,
        specificity=counts.specificity,
        precision=counts.precision,
        f1=counts.f1,
        auroc=auroc(scores, bad),
        average_precision=average_precision(scores, bad),
    )


def unjudged(threshold: float) -> Figures:
    """The metrics at a threshold without any photographs."""
    return Figures(
        threshold=threshold,
        confusion=Confusion(tp=0, fp=0, tn=0, fn=0),
        recall=rate(0, 0),
        specificity=rate(0, 0),
        precision=rate(0, 0),
        f1=None,
        auroc=None,
        average_precision=None,
    )


def confusion(scores: Numbers, bad: Truths, threshold: float) -> Confusion:
    """Counts at a threshold; a score equal to it is rejected. Raises DataError as `judge` does."""
    values, truths = checked(scores, bad)
    rejected = values >= threshold
    return Confusion(
        tp=int((rejected & truths).sum()),
        fp=int((rejected & ~truths).sum()),
        tn=int((~rejected & ~truths).sum()),
        fn=int((~rejected & truths).sum()),
    )


def auroc(scores: Numbers, bad: Truths) -> float | None:
    """The probability that a bad part scores above a good one, ties counting half; None with one class."""
    values, truths = checked(scores, bad)
    return float(roc_auc_score(truths, values)) if 0 < truths.sum() < len(truths) else None


def average_precision(scores: Numbers, bad: Truths) -> float | None:
    """Precision averaged over the steps of recall, not interpolated; None with one class."""
    values, truths = checked(scores, bad)
    return float(average_precision_score(truths, values)) if 0 < truths.sum() < len(truths) else None


def rejected_by_group(scores: Numbers, groups: Iterable[str], threshold: float) -> dict[str, Rate]:
    """Rejection rate of each group (a defect kind, a strength, a shift), sorted by the group's name.

    Raises ValueError unless there is one group for each score, DataError as `judge` does.
    """
    names = np.array(list(groups), dtype=object)
    values, _ = checked(scores, np.zeros(len(names), bool))
    rejected = values >= threshold
    members = {name: names == name for name in sorted(set(names))}
    return {name: rate(int(rejected[of].sum()), int(of.sum())) for name, of in members.items()}


def part_scores(
    scores: Numbers, bad: Truths, parts: Sequence[str], together: Callable[[Floats], Any] = np.mean
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Scores of M parts, each aggregated by `together` over its photographs, and their truths: float64, bool [M].

    `parts` names the part on each photograph; the result is sorted by these names. A part is bad if any of its
    photographs is. Raises ValueError unless there is one name for each score, DataError as `judge` does.
    """
    values, truths = checked(scores, bad)
    if len(parts) != len(values):
        raise ValueError(f"{len(values)} photographs and {len(parts)} names of parts")
    names, part = np.unique(np.asarray(parts, dtype=np.str_), return_inverse=True)
    members = [part == index for index in range(len(names))]
    return np.array([float(together(values[of])) for of in members]), np.array([truths[of].any() for of in members])


def dice(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float | None:
    """Dice: twice the intersection of two boolean maps of one shape over the sum of their areas; None if both empty."""
    both, either = _overlap(found, truth)
    return 2 * both / (both + either) if either else None


def iou(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float | None:
    """Intersection over union of two boolean maps of one shape; None if both are empty."""
    both, either = _overlap(found, truth)
    return both / either if either else None


def checked(scores: Numbers, bad: Truths) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Scores float64 [N] and truths bool [N]. Raises DataError if there are none or one is not finite."""
    values, truths = np.asarray(scores, np.float64), np.asarray(bad, bool)
    if values.ndim != 1 or values.shape != truths.shape:
        raise ValueError(f"{values.shape} scores and {truths.shape} truths: one of each for a part, in one dimension")
    if not len(values):
        raise DataError("there are no scores to judge")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        remedy = "no figure can be computed; see what the model gives for that photograph"
        raise DataError(f"score {first} of {len(values)} is {values[first]}, not a finite number: {remedy}")
    return values, truths


def _overlap(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> tuple[int, int]:
    if found.shape != truth.shape:
        raise ValueError(f"maps of different shapes: {found.shape} and {truth.shape}")
    found, truth = found.astype(bool), truth.astype(bool)
    return int((found & truth).sum()), int((found | truth).sum())
