"""The threshold of each artifact, chosen on its own scores, and how far its golden frames may be off."""

from collections.abc import Iterable, Sequence
from math import inf

from edge.backends import Backend
from edge.bundle import Interval, Threshold
from edge.bundle.tolerance import Bounds
from edge.evaluation.metrics import Figures, Rate, judge, unjudged
from edge.evaluation.thresholds import choose_threshold, strategy_parameters
from export.golden import Golden
from export.parity import Agreement, compare, nearest_threshold
from export.source import Subject

TOLERANCE = 1e-4
"""Largest difference of a score or map value between PyTorch and an artifact, at export and on the line: this share of
the spread of what PyTorch says of the validation photographs, see `edge.bundle.tolerance`."""

NEAREST = "fewest of PyTorch's verdicts turned, first tried PyTorch's threshold, then "
"""How the threshold of an int8 artifact is chosen, before the strategy of the recipe."""


def judged(
    subject: Subject, scores: Sequence[float], bad: Sequence[bool], said: Sequence[float], expected: float
) -> Figures:
    """What the judge says of one artifact's scores, at the threshold that they choose or that was given.

    `said` are PyTorch's scores and `expected` its threshold: near ties choose so that its verdicts are kept.
    """
    threshold = level_of(subject, scores, bad)
    if not scores:
        return unjudged(threshold)
    if not isinstance(subject.threshold, float):
        threshold = nearest_threshold(scores, [score >= expected for score in said], threshold)
    return judge(scores, bad, threshold)


def level_of(subject: Subject, scores: Sequence[float], bad: Sequence[bool]) -> float:
    """The threshold that somebody gave, or that the strategy chooses on these scores."""
    choice = subject.threshold
    return (
        choice if isinstance(choice, float) else choose_threshold(scores, bad, choice.strategy, **choice.options).value
    )


def threshold_of(subject: Subject, figures: Figures, said_before: str = "") -> Threshold:
    """The threshold as the manifest tells it, `said_before` in front of the strategy."""
    good, bad, choice = figures.specificity.trials, figures.recall.trials, subject.threshold
    if isinstance(choice, float):
        strategy = "given by hand"
    else:
        parameters = strategy_parameters(choice.strategy, choice.options)
        strategy = " ".join([choice.strategy, *(f"{k}={v:g}" for k, v in parameters.items())])
    return Threshold(
        value=figures.threshold,
        strategy=f"{said_before}{strategy}",
        data=f"validation photographs of {subject.data.name}: {good} good, {bad} bad"
        if subject.data
        else "no photographs",
        recall=_interval(figures.recall),
        specificity=_interval(figures.specificity),
    )


def golden_tolerances(bounds: Bounds, compared: Iterable[Agreement]) -> tuple[float, float]:
    """What the golden frames allow a score and a map: as much as parity, or twice what it saw where that is more."""
    seen = list(compared)
    score = max((share for one in seen for share in one.score_shares(bounds)), default=0.0)
    cell = max((share for one in seen for share in one.map_shares(bounds)), default=0.0)
    return bounds.score_tolerance * max(1.0, 2 * score), bounds.map_tolerance * max(1.0, 2 * cell)


def int8_tolerances(backend: Backend, golden: Golden, bounds: Bounds) -> tuple[float, float]:
    """Twice what parity allows, or twice what is seen on the golden frames where that is more: CPUs round otherwise.

    It is never more than the spread itself, by which no frame could fail.
    """
    seen = Agreement(backend.name)
    for number, (frame, answer) in enumerate(zip(golden.frames, golden.answers, strict=True)):
        compare(seen, f"golden frame {number}", backend.infer(frame), answer, "PyTorch")
    score = 2 * bounds.score_tolerance * max(1.0, *seen.score_shares(bounds))
    cell = 2 * bounds.map_tolerance * max(1.0, *seen.map_shares(bounds))
    most = [inf if one is None else one.spread for one in (bounds.scores, bounds.maps)]
    return min(score, most[0]), min(cell, most[1])


def _interval(rate: Rate) -> Interval:
    return Interval(value=rate.value, low=rate.low, high=rate.high, count=rate.trials)
