"""Thresholds that reviewed parts can judge, and the choice of one of them. Needs the extra `verify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.evaluation.thresholds import STRATEGIES, as_option, choose_threshold, failure_rate, strategy_parameters
from edge.evaluation.tolerance_limits import fewest_parts
from edge.review.decisions import ReviewError
from edge.review.estimates import FEWEST, AtThreshold, at_threshold, lower_limit, stands_for, supported
from edge.review.sample import ReviewedBundle, Stratum, read_reviewed
from edge.text import counted, printable
from edge.verdict import Outcome

MOST_THRESHOLDS = 200
"""Largest number of thresholds in a table; of more distinct scores evenly many are left out."""

WHOLE = 200_000
"""Number of equal shares into which the record is divided while a strategy chooses: the weight of a reviewed part is a
whole number of them.
"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """What was reviewed of one artifact of a bundle, and the threshold `old` that its verdicts had."""

    reviewed: ReviewedBundle
    artifact: str
    old: float

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest threshold of which reviewed parts tell something."""
        return supported(self.reviewed, self.old)

    def at(self, threshold: float) -> AtThreshold:
        """The estimates at a threshold."""
        return at_threshold(self.reviewed, self.old, threshold)


def read_judgement(folders: Sequence[Path], bundle: str) -> Judgement:
    """What was reviewed of the bundle with this label, of the artifact with the most verdicts.

    Raises ReviewError if the records have no verdict of this bundle, or if too few parts were reviewed.
    """
    every = read_reviewed(folders)
    found = next((one for one in every if one.bundle == bundle and one.thresholds), None)
    where = " and ".join(map(str, folders))
    if found is None:
        others = ", ".join(printable(one.bundle) for one in every) or "none"
        raise ReviewError(
            f"{where}: the reviewed parts are of another model than {bundle}; the verdicts there are of {others}"
        )
    (artifact, old), _ = max(found.thresholds.items(), key=lambda item: item[1])
    if len(found.thresholds) > 1:
        (found,) = (one for one in read_reviewed(folders, bundle, artifact))
    judgement = Judgement(found, artifact, old)
    rejects, goods = found.strata[Outcome.REJECT], found.strata[Outcome.GOOD]
    if max(rejects.reviewed, goods.reviewed) < FEWEST:
        raise ReviewError(
            f"{where}: {counted(rejects.reviewed, 'reject')} and {counted(goods.reviewed, 'good')} of {bundle} are "
            f"reviewed at random, which says nothing; review {FEWEST} of one kind at least, see edge-review list"
        )
    return judgement


def candidates(judgement: Judgement) -> list[float]:
    """The thresholds between the scores of reviewed parts, where the data support one, and the old one; ascending."""
    low, high = judgement.limits
    strata = [judgement.reviewed.strata[outcome] for outcome in (Outcome.REJECT, Outcome.GOOD)]
    levels = np.unique(np.concatenate([stratum.scores for stratum in strata]))
    between = levels[:-1] + np.diff(levels) / 2
    inside = [float(cut) for cut in between if low <= cut <= high and cut != judgement.old]
    if len(inside) > MOST_THRESHOLDS - 1:
        inside = [inside[index] for index in np.linspace(0, len(inside) - 1, MOST_THRESHOLDS - 1).round().astype(int)]
    return sorted({*inside, judgement.old})


def choose(judgement: Judgement, strategy: str, **parameters: float) -> float:
    """The threshold that a strategy of `edge.evaluation.thresholds` chooses on the reviewed parts.

    Each reviewed part counts for as many verdicts as it stands for: a good that is kept by number for about a hundred
    others, and for goods without a picture that could be drawn. Parts that the gate's people named do not count,
    because they are no sample. A strategy with a confidence is kept by the estimates' intervals, see `_promised`.
    Raises DataError if a class is absent that the strategy needs, ReviewError if no reviewed part supports the choice.
    """
    chosen = strategy_parameters(strategy, parameters)
    if STRATEGIES[strategy].promises:
        return _promised(judgement, strategy, chosen)
    groups = judgement.reviewed.groups
    strata = [*groups[Outcome.REJECT], *groups[Outcome.GOOD]]
    stands = stands_for(strata)
    counts = [stratum.count * stands[stratum.outcome] for stratum in strata]
    weights = [_weight(one, count / sum(counts)) for one, count in zip(strata, counts, strict=True)]
    scores = np.concatenate([np.repeat(one.scores, weight) for one, weight in zip(strata, weights, strict=True)])
    bad = np.concatenate([np.repeat(one.bad, weight) for one, weight in zip(strata, weights, strict=True)])
    value = choose_threshold(scores, bad, strategy, parts=None, **chosen).value
    if value not in (found := candidates(judgement)):
        value = _nearest(value, found, judgement)
    return checked(judgement, value)


def _promised(judgement: Judgement, strategy: str, parameters: dict[str, float]) -> float:
    """The last threshold at which the lower limit of recall, or of specificity, is what was asked for.

    Recall only falls as the threshold rises: thresholds are tried upwards until the first one that does not show the
    asked recall, so that the limit of one threshold is the limit of the choice, too (a test of hypotheses in a fixed
    order). Specificity is tried downwards. Raises ReviewError if the first one does not show it.
    """
    needs_bad, asked = STRATEGIES[strategy].needs_bad, 1 - failure_rate(parameters)
    tried = candidates(judgement) if needs_bad else candidates(judgement)[::-1]
    confidence, value = parameters["confidence"], None
    for threshold in tried:
        if lower_limit(judgement.reviewed, judgement.old, threshold, needs_bad, confidence) < asked:
            break
        value = threshold
    if value is not None:
        return checked(judgement, value)
    shown = lower_limit(judgement.reviewed, judgement.old, tried[0], needs_bad, confidence)
    strata = [judgement.reviewed.strata[outcome] for outcome in (Outcome.REJECT, Outcome.GOOD)]
    parts = {part for one in strata for part, bad in zip(one.parts, one.bad, strict=True) if bad == needs_bad}
    name, kind = ("recall", "bad") if needs_bad else ("specificity", "good")
    raise ReviewError(
        f"threshold strategy {as_option(strategy, parameters)}: no threshold has that {name} for sure; the reviewed "
        f"parts show {name} >= {shown:.3f} at {tried[0]:.6g}. It takes at least "
        f"{fewest_parts(1 - asked, confidence)} reviewed {kind} parts, and there are {len(parts)}; review more, or ask "
        "for less"
    )


def _weight(stratum: Stratum, share: float) -> int:
    """The weight of each reviewed part of a stratum that stands for this share of the record."""
    return max(1, round(WHOLE * share / stratum.reviewed)) if stratum.reviewed else 1


def _nearest(value: float, found: Sequence[float], judgement: Judgement) -> float:
    """The candidate with the same verdicts on reviewed parts as `value`, if there is one, else `value` itself: both lie
    between the same two scores.
    """
    strata = judgement.reviewed.strata
    scores = np.concatenate([strata[outcome].scores for outcome in (Outcome.REJECT, Outcome.GOOD)])
    same = [cut for cut in found if not ((scores >= cut) != (scores >= value)).any()]
    return min(same, key=lambda cut: abs(cut - value)) if same else value


def checked(judgement: Judgement, threshold: float) -> float:
    """The threshold, if reviewed parts support it. Raises ReviewError that says from when on they do not."""
    low, high = judgement.limits
    rejects, goods = judgement.reviewed.strata[Outcome.REJECT], judgement.reviewed.strata[Outcome.GOOD]
    said = f"a threshold of {threshold:.6g}"
    if threshold > judgement.old and rejects.reviewed < FEWEST:
        raise ReviewError(
            f"{said} lets rejects pass, of which {rejects.reviewed} are reviewed at random; review {FEWEST} at least"
        )
    if threshold > high:
        raise ReviewError(f"{said} is above {high:.6g}, the highest score of a reviewed reject; no part supports it")
    if threshold < judgement.old and goods.reviewed < FEWEST:
        raise ReviewError(
            f"{said} rejects goods of today, below {judgement.old:.6g}, of which {goods.reviewed} are reviewed; review "
            f"{FEWEST} at least: edge-review list RECORDS good; edge-run --keep-goods keeps more of them"
        )
    if threshold < low:
        raise ReviewError(
            f"{said} is below {low:.6g}, the lowest score of a reviewed good; review more of the kept goods, "
            "or keep more with edge-run --keep-goods"
        )
    return threshold
