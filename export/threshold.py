"""The threshold of each artifact, chosen on its own scores, and the allowed differences on its golden frames."""

from collections.abc import Iterable, Sequence
from math import inf

from edge.backends import Backend
from edge.bundle import Interval, Threshold
from edge.bundle.tolerance import Bounds
from edge.evaluation.metrics import Figures, Rate, judge, unjudged
from edge.evaluation.thresholds import (
    check_choice,
    choose_threshold,
    keeps_promise,
    nearest_threshold,
    strategy_parameters,
)
from edge.photographs.photograph import Photograph, known_parts
from export.golden import Golden
from export.parity import Agreement, compare
from export.source import Subject

TOLERANCE = 1e-4
"""Largest difference of a score or map value between PyTorch and an artifact, at export and on the line, as a share of
the spread of PyTorch's values on the validation photographs; see `edge.bundle.tolerance`."""

MOST_OF_KINDS = 0.999
"""Largest allowed difference of a probability of a kind in int8."""

NEAREST = "fewest of PyTorch's verdicts turned, first tried PyTorch's threshold, then "
"""Text before the strategy in the manifest of an int8 artifact: how its threshold is chosen."""


def check_level(subject: Subject) -> None:
    """Raise DataError or RecipeError if the strategy cannot choose a threshold on the validation photographs."""
    choice, photographs = subject.threshold, subject.photographs("val")
    if not isinstance(choice, float):
        bad = [photograph.is_bad for photograph in photographs]
        check_choice(bad, choice.strategy, parts=known_parts(photographs), **choice.options)


def judged(
    subject: Subject, photographs: Sequence[Photograph], scores: Sequence[float], said: Sequence[float], expected: float
) -> Figures:
    """Figures of one artifact's scores, at the threshold chosen on these scores or given by the user.

    `said` are PyTorch's scores and `expected` is PyTorch's threshold. Between nearly equal thresholds the one that
    keeps PyTorch's verdicts is chosen, if it keeps the promise of the strategy.
    """
    threshold = level_of(subject, photographs, scores)
    if not scores:
        return unjudged(threshold)
    if not isinstance(subject.threshold, float):
        threshold = as_pytorch(subject, photographs, scores, [score >= expected for score in said], threshold)
    return judge(scores, [photograph.is_bad for photograph in photographs], threshold)


def level_of(subject: Subject, photographs: Sequence[Photograph], scores: Sequence[float]) -> float:
    """The threshold given by the user, or the one that the strategy chooses on these scores of these photographs."""
    choice = subject.threshold
    if isinstance(choice, float):
        return choice
    bad, parts = [photograph.is_bad for photograph in photographs], known_parts(photographs)
    return choose_threshold(scores, bad, choice.strategy, parts=parts, **choice.options).value


def as_pytorch(
    subject: Subject,
    photographs: Sequence[Photograph],
    scores: Sequence[float],
    rejected: Sequence[bool],
    own: float,
    *tried: float,
) -> float:
    """The threshold that changes the fewest of PyTorch's verdicts `rejected`; of equal ones, those in `tried` come
    first, then `own`, the one that the strategy chooses on these scores. `own` itself if the other one breaks the
    promise of the strategy.
    """
    choice = subject.threshold
    assert not isinstance(choice, float)
    nearest = nearest_threshold(scores, rejected, *tried, own)
    bad, parts = [photograph.is_bad for photograph in photographs], known_parts(photographs)
    is_kept = keeps_promise(scores, bad, nearest, choice.strategy, parts=parts, **choice.options)
    return nearest if is_kept else own


def threshold_of(subject: Subject, figures: Figures, said_before: str = "") -> Threshold:
    """The threshold for the manifest, with the text `said_before` before the strategy."""
    good, bad, choice = figures.specificity.trials, figures.recall.trials, subject.threshold
    if isinstance(choice, float):
        strategy = "given by hand"
    else:
        parameters = strategy_parameters(choice.strategy, choice.options)
        strategy = " ".join([choice.strategy, *(f"{k}={v:g}" for k, v in parameters.items())])
    return Threshold(
        value=figures.threshold,
        strategy=f"{said_before}{strategy}",
        data=f"validation photographs in {subject.data.name}/: {good} good, {bad} bad"
        if subject.data
        else "no photographs",
        recall=_interval(figures.recall),
        specificity=_interval(figures.specificity),
    )


def golden_tolerances(bounds: Bounds, compared: Iterable[Agreement]) -> tuple[float, float]:
    """Allowed differences of score and map on golden frames: those of parity, or twice the largest differences seen
    there if that is more.
    """
    seen = list(compared)
    score = max((share for one in seen for share in one.score_shares(bounds)), default=0.0)
    cell = max((share for one in seen for share in one.map_shares(bounds)), default=0.0)
    return bounds.score_tolerance * max(1.0, 2 * score), bounds.map_tolerance * max(1.0, 2 * cell)


def golden_kind_tolerance(bounds: Bounds, compared: Iterable[Agreement]) -> float | None:
    """The same of the probabilities of kinds; None without kinds."""
    if bounds.kind_tolerance is None:
        return None
    return max(bounds.kind_tolerance, *(2 * (one.largest_kind_difference or 0.0) for one in compared))


def int8_tolerances(backend: Backend, golden: Golden, bounds: Bounds) -> tuple[float, float, float | None]:
    """Allowed differences of score, map and kinds on an int8 artifact's golden frames: twice those of parity, or twice
    the differences seen there if that is more, because CPUs round differently. Without kinds the last one is None.

    They are at most the spread of the values, of kinds half way from the difference seen to it. With larger ones no
    frame could fail.
    """
    seen = Agreement(backend.name)
    for number, (frame, answer) in enumerate(zip(golden.frames, golden.answers, strict=True)):
        compare(seen, f"golden frame {number}", backend.infer(frame), answer, "PyTorch")
    score = 2 * bounds.score_tolerance * max(1.0, *seen.score_shares(bounds))
    cell = 2 * bounds.map_tolerance * max(1.0, *seen.map_shares(bounds))
    most = [inf if one is None else one.spread for one in (bounds.scores, bounds.maps)]
    kinds, seen_kinds = bounds.kind_tolerance, seen.largest_kind_difference
    if kinds is not None and seen_kinds is not None:
        kinds = min(2 * max(kinds, seen_kinds), (1 + seen_kinds) / 2, MOST_OF_KINDS)
    return min(score, most[0]), min(cell, most[1]), kinds


def _interval(rate: Rate) -> Interval:
    return Interval(value=rate.value, low=rate.low, high=rate.high, count=rate.trials)
