"""A backtest as one self-contained HTML page: figures, and the picture of each flip."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from edge.backtest.items import Item
from edge.backtest.judging import Row
from edge.backtest.plan import Plan
from edge.backtest.result import Against, Judged, Result, flip
from edge.errors import DataError
from edge.files import read_regular, write_whole
from edge.pictures import decode_picture
from edge.records.retention import MOST_IMAGE_BYTES
from edge.report.pages import Picture, embedded, templates
from edge.report.thumbnail import fitted
from edge.terminal.progress import Stage
from edge.text import counted
from edge.verdict import Outcome

PAGE = "report.html"
MOST = 60
"""Pictures under one heading; further frames are only named."""

NONE = "–"


@dataclass(frozen=True)
class Card:
    """A frame: its picture, if it can be read, what was said then, and what each bundle says."""

    name: str
    lines: list[str]
    truth: str
    picture: Picture | None


@dataclass(frozen=True)
class Group:
    """The frames under one heading."""

    heading: str
    about: str
    total: int
    cards: list[Card]
    others: list[str]


def write_page(out: Path, plan: Plan, judged: Sequence[Judged], result: Result, stage: Stage) -> Path:
    """Write OUT/report.html. Raises OSError."""
    groups = [group for number in range(len(plan.judges)) for group in _groups(plan, number, judged)]
    advance = stage("pictures of the page", sum(min(MOST, len(members)) for *_, members in groups))

    def card(one: Judged) -> Card:
        advance()
        return _card(*one)

    made = [
        Group(
            heading, about, len(members), [card(one) for one in members[:MOST]], [_name(i) for i, _ in members[MOST:]]
        )
        for heading, about, members in groups
    ]
    page = (
        templates("edge.backtest")
        .get_template("page.html.j2")
        .render(
            style=Markup((files("edge.verify") / "page.css").read_text()),
            plan=plan,
            result=result,
            rows=_rows(result),
            groups=made,
            images=counted(result.frames, "frame"),
        )
    )
    file = out / PAGE
    write_whole(file, page)
    return file


def _groups(plan: Plan, number: int, judged: Sequence[Judged]) -> list[tuple[str, str, list[Judged]]]:
    """Headings with their frames, the most doubtful first: misses, flips to good, flips to reject."""
    label = plan.judges[number].label
    passed = [one for one in judged if one[1][number].outcome == Outcome.GOOD]
    stopped = [one for one in judged if one[1][number].outcome == Outcome.REJECT]
    by_score = sorted(passed, key=lambda one: one[1][number].score)
    return [
        (
            f"{label}: misses",
            "Bad, as people or labels say, and it lets them pass; the lowest score first.",
            [one for one in by_score if one[0].truth == "bad"],
        ),
        (
            f"{label}: would pass",
            "Rejected then, and it calls them good; the lowest score first.",
            [one for one in by_score if flip(one[0], Outcome.GOOD) and one[0].truth != "bad"],
        ),
        (
            f"{label}: would be rejected",
            "Good then, and it rejects them; the highest score first.",
            sorted(
                (one for one in stopped if flip(one[0], Outcome.REJECT)), key=lambda one: -one[1][number].score
            ),
        ),
    ]  # fmt: skip


def _name(item: Item) -> str:
    return item.part or item.path


def _card(item: Item, rows: Sequence[Row]) -> Card:
    lines = [f"then {item.said} {item.score_said:.4g}, {item.time[:19]}, {item.bundle_said}"] if item.said else []
    lines += [f"{row.bundle}: {row.outcome} {row.fault or format(row.score, '.4g')}" for row in rows]
    picture = None
    try:
        frame = decode_picture(read_regular(Path(item.folder), item.path, MOST_IMAGE_BYTES))
        picture = embedded(fitted(frame), _name(item))
    except (OSError, DataError):
        lines.append("the picture cannot be read any more")
    return Card(_name(item), lines, item.truth, picture)


def _rows(result: Result) -> list[tuple[str, list[str]]]:
    """The table: a row for each figure, a cell for then and for each bundle."""
    ones = result.bundles

    def rates(name: str) -> list[str]:
        return [_rate(result.then, name), *(_rate(one.truth, name) for one in ones)]

    rows = [
        ("good, reject, unknown", ["", *(f"{one.good}, {one.reject}, {one.unknown}" for one in ones)]),
        ("rejected then, would pass", ["", *(str(one.to_good) for one in ones)]),
        ("good then, would be rejected", ["", *(str(one.to_reject) for one in ones)]),
    ]
    if result.known:
        rows += [(name, rates(name)) for name in ("recall", "specificity", "precision")]
    times = [NONE if one.p50_ms is None else f"{one.p50_ms:.2f}, {one.p99_ms:.2f} ms" for one in ones]
    return [*rows, ("p50, p99 of an inference", ["", *times])]


def _rate(of: Against | None, name: str) -> str:
    one = None if of is None else getattr(of, name)
    if one is None or one.value is None:
        return NONE
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
