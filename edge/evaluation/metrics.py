"""The judge: metrics, intervals and thresholds, one definition for training, export and verification.

Everywhere here `scores` holds N finite floats, higher is worse; `bad` holds N truths, True for a bad part; a
part is rejected when **score >= threshold**. A rate whose denominator is zero is None, never NaN: without bad
parts there is no recall. Needs the extra `verify`; the running station does not import this file.

**Thresholds stand between scores.** A threshold equal to somebody's score would let a difference of 1e-6
between two runtimes turn that verdict. So a strategy only chooses which scores to reject; the threshold is
the midpoint between the lowest score rejected and the next score below; beyond the outermost scores, half
their mean distance further. Where two cuts are equally good the lower threshold is taken: it rejects more.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from edge.errors import DataError, RecipeError

Numbers = Sequence[float] | npt.NDArray[Any]
Truths = Sequence[bool] | npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
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
    """Counts at one threshold; positive means rejected, so `fn` are the misses and `fp` the false rejects."""

    model_config = ConfigDict(frozen=True)

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def recall(self) -> Rate:
        """Bad parts rejected, of all bad parts (TPR)."""
        return rate(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Rate:
        """Good parts passed, of all good parts (TNR)."""
        return rate(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> Rate:
        """Bad parts among the rejected."""
        return rate(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without bad parts and rejects."""
        doubled = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / doubled if doubled else None


class Figures(BaseModel):
    """What the judge says at one threshold; `auroc` and `average_precision` are None with one class."""

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
    """All figures at a threshold. Raises DataError if there are no scores or one of them is not finite."""
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
    """The figures at a threshold of which nothing is known, for want of photographs."""
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
    values, truths = _checked(scores, bad)
    rejected = values >= threshold
    return Confusion(
        tp=int((rejected & truths).sum()),
        fp=int((rejected & ~truths).sum()),
        tn=int((~rejected & ~truths).sum()),
        fn=int((~rejected & truths).sum()),
    )


def auroc(scores: Numbers, bad: Truths) -> float | None:
    """The chance that a bad part scores above a good one, ties counting half; None with one class."""
    values, truths = _checked(scores, bad)
    return float(roc_auc_score(truths, values)) if 0 < truths.sum() < len(truths) else None


def average_precision(scores: Numbers, bad: Truths) -> float | None:
    """Precision averaged over the steps of recall, not interpolated; None with one class."""
    values, truths = _checked(scores, bad)
    return float(average_precision_score(truths, values)) if 0 < truths.sum() < len(truths) else None


def rejected_by_group(scores: Numbers, groups: Iterable[str], threshold: float) -> dict[str, Rate]:
    """How many of each group are rejected (a defect kind, a strength, a shift), sorted by the group's name.

    Raises ValueError unless there is one group for each score, DataError as `judge` does.
    """
    names = np.array(list(groups), dtype=object)
    values, _ = _checked(scores, np.zeros(len(names), bool))
    rejected = values >= threshold
    members = {name: names == name for name in sorted(set(names))}
    return {name: rate(int(rejected[of].sum()), int(of.sum())) for name, of in members.items()}


def part_scores(
    scores: Numbers, bad: Truths, parts: Sequence[str], together: Callable[[Floats], Any] = np.mean
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """One score for each of M parts, that of its photographs `together`, and whether it is bad: float64, bool [M].

    `parts` names the part that each photograph shows; the answer is sorted by these names. A part is bad if one of
    its photographs is. Raises ValueError unless there is one name for each score, DataError as `judge` does.
    """
    values, truths = _checked(scores, bad)
    if len(parts) != len(values):
        raise ValueError(f"{len(values)} photographs and {len(parts)} names of parts")
    names, part = np.unique(np.asarray(parts, dtype=np.str_), return_inverse=True)
    members = [part == index for index in range(len(names))]
    return np.array([float(together(values[of])) for of in members]), np.array([truths[of].any() for of in members])


def dice(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float | None:
    """Twice the overlap of two boolean maps of one shape over the sum of their areas; None if both empty."""
    both, either = _overlap(found, truth)
    return 2 * both / (both + either) if either else None


def iou(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float | None:
    """The overlap of two boolean maps of one shape over their union; None if both are empty."""
    both, either = _overlap(found, truth)
    return both / either if either else None


class Threshold(BaseModel):
    """A threshold, how it was chosen, and what it does on the scores it was chosen on."""

    model_config = ConfigDict(frozen=True)

    value: float
    strategy: str
    parameters: dict[str, float]
    confusion: Confusion


def choose_threshold(scores: Numbers, bad: Truths, strategy: str, **parameters: float) -> Threshold:
    """The threshold that `strategy` (a key of `STRATEGIES`) chooses, between two scores.

    Raises RecipeError for an unknown strategy or parameter, DataError if a score is not finite or the
    strategy needs photographs of a class that is not there.
    """
    chosen = strategy_parameters(strategy, parameters)
    entry = STRATEGIES[strategy]
    values, truths = _checked(scores, bad)
    if (entry.needs_bad and not truths.any()) or (entry.needs_good and truths.all()):
        missing = "bad" if not truths.any() else "good"
        raise DataError(
            f"threshold strategy {strategy!r} needs {missing} photographs and there are none; "
            f"{'specificity' if missing == 'bad' else 'recall'!r} does without"
        )
    cuts = _all_cuts(values, truths)
    value = float(cuts.threshold[entry.choose(cuts, **chosen)])
    counts = confusion(values, truths, value)
    return Threshold(value=value, strategy=strategy, parameters=chosen, confusion=counts)


@dataclass(frozen=True)
class Cuts:
    """Every different cut of the scores, K of them, by ascending threshold: from all rejected to none.

    `threshold` float64 [K]; `tp`, `fp`, `tn`, `fn` int64 [K]. `recall` and `specificity` float64 [K] are NaN
    where their class is absent.
    """

    threshold: Floats
    tp: Ints
    fp: Ints
    tn: Ints
    fn: Ints

    @property
    def recall(self) -> Floats:
        """Bad parts rejected, of all bad parts."""
        bad = self.tp[0]
        return self.tp / bad if bad else np.full(len(self.tp), np.nan)

    @property
    def specificity(self) -> Floats:
        """Good parts passed, of all good parts."""
        good = self.tn[-1]
        return self.tn / good if good else np.full(len(self.tn), np.nan)


@dataclass(frozen=True)
class Strategy:
    """A way to choose: `choose(cuts, **parameters)` gives the index of a cut."""

    choose: Callable[..., int]
    needs_bad: bool
    needs_good: bool
    about: str


def _best_f1(cuts: Cuts) -> int:
    return int(np.argmax(2 * cuts.tp / (2 * cuts.tp + cuts.fp + cuts.fn)))


def _recall(cuts: Cuts, *, at_least: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.recall >= at_least)[-1])


def _specificity(cuts: Cuts, *, at_least: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.specificity >= at_least)[0])


def _balanced(cuts: Cuts) -> int:
    return int(np.argmax(cuts.recall + cuts.specificity))


def _lowest_bad(cuts: Cuts) -> int:
    return int(np.flatnonzero(cuts.fn == 0)[-1])


def _cost(cuts: Cuts, *, miss: float = 10.0, false_reject: float = 1.0) -> int:
    return int(np.argmin(miss * cuts.fn + false_reject * cuts.fp))


def _reject_rate(cuts: Cuts, *, at_most: float = 0.05) -> int:
    rejected = (cuts.tp + cuts.fp) / (cuts.tp[0] + cuts.fp[0])
    return int(np.flatnonzero(rejected <= at_most)[0])


STRATEGIES: dict[str, Strategy] = {
    "best-f1": Strategy(_best_f1, True, False, "the highest F1"),
    "recall": Strategy(_recall, True, False, "the fewest false rejects at recall >= at_least"),
    "specificity": Strategy(_specificity, False, True, "the fewest misses at specificity >= at_least"),
    "balanced": Strategy(_balanced, True, True, "the highest mean of recall and specificity"),
    "lowest-bad": Strategy(_lowest_bad, True, False, "just below the lowest score of a known-bad photograph"),
    "cost": Strategy(_cost, True, True, "the lowest sum of miss * misses + false_reject * false rejects"),
    "reject-rate": Strategy(_reject_rate, False, False, "the highest recall with at most at_most of all rejected"),
}
"""Ways to choose a threshold, by name; parameters are shares (`at_least`, `at_most`) or costs from 0."""


def strategy_parameters(strategy: str, given: dict[str, Any]) -> dict[str, float]:
    """The parameters of a strategy, `given` over its defaults. Raises RecipeError if one does not fit."""
    if strategy not in STRATEGIES:
        raise RecipeError(f"no threshold strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    known = signature(STRATEGIES[strategy].choose).parameters.values()
    parameters = {p.name: float(p.default) for p in known if p.kind is p.KEYWORD_ONLY}
    for key, value in given.items():
        if key not in parameters:
            has = ", ".join(parameters) or "none"
            raise RecipeError(f"threshold strategy {strategy!r} has no parameter {key!r}; it has {has}")
        upper = 1.0 if key.startswith("at_") else np.inf
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= upper:
            wanted = f"is not a number from 0 to {upper:g}"
            raise RecipeError(f"threshold strategy {strategy!r}: {key} = {value!r} {wanted}")
        parameters[key] = float(value)
    return parameters


def _checked(scores: Numbers, bad: Truths) -> tuple[Floats, npt.NDArray[np.bool_]]:
    values, truths = np.asarray(scores, np.float64), np.asarray(bad, bool)
    if values.ndim != 1 or values.shape != truths.shape:
        raise ValueError(f"{values.shape} scores and {truths.shape} truths: one of each for a part, in one dimension")
    if not len(values):
        raise DataError("there are no scores to judge")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"score {first} of {len(values)} is {values[first]}, not a finite number: a broken model")
    return values, truths


def _all_cuts(values: Floats, truths: npt.NDArray[np.bool_]) -> Cuts:
    levels, level = np.unique(values, return_inverse=True)
    bad_at = np.bincount(level, truths, len(levels)).astype(np.int64)
    good_at = np.bincount(level, ~truths, len(levels)).astype(np.int64)
    fn, tn = np.concatenate([[0], bad_at.cumsum()]), np.concatenate([[0], good_at.cumsum()])
    return Cuts(threshold=_between(levels), tp=fn[-1] - fn, fp=tn[-1] - tn, tn=tn, fn=fn)


def _between(levels: Floats) -> Floats:
    """One threshold below all `levels`, one between each two, one above all; they ascend and differ."""
    alone = len(levels) == 1
    margin = max(1e-6, 1e-3 * abs(levels[0])) if alone else np.diff(levels).mean() / 2
    middle = levels[:-1] + np.diff(levels) / 2
    # Two neighbouring floats have nothing between them: the threshold is then the upper score itself.
    middle = np.where(middle > levels[:-1], middle, levels[1:])
    above = max(levels[-1] + margin, np.nextafter(levels[-1], np.inf))
    return np.concatenate([[levels[0] - margin], middle, [above]])


def _overlap(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> tuple[int, int]:
    if found.shape != truth.shape:
        raise ValueError(f"maps of different shapes: {found.shape} and {truth.shape}")
    found, truth = found.astype(bool), truth.astype(bool)
    return int((found & truth).sum()), int((found | truth).sum())
