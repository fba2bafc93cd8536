"""Choice of a threshold, one definition for training, export and verification.

**Thresholds lie between scores.** With a threshold equal to a photograph's score, a difference of 1e-6 between two
runtimes would change that verdict. So a strategy only chooses which scores to reject; the threshold is the midpoint
between the lowest rejected score and the next score below it; outside the outermost scores it is half their mean
distance away. Of equally good cuts the one with the lower threshold is taken, which rejects more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import Confusion, Floats, Numbers, Truths, checked, confusion
from edge.text import did_you_mean

Ints = npt.NDArray[np.int64]


class ChosenThreshold(BaseModel):
    """A threshold, how it was chosen, and its counts on the scores on which it was chosen."""

    model_config = ConfigDict(frozen=True)

    value: float
    strategy: str
    parameters: dict[str, float]
    confusion: Confusion


def choose_threshold(scores: Numbers, bad: Truths, strategy: str, **parameters: float) -> ChosenThreshold:
    """The threshold between two scores that `strategy` (a key of `STRATEGIES`) chooses.

    Raises RecipeError for an unknown strategy or parameter, DataError if a score is not finite or the strategy needs
    photographs of an absent class.
    """
    chosen = strategy_parameters(strategy, parameters)
    entry = STRATEGIES[strategy]
    values, truths = checked(scores, bad)
    if (entry.needs_bad and not truths.any()) or (entry.needs_good and truths.all()):
        missing = "bad" if not truths.any() else "good"
        raise DataError(
            f"threshold strategy {strategy!r} needs {missing} photographs and there are none; "
            f"{'specificity' if missing == 'bad' else 'recall'!r} does without"
        )
    cuts = _all_cuts(values, truths)
    value = float(cuts.threshold[entry.choose(cuts, **chosen)])
    counts = confusion(values, truths, value)
    return ChosenThreshold(value=value, strategy=strategy, parameters=chosen, confusion=counts)


@dataclass(frozen=True)
class Cuts:
    """The K distinct cuts of the scores, by ascending threshold: from all rejected to none.

    `threshold` float64 [K]; `tp`, `fp`, `tn`, `fn` int64 [K]. `recall` and `specificity` float64 [K] are NaN if their
    class is absent.
    """

    threshold: Floats
    tp: Ints
    fp: Ints
    tn: Ints
    fn: Ints

    @property
    def recall(self) -> Floats:
        """Rejected bad parts among all bad parts."""
        bad = self.tp[0]
        return self.tp / bad if bad else np.full(len(self.tp), np.nan)

    @property
    def specificity(self) -> Floats:
        """Passed good parts among all good parts."""
        good = self.tn[-1]
        return self.tn / good if good else np.full(len(self.tn), np.nan)


@dataclass(frozen=True)
class Strategy:
    """A strategy: `choose(cuts, **parameters)` returns the index of a cut."""

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


def _midway(cuts: Cuts, *, at_least: float = 0.95) -> int:
    ends = cuts.threshold[[_recall(cuts, at_least=at_least), _specificity(cuts, at_least=at_least)]]
    return int(np.argmin(np.abs(cuts.threshold - ends.mean())))


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
    "midway": Strategy(
        _midway, True, True, "the cut nearest to the mean of the thresholds for recall and for specificity >= at_least"
    ),
    "balanced": Strategy(_balanced, True, True, "the highest mean of recall and specificity"),
    "lowest-bad": Strategy(_lowest_bad, True, False, "just below the lowest score of a known-bad photograph"),
    "cost": Strategy(_cost, True, True, "the lowest sum of miss * misses + false_reject * false rejects"),
    "reject-rate": Strategy(_reject_rate, False, False, "the highest recall with at most at_most of all rejected"),
}
"""Strategies by name; parameters are fractions (`at_least`, `at_most`) or costs of at least 0."""


def nearest_threshold(scores: Sequence[float], rejected: Sequence[bool], *tried: float) -> float:
    """The threshold for `scores` that changes the fewest of the verdicts `rejected`. Of equal ones, values in `tried`
    come first, in their order.

    Among scores close together, a tiny difference can move the optimum of a strategy from one end of them to the other.
    Keeping the verdicts has priority over that optimum.
    """
    values, verdicts = np.asarray(scores, np.float64), np.asarray(rejected, bool)
    levels = np.unique(values)
    cuts = [*tried, *(levels[:-1] + np.diff(levels) / 2)]
    turned = [int(((values >= cut) != verdicts).sum()) for cut in cuts]
    return float(cuts[int(np.argmin(turned))])


def strategy_parameters(strategy: str, given: dict[str, Any]) -> dict[str, float]:
    """The parameters of a strategy: its defaults, updated by `given`. Raises RecipeError if one is not valid."""
    if strategy not in STRATEGIES:
        raise RecipeError(f"no threshold strategy {strategy!r}; {known_strategies(strategy)}")
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


def known_strategies(given: str) -> str:
    """The remedy for a strategy that does not exist: the one nearest to `given`, if one is near, and all names."""
    return f"{did_you_mean(given, STRATEGIES)}there are {', '.join(STRATEGIES)}"


def _all_cuts(values: Floats, truths: npt.NDArray[np.bool_]) -> Cuts:
    levels, level = np.unique(values, return_inverse=True)
    bad_at = np.bincount(level, truths, len(levels)).astype(np.int64)
    good_at = np.bincount(level, ~truths, len(levels)).astype(np.int64)
    fn, tn = np.concatenate([[0], bad_at.cumsum()]), np.concatenate([[0], good_at.cumsum()])
    return Cuts(threshold=_between(levels), tp=fn[-1] - fn, fp=tn[-1] - tn, tn=tn, fn=fn)


def _between(levels: Floats) -> Floats:
    """One threshold below all `levels`, one between each two, one above all; ascending and distinct."""
    alone = len(levels) == 1
    margin = max(1e-6, 1e-3 * abs(levels[0])) if alone else np.diff(levels).mean() / 2
    middle = levels[:-1] + np.diff(levels) / 2
    # Two adjacent floats have nothing between them: the threshold is then the upper score itself.
    middle = np.where(middle > levels[:-1], middle, levels[1:])
    above = max(levels[-1] + margin, np.nextafter(levels[-1], np.inf))
    return np.concatenate([[levels[0] - margin], middle, [above]])
