"""What reviewed parts say of a line: precision of its rejects, missed parts, and rates at other thresholds.

Goods and rejects are two strata, each with a random sample that people reviewed. A count of the whole record, such as
the bad parts that passed, is a sum over strata of its size times a share of its sample. The interval of a share is that
of Clopper and Pearson, with the verdicts on one part as a cluster (`edge.evaluation.intervals`). A rate is made of
several shares; their intervals are widened (Bonferroni) so that all of them hold together with 95 %, and the rate takes
its least and its greatest value within them. The interval of a rate is thus at least as wide as it says.

A figure of both outcomes is about the same verdicts of both. Those that could not be sampled, because their pictures
were gone or never kept, count in its interval as anything from none to all; its value takes them to be like the
sampled ones. Needs the extra `verify`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Rate
from edge.review.sample import ReviewedBundle, Stratum
from edge.verdict import Outcome

CONFIDENCE = 0.95
PAIR = 1 - (1 - CONFIDENCE) / 2
"""Confidence of each of two intervals that hold together with CONFIDENCE."""

FEWEST = 20
"""Fewest parts of a random sample that say anything: without a single bad one among 20, up to 17 % may be bad."""

Bools = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A number with its 95 % interval; `value` is None where nothing was reviewed."""

    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class LineFigures:
    """What the reviewed parts say of the verdicts of one bundle, of those that the queue could offer until they were
    drawn; `miss_rate` of all rejects and goods of the reviewed records until the sample of one of them ends.

    `precision` is the share of bad parts among the rejects; `bad_goods` that among the goods, estimated from those that
    are kept by number. `escaped` is the number of bad parts that passed; at least as many as are known. `miss_rate` is
    their share among all bad parts with a verdict; the known ones raise its least value, too. `good_unknowns` is the
    share of good parts among the unknowns. `named` are the parts that the gate's people named: known to be missed, and
    no sample of anything.
    """

    precision: Rate
    bad_goods: Estimate
    escaped: Estimate
    miss_rate: Estimate
    good_unknowns: Rate
    named: int


def line_figures(reviewed: ReviewedBundle) -> LineFigures:
    """The figures of a bundle from what was reviewed."""
    rejects, unknowns = reviewed.own[Outcome.REJECT], reviewed.own[Outcome.UNKNOWN]
    goods = [(group, group.bad) for group in (reviewed.alone or reviewed.groups)[Outcome.GOOD]]
    count = reviewed.own[Outcome.GOOD].count
    passed = _total(goods, _each(goods))
    known, both = _known(reviewed, reviewed.ends), _known(reviewed, reviewed.common_ends)
    escaped = Estimate(
        None if passed.value is None else max(known, passed.value), max(known, passed.low), max(known, passed.high)
    )
    passes = [(group, group.bad) for group in reviewed.groups[Outcome.GOOD]]
    catches = [(reviewed.strata[Outcome.REJECT], reviewed.strata[Outcome.REJECT].bad)]
    share, caught = ratio(passes, catches), _total(catches, PAIR)
    least = both / (both + caught.high) if both else 0.0
    value = share.value
    if value is not None and both:
        value = max(value, both / (both + (caught.value or 0.0)))
    return LineFigures(
        precision=_rate(rejects, rejects.bad),
        bad_goods=Estimate(
            None if passed.value is None or not count else passed.value / count,
            passed.low / count if count else 0.0,
            passed.high / count if count else 1.0,
        ),
        escaped=escaped,
        miss_rate=Estimate(value, max(share.low, least), max(share.high, least)),
        good_unknowns=_rate(unknowns, ~unknowns.bad),
        named=len({one.decision.key for one in reviewed.missed}),
    )


def _known(reviewed: ReviewedBundle, ends: Mapping[Path, str]) -> int:
    """How many goods of the figures' verdicts, which were published until `ends`, are known to be bad."""
    return sum(
        one.is_bad
        and one.decision.judged.outcome is Outcome.GOOD
        and (one.folder not in ends or one.decision.judged.time <= ends[one.folder])
        for one in reviewed.known
    )


Cell = tuple[Stratum, Bools]
"""Members of a stratum's sample, as a mask; they stand for their share of the stratum."""


def ratio(part: Sequence[Cell], rest: Sequence[Cell], confidence: float = CONFIDENCE) -> Estimate:
    """The share of `part` in `part` and `rest` together, each a sum over cells of strata; its interval at `confidence`.

    `value` is None if a stratum with verdicts has no sample, or if nothing is in either. Blind verdicts widen the
    interval as far as they can change the share, and the value takes them to be like the others of their outcome.
    """
    each = _each([*part, *rest], confidence)
    above, below = _total(part, each), _total(rest, each)
    least, most = above.low + below.high, above.high + below.low
    value = None
    if above.value is not None and below.value is not None and above.value + below.value > 0:
        value = above.value / (above.value + below.value)
    return Estimate(value, above.low / least if least else 0.0, above.high / most if most else 1.0)


def _each(cells: Sequence[Cell], confidence: float = CONFIDENCE) -> float:
    """The confidence of the interval of each cell with which all hold together with `confidence`."""
    return 1 - (1 - confidence) / max(1, len([stratum for stratum, _ in cells if stratum.count and stratum.reviewed]))


def _total(cells: Iterable[Cell], confidence: float) -> Estimate:
    """The number of verdicts that cells stand for; intervals of each at this confidence."""
    listed = list(cells)
    stands = stands_for([stratum for stratum, _ in listed])
    total, low, high = 0.0, 0.0, 0.0
    is_known = True
    for stratum, members in listed:
        high += stratum.blind
        if stratum.count == 0:
            is_known = is_known and (stratum.blind == 0 or stands[stratum.outcome] > 0)
            continue
        share = _rate(stratum, members, confidence)
        is_known = is_known and share.value is not None
        total += (share.value or 0.0) * stratum.count * stands[stratum.outcome]
        low, high = low + share.low * stratum.count, high + share.high * stratum.count
    return Estimate(total if is_known else None, low, high)


def stands_for(strata: Iterable[Stratum]) -> dict[Outcome, float]:
    """For how many verdicts one that could be sampled stands if the blind ones are like it, by outcome; 0 where none
    could.
    """
    counts, blind = Counter[Outcome](), Counter[Outcome]()
    for stratum in strata:
        counts[stratum.outcome] += stratum.count
        blind[stratum.outcome] += stratum.blind
    return {outcome: 1 + blind[outcome] / count if count else 0.0 for outcome, count in counts.items()}


def _rate(stratum: Stratum, members: Bools, confidence: float = CONFIDENCE) -> Rate:
    return clustered_rate(members, stratum.parts, confidence)


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold would have done with the verdicts of a record.

    `rejected` is the number of verdicts with such a score, which the journal knows. `recall` and `specificity` are of
    all bad and of all good parts; `precision` is of those rejected. `held` is the share of the bad parts that the old
    threshold rejected and this one rejects too: it needs no reviewed goods. `false_rejects` and `misses` are numbers of
    the whole record. `named_caught` counts the parts named by the gate's people that it would have rejected.
    `is_supported` is false where no reviewed part tells what a change of the threshold does.
    """

    threshold: float
    rejected: int
    recall: Estimate
    specificity: Estimate
    precision: Estimate
    held: Estimate
    false_rejects: Estimate
    misses: Estimate
    named_caught: int
    is_supported: bool


def at_threshold(reviewed: ReviewedBundle, old: float, threshold: float) -> AtThreshold:
    """The estimates at `threshold` from parts that were judged with the threshold `old`."""
    bad_in, bad_out = _cells(reviewed, old, threshold, True)
    good_in, good_out = _cells(reviewed, old, threshold, False)
    lowest, highest = supported(reviewed, old)
    return AtThreshold(
        threshold=threshold,
        rejected=int(len(reviewed.scores) - np.searchsorted(reviewed.scores, threshold, "left")),
        recall=ratio(bad_in, bad_out),
        specificity=ratio(good_out, good_in),
        precision=ratio(bad_in, good_in),
        held=_held(reviewed.strata[Outcome.REJECT], threshold),
        false_rejects=_total(good_in, _each(good_in)),
        misses=_total(bad_out, _each(bad_out)),
        named_caught=sum(one.score >= threshold for one in reviewed.missed),
        is_supported=lowest <= threshold <= highest,
    )


def lower_limit(reviewed: ReviewedBundle, old: float, threshold: float, bad: bool, confidence: float) -> float:
    """The one-sided lower limit, at `confidence` above 0.5, of the recall (`bad`) or the specificity at `threshold`.

    It is the lower end of a two-sided interval with twice the error.
    """
    rejected, passed = _cells(reviewed, old, threshold, bad)
    return ratio(*((rejected, passed) if bad else (passed, rejected)), confidence=2 * confidence - 1).low


def _held(rejects: Stratum, threshold: float) -> Estimate:
    parts = tuple(part for part, is_bad in zip(rejects.parts, rejects.bad, strict=True) if is_bad)
    share = clustered_rate(rejects.scores[rejects.bad] >= threshold, parts)
    return Estimate(share.value, share.low, share.high)


def supported(reviewed: ReviewedBundle, old: float) -> tuple[float, float]:
    """The lowest and the highest threshold of which reviewed parts tell something.

    Below the lowest score of a reviewed good, and above the highest of a reviewed reject, no part was looked at. With
    fewer than FEWEST reviewed goods nothing is known below the old threshold, with fewer rejects nothing above it.
    """
    goods, rejects = reviewed.strata[Outcome.GOOD], reviewed.strata[Outcome.REJECT]
    lowest = min(old, float(goods.scores.min())) if goods.reviewed >= FEWEST else old
    highest = max(old, float(rejects.scores.max())) if rejects.reviewed >= FEWEST else old
    return lowest, highest


def _cells(reviewed: ReviewedBundle, old: float, threshold: float, bad: bool) -> tuple[list[Cell], list[Cell]]:
    """The good or the bad parts that `threshold` rejects, and those that it passes. Where a stratum cannot have such a
    part, because all its scores lie on one side, it has no cell.
    """
    rejected, passed = [], []
    for stratum in (*reviewed.groups[Outcome.REJECT], *reviewed.groups[Outcome.GOOD]):
        members = stratum.bad == bad
        if stratum.outcome is Outcome.REJECT or threshold < old:
            rejected.append((stratum, members & (stratum.scores >= threshold)))
        if stratum.outcome is Outcome.GOOD or threshold > old:
            passed.append((stratum, members & (stratum.scores < threshold)))
    return rejected, passed
