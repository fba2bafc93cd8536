"""Choice of a threshold, one definition for training, export and verification.

**Thresholds lie between scores.** With a threshold equal to a photograph's score, a difference of 1e-6 between two
runtimes would change that verdict. So a strategy only chooses which scores to reject; the threshold is the midpoint
between the lowest rejected score and the next score below it; outside the outermost scores it is half their mean
distance away. Of equally good cuts the one with the lower threshold is taken, which rejects more.

Most strategies look at the given photographs alone: a specificity of 0.95 on them is as likely to be less as to be more
on further ones. A strategy with a parameter `confidence` makes a promise about further parts instead, by the tolerance
limits of `edge.evaluation.tolerance_limits`. It counts whole parts: a part is rejected if any of its photographs is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import Confusion, Floats, Numbers, Truths, checked, confusion, part_scores
from edge.evaluation.tolerance_limits import fewest_parts, lowest_rate, most_failures
from edge.text import did_you_mean

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
RateName = Literal["recall", "specificity", "rate of false rejects"]

CONFIDENCE = "confidence"
"""The parameter of the strategies that make a promise about further parts."""


class ChosenThreshold(BaseModel):
    """A threshold, how it was chosen, and its counts on the scores on which it was chosen."""

    model_config = ConfigDict(frozen=True)

    value: float
    strategy: str
    parameters: dict[str, float]
    confusion: Confusion


def choose_threshold(
    scores: Numbers, bad: Truths, strategy: str, *, parts: Sequence[str] | None = None, **parameters: float
) -> ChosenThreshold:
    """The threshold between two scores that `strategy` (a key of `STRATEGIES`) chooses.

    `parts` names the part on each photograph for the strategies that make a promise; without names each photograph
    counts as a part. Raises RecipeError for an unknown strategy or parameter, DataError if a score is not finite, or if
    there are no photographs of a class that the strategy needs or too few parts for its promise.
    """
    chosen = strategy_parameters(strategy, parameters)
    entry = STRATEGIES[strategy]
    values, truths = checked(scores, bad)
    units = _whole_parts(values, truths, parts if entry.promises else None)
    check_counts(strategy, chosen, units[1], parts is not None)
    cuts = _all_cuts(values, *units)
    value = float(cuts.threshold[entry.choose(cuts, **chosen)])
    counts = confusion(values, truths, value)
    return ChosenThreshold(value=value, strategy=strategy, parameters=chosen, confusion=counts)


def check_choice(bad: Truths, strategy: str, *, parts: Sequence[str] | None = None, **parameters: float) -> None:
    """Raise what `choose_threshold` raises for its parameters and for want of photographs, before these have scores."""
    chosen = strategy_parameters(strategy, parameters)
    _, truths = _whole_parts(np.zeros(len(bad)), bad, parts if STRATEGIES[strategy].promises else None)
    check_counts(strategy, chosen, truths, parts is not None)


def keeps_promise(
    scores: Numbers,
    bad: Truths,
    value: float,
    strategy: str,
    *,
    parts: Sequence[str] | None = None,
    **parameters: float,
) -> bool:
    """Whether the threshold `value` leaves no more failures among these parts than the promise of `strategy` allows.

    True for a strategy without a promise.
    """
    chosen, entry = strategy_parameters(strategy, parameters), STRATEGIES[strategy]
    if not entry.promises:
        return True
    values, truths = _whole_parts(*checked(scores, bad), parts)
    failed = (values < value)[truths] if entry.needs_bad else (values >= value)[~truths]
    allowed = most_failures(len(failed), failure_rate(chosen), chosen[CONFIDENCE])
    return allowed is not None and int(failed.sum()) <= allowed


def check_counts(strategy: str, parameters: dict[str, float], bad: Truths, of_parts: bool) -> None:
    """Raise DataError unless these parts or photographs allow the strategy with these parameters.

    `bad` has their truths; `of_parts` says whether they are called parts in the message.
    """
    entry, truths = STRATEGIES[strategy], np.asarray(bad, bool)
    if entry.promises:
        _check_promise(strategy, parameters, int((truths == entry.needs_bad).sum()), of_parts)
    elif (entry.needs_bad and not truths.any()) or (entry.needs_good and truths.all()):
        missing = "bad" if not truths.any() else "good"
        raise DataError(
            f"threshold strategy {strategy!r} needs {missing} photographs and there are none; "
            f"{'specificity' if missing == 'bad' else 'recall'!r} does without"
        )


def _check_promise(strategy: str, parameters: dict[str, float], count: int, of_parts: bool) -> None:
    confidence = parameters[CONFIDENCE]
    fewest = fewest_parts(failure_rate(parameters), confidence)
    if count >= fewest:
        return
    needs_bad = STRATEGIES[strategy].needs_bad
    units = f"{'bad' if needs_bad else 'good'} {'part' if of_parts else 'photograph'}s"
    least = lowest_rate(count, confidence)
    carried = floor(1000 * (1 - least)) / 1000 if needs_bad else ceil(1000 * least) / 1000
    remedy = f"give more, or ask for {strategy}={carried:g},{confidence:g}" if 0 < carried < 1 else "give more"
    raise DataError(
        f"threshold strategy {as_option(strategy, parameters)} takes at least {fewest} {units} to choose on, and there "
        f"{'is' if count == 1 else 'are'} {count or 'none'}; {remedy}"
    )


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
    """A strategy: `choose(cuts, **parameters)` returns the index of a cut.

    `asks` is the rate that its parameter `at_least` or `at_most` bounds; None if it is asked for no rate, or for one
    that depends on how many parts are bad, which is not the same in photographs as on a line. `promises` says whether
    it is a promise about further parts; its cuts are then counts of parts.
    """

    choose: Callable[..., int]
    needs_bad: bool
    needs_good: bool
    about: str
    asks: RateName | None = None
    promises: bool = False


def _best_f1(cuts: Cuts) -> int:
    return int(np.argmax(2 * cuts.tp / (2 * cuts.tp + cuts.fp + cuts.fn)))


def _recall(cuts: Cuts, *, at_least: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.recall >= at_least)[-1])


def _specificity(cuts: Cuts, *, at_least: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.specificity >= at_least)[0])


def _balanced(cuts: Cuts) -> int:
    return int(np.argmax(cuts.recall + cuts.specificity))


def _recall_with_confidence(cuts: Cuts, *, at_least: float = 0.95, confidence: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.fn <= _allowed(cuts.tp[0], 1 - at_least, confidence))[-1])


def _false_rejects_with_confidence(cuts: Cuts, *, at_most: float = 0.05, confidence: float = 0.95) -> int:
    return int(np.flatnonzero(cuts.fp <= _allowed(cuts.fp[0], at_most, confidence))[0])


def _allowed(parts: np.int64, at_most: float, confidence: float) -> int:
    """The failures that a promise allows; `check_counts` makes sure that there are enough parts."""
    allowed = most_failures(int(parts), at_most, confidence)
    assert allowed is not None
    return allowed


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
    "recall": Strategy(_recall, True, False, "the fewest false rejects at recall >= at_least", "recall"),
    "specificity": Strategy(_specificity, False, True, "the fewest misses at specificity >= at_least", "specificity"),
    "recall-with-confidence": Strategy(
        _recall_with_confidence,
        True,
        False,
        "the fewest false rejects at recall >= at_least of further bad parts, with a certainty of confidence",
        "recall",
        promises=True,
    ),
    "false-rejects-with-confidence": Strategy(
        _false_rejects_with_confidence,
        False,
        True,
        "the fewest misses with at most at_most of further good parts rejected, with a certainty of confidence",
        "rate of false rejects",
        promises=True,
    ),
    "midway": Strategy(
        _midway, True, True, "the cut nearest to the mean of the thresholds for recall and for specificity >= at_least"
    ),
    "balanced": Strategy(_balanced, True, True, "the highest mean of recall and specificity"),
    "lowest-bad": Strategy(_lowest_bad, True, False, "just below the lowest score of a known-bad photograph"),
    "cost": Strategy(_cost, True, True, "the lowest sum of miss * misses + false_reject * false rejects"),
    "reject-rate": Strategy(_reject_rate, False, False, "the highest recall with at most at_most of all rejected"),
}
"""Strategies by name; parameters are fractions (`at_least`, `at_most`), a confidence or costs of at least 0."""


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
        wanted, allows = _bounds(key, STRATEGIES[strategy].promises)
        if isinstance(value, bool) or not isinstance(value, int | float) or not allows(value):
            raise RecipeError(f"threshold strategy {strategy!r}: {key} = {value!r} is not a number {wanted}")
        parameters[key] = float(value)
    return parameters


def as_option(strategy: str, parameters: dict[str, float]) -> str:
    """The strategy as `--threshold` takes it: STRATEGY=VALUE,…"""
    return "=".join([strategy, ",".join(f"{value:g}" for value in parameters.values())]) if parameters else strategy


def _bounds(key: str, promises: bool) -> tuple[str, Callable[[float], bool]]:
    """The values that a parameter may have, in words and as a test. No number of parts promises 0 or 1."""
    if key == CONFIDENCE:
        return "above 0.5 and below 1", lambda value: 0.5 < value < 1
    if key.startswith("at_"):
        if promises:
            return "above 0 and below 1; no number of parts can promise that", lambda value: 0 < value < 1
        return "from 0 to 1", lambda value: 0 <= value <= 1
    return "from 0 to inf", lambda value: 0 <= value <= np.inf


def failure_rate(parameters: dict[str, float]) -> float:
    """The rate of failures that a promise allows: of misses among bad parts, or of false rejects among good ones."""
    return 1 - parameters["at_least"] if "at_least" in parameters else parameters["at_most"]


def known_strategies(given: str) -> str:
    """The remedy for a strategy that does not exist: the one nearest to `given`, if one is near, and all names."""
    return f"{did_you_mean(given, STRATEGIES)}there are {', '.join(STRATEGIES)}"


def _whole_parts(values: Floats, truths: Truths, parts: Sequence[str] | None) -> tuple[Floats, Bools]:
    """The highest score of each part, which is rejected if any of its photographs is, and its truth."""
    return (values, np.asarray(truths, bool)) if parts is None else part_scores(values, truths, parts, np.max)


def _all_cuts(photographs: Floats, values: Floats, truths: Bools) -> Cuts:
    """The cuts between the scores of `photographs`, with counts of the parts or photographs that have `values`."""
    levels = np.unique(photographs)
    level = np.searchsorted(levels, values)
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
