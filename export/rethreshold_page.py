"""What each threshold would have done with the reviewed parts: rows of a table, and a self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.files import write_whole
from edge.report.pages import templates
from edge.review.candidates import Judgement, candidates
from edge.review.estimates import AtThreshold, Estimate
from edge.review.sample import Stratum
from edge.verdict import Outcome
from export.rethreshold import Change

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BASE = 760, 320, 46, 744, 16, 276
"""Dimensions of the chart and positions of its axes, drawing units."""

MOST_ROWS = 15
"""Rows of the table on a terminal and in the page, the old and the new threshold not counted."""

HEAD = (
    "threshold", "", "rejected", "bad rejects held", "recall", "specificity", "precision", "false rejects", "misses",
    "named caught",
)  # fmt: skip


@dataclass(frozen=True)
class Band:
    """The estimates of one rate over the thresholds, and their intervals, as SVG path data."""

    name: str
    line: str
    area: str


def table_rows(judgement: Judgement, new: float | None = None) -> list[AtThreshold]:
    """The estimates at the old and the new threshold and at a few between the reviewed scores, ascending."""
    found = candidates(judgement)
    step = max(1, -(-len(found) // MOST_ROWS))
    values = {*found[::step], found[-1], judgement.old} | ({new} if new is not None else set())
    return [judgement.at(value) for value in sorted(values)]


def cells(row: AtThreshold, judgement: Judgement, new: float | None = None) -> list[str]:
    """The cells of a row under HEAD."""
    mark = "new" if row.threshold == new else "old" if row.threshold == judgement.old else ""
    named = len(judgement.reviewed.missed)
    return [
        f"{row.threshold:.7g}", mark, str(row.rejected), share(row.held), share(row.recall), share(row.specificity),
        share(row.precision), number(row.false_rejects), number(row.misses),
        f"{row.named_caught} of {named}" if named else "-",
    ]  # fmt: skip


def share(estimate: Estimate) -> str:
    """A rate with its interval."""
    if estimate.value is None:
        return f"? [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def number(estimate: Estimate) -> str:
    """A number of parts with its interval."""
    value = "?" if estimate.value is None else f"{estimate.value:.0f}"
    return f"{value} [{estimate.low:.0f}, {estimate.high:.0f}]"


def remarks(judgement: Judgement) -> list[str]:
    """How far the data reach, in sentences."""
    reviewed, (low, high) = judgement.reviewed, judgement.limits
    rejects, goods = reviewed.strata[Outcome.REJECT], reviewed.strata[Outcome.GOOD]
    said = [
        f"{rejects.reviewed} of {rejects.count} rejects and {goods.reviewed} of {goods.count} goods are reviewed at "
        "random; each stands for its share of them.",
        *_others(rejects, goods),
        f"From {low:.7g} to {high:.7g} reviewed parts support a threshold; nobody looked at enough parts beyond.",
    ]
    if reviewed.missed:
        said.append(
            f"{len(reviewed.missed)} parts were named as missed by the gate's people. They are known to be bad, but "
            "are no random sample: no estimate counts them; the last column says how many would be caught."
        )
    unsure = sum(stratum.unsure for stratum in reviewed.strata.values())
    if unsure:
        said.append(f"{unsure} parts are left out because nobody is sure, or two people contradict each other.")
    apart = rejects.apart + goods.apart - len(reviewed.missed)
    if apart > 0:
        said.append(
            f"{apart} decisions are left out, because somebody chose the part or it is beyond the random sample."
        )
    said += [f"{gap}: no estimate counts its verdicts." for gap in reviewed.gaps]
    return said


def _others(*strata: Stratum) -> list[str]:
    counts = " and ".join(f"{one.others} {one.outcome}s" for one in strata if one.others)
    said = [f"{counts} came after the samples were drawn: no estimate counts them."] if counts else []
    blind = " and ".join(f"{one.blind} {one.outcome}s" for one in strata if one.blind)
    if blind:
        said.append(
            f"{blind} had no picture when the sample was drawn: the values take them to be like the others, and the "
            "intervals hold whatever they are."
        )
    return said


def write_page(file: Path, change: Change, bundle: str) -> None:
    """Write the page about a change of the threshold."""
    judgement = change.judgement
    every = [judgement.at(value) for value in candidates(judgement)]
    found = {row.threshold for row in every}
    points = sorted([*every, *([change.after] if change.threshold not in found else [])], key=lambda row: row.threshold)
    thresholds = [row.threshold for row in points]
    marks = [("old", _x(thresholds.index(judgement.old), len(points)))]
    marks.append(("new", _x(thresholds.index(change.threshold), len(points))))
    step = max(1, -(-len(points) // 8))
    page = (
        templates("export")
        .get_template("rethreshold.html.j2")
        .render(
            bundle=bundle,
            change=change,
            before=change.before,
            after=change.after,
            bands=[_band("recall", points, "recall"), _band("specificity", points, "specificity")],
            marks=marks,
            ticks=[(_x(place, len(points)), f"{thresholds[place]:.3g}") for place in range(0, len(points), step)],
            levels=[(share_, _y(share_)) for share_ in (0.0, 0.25, 0.5, 0.75, 1.0)],
            size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "base": BASE},
            head=HEAD,
            rows=[cells(row, judgement, change.threshold) for row in table_rows(judgement, change.threshold)],
            remarks=remarks(judgement),
            digest=judgement.reviewed.digest,
            share=share,
            number=number,
        )
    )
    write_whole(file, page)


def _x(place: int, count: int) -> float:
    return round(LEFT + (RIGHT - LEFT) * (place + 0.5) / count, 1)


def _y(value: float) -> float:
    return round(BASE - (BASE - TOP) * value, 1)


def _band(name: str, points: Sequence[AtThreshold], field: str) -> Band:
    estimates: list[Estimate] = [getattr(row, field) for row in points]
    places = [_x(place, len(points)) for place in range(len(points))]
    known = [(x, one.value) for x, one in zip(places, estimates, strict=True) if one.value is not None]
    upper = [f"{x},{_y(one.high)}" for x, one in zip(places, estimates, strict=True)]
    lower = [f"{x},{_y(one.low)}" for x, one in zip(places, estimates, strict=True)]
    line = "M" + "L".join(f"{x},{_y(value)}" for x, value in known) if known else ""
    return Band(name, line, "M" + "L".join([*upper, *lower[::-1]]) + "Z")
