"""What a backtest found: flips against what was said then, figures against what people or labels say, and times."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from edge.backtest.items import Item
from edge.backtest.judging import Row
from edge.backtest.plan import Plan
from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Rate
from edge.station.part_counts import percentile
from edge.verdict import Outcome

Judged = tuple[Item, tuple[Row, ...]]
"""A frame, and what each bundle says of it."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class Against(_Said):
    """How often good and bad frames are judged rightly; frames without a verdict are left out."""

    recall: Rate
    specificity: Rate
    precision: Rate


class OfBundle(_Said):
    """What one bundle says of all frames. A flip is a frame that it calls good and the verdict then called reject
    (`to_good`), or the other way round (`to_reject`). `truth` is None if nobody knows of any frame what it is.
    """

    label: str
    backend: str
    threshold: float
    good: int
    reject: int
    unknown: int
    to_good: int
    to_reject: int
    truth: Against | None
    p50_ms: float | None
    p99_ms: float | None
    faults: dict[str, int]


class Result(_Said):
    """The result of a backtest. `then` has the verdicts of then against the truth."""

    frames: int
    compared: int
    known: int
    then: Against | None
    bundles: tuple[OfBundle, ...]


def by_item(rows: Iterable[tuple[Item, Row]], judges: int) -> Iterable[Judged]:
    """The rows of each frame together."""
    for _, group in groupby(enumerate(rows), key=lambda numbered: numbered[0] // judges):
        some = [pair for _, pair in group]
        yield some[0][0], tuple(row for _, row in some)


def flip(item: Item, outcome: str) -> str | None:
    """`to_good` or `to_reject` if this outcome contradicts the verdict then; None if it does not."""
    pair = item.said, outcome
    if pair == (Outcome.REJECT, Outcome.GOOD):
        return "to_good"
    return "to_reject" if pair == (Outcome.GOOD, Outcome.REJECT) else None


def result_of(plan: Plan, judged: Sequence[Judged]) -> Result:
    """The figures of a backtest."""
    known = [one for one in judged if one[0].truth]
    compared = sum(item.said in (Outcome.GOOD, Outcome.REJECT) for item, _ in judged)
    has_verdicts = any(item.said for item, _ in known)
    return Result(
        frames=len(judged),
        compared=compared,
        known=len(known),
        then=_against(known, lambda one: one[0].said) if has_verdicts else None,
        bundles=tuple(_of(plan, number, judged, known) for number in range(len(plan.judges))),
    )


def _of(plan: Plan, number: int, judged: Sequence[Judged], known: Sequence[Judged]) -> OfBundle:
    judge = plan.judges[number]
    outcomes = Counter(rows[number].outcome for _, rows in judged)
    flips = Counter(flip(item, rows[number].outcome) for item, rows in judged)
    took = sorted(rows[number].ms for _, rows in judged if not rows[number].fault)
    return OfBundle(
        label=judge.label,
        backend=judge.backend,
        threshold=judge.threshold,
        good=outcomes[Outcome.GOOD],
        reject=outcomes[Outcome.REJECT],
        unknown=outcomes[Outcome.UNKNOWN],
        to_good=flips["to_good"],
        to_reject=flips["to_reject"],
        truth=_against(known, lambda one: one[1][number].outcome) if known else None,
        p50_ms=percentile(took, 50),
        p99_ms=percentile(took, 99),
        faults=dict(Counter(rows[number].fault for _, rows in judged if rows[number].fault)),
    )


def _against(known: Sequence[Judged], outcome: Callable[[Judged], str]) -> Against:
    """Rates against the truth. Frames of one part are not independent, see `clustered_rate`."""
    said = [(one[0], outcome(one)) for one in known if outcome(one) in (Outcome.GOOD, Outcome.REJECT)]

    def rate(chosen: Sequence[tuple[Item, str]], is_hit: Callable[[Item, str], bool]) -> Rate:
        parts = [f"{item.station}/{item.part}" for item, _ in chosen]
        return clustered_rate([is_hit(*pair) for pair in chosen], parts if all(i.part for i, _ in chosen) else None)

    return Against(
        recall=rate([one for one in said if one[0].truth == "bad"], lambda _, says: says == Outcome.REJECT),
        specificity=rate([one for one in said if one[0].truth == "good"], lambda _, says: says == Outcome.GOOD),
        precision=rate([one for one in said if one[1] == Outcome.REJECT], lambda item, _: item.truth == "bad"),
    )
