"""The threshold of each artifact, chosen on its own scores, and how far its golden frames may be off."""

from collections.abc import Sequence

import numpy as np

from edge.backends import Backend
from edge.bundle import Interval, Threshold
from edge.evaluation import Figures, Rate, choose_threshold, judge, strategy_parameters, unjudged
from export.golden import Golden
from export.parity import nearest_threshold
from export.subject import Subject

TOLERANCE = 1e-4
"""Largest difference of a score or map value between PyTorch and an artifact, at export and on the line."""

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


def tolerance_of(threshold: float, largest_difference: float, tolerance: float) -> float:
    """A hundredth of the threshold, where that is less than parity's `tolerance`; at least twice what was seen.

    More than `tolerance` only where parity allowed more, of values beyond 1.

    A score of an autoencoder is some 0.001: an absolute bound would let it be off by a tenth.
    """
    if largest_difference > tolerance:
        return 2 * largest_difference
    return min(tolerance, max(abs(threshold) / 100, 2 * largest_difference))


def int8_tolerance(backend: Backend, golden: Golden) -> float:
    """Twice the largest difference from PyTorch on the golden frames: another CPU rounds otherwise."""
    largest = TOLERANCE
    for frame, (score, where) in zip(golden.frames, golden.answers, strict=True):
        output = backend.infer(frame)
        largest = max(largest, abs(output.score - score))
        if where is not None and output.map is not None:
            largest = max(largest, float(np.abs(output.map - where).max()))
    return 2 * largest


def _interval(rate: Rate) -> Interval:
    return Interval(value=rate.value, low=rate.low, high=rate.high, count=rate.trials)
