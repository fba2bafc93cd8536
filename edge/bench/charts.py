"""The charts of a benchmark's page, as shapes in drawing units: distribution, rate, stages, accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.bench.axis import Axis, linear, logarithmic, percentiles, plain
from edge.bench.label_placement import Place, along, covered, freest
from edge.bench.pace import BACK_TO_BACK, pace_in_words
from edge.bench.recommendation import is_runnable
from edge.bench.result import STAGES, Measured, Result, Search, Series, Setting
from edge.bench.settings_grid import named
from edge.bench.statistics import percentile

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BASE = 62, WIDTH - 12, 26, HEIGHT - 44
"""Positions of the axes."""

COLOURS = 8
MOST = 6
"""Largest number of settings in one chart, the fastest; the table has all."""

POINTS = 240
"""Largest number of points of a curve."""

BAR, GAP, ROW = 15, 4, 68
"""Of the stage charts: thickness of a bar, gap between the two bars of a row, height of a row."""


@dataclass(frozen=True)
class Curve:
    """A line through points of the drawing."""

    points: list[tuple[float, float]]
    colour: int
    is_dashed: bool = False

    @property
    def path(self) -> str:
        """The line as SVG path data."""
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Dot:
    """A point, hollow or filled; `about` is its tooltip, `label` the text above it."""

    x: float
    y: float
    colour: int
    about: str
    label: str = ""
    is_hollow: bool = False


@dataclass(frozen=True)
class Bar:
    """A horizontal segment of a stacked bar."""

    x: float
    y: float
    width: float
    colour: int
    about: str


@dataclass(frozen=True)
class Rule:
    """A straight line across the drawing, at a budget or a requested rate."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Words:
    """A line of text that begins or ends at a point of the drawing."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass
class Chart:
    """One chart; `legend` has (colour, is dashed, text)."""

    title: str
    about: str
    x: Axis
    y: Axis | None = None
    x_label: str = ""
    y_label: str = ""
    height: int = HEIGHT
    curves: list[Curve] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    legend: list[tuple[int, bool, str]] = field(default_factory=list)
    note: str = ""

    @property
    def base(self) -> int:
        """Position of the x axis."""
        return self.height - (HEIGHT - BASE)


def by_bundle(result: Result) -> dict[str, list[Series]]:
    """The series that have samples, by bundle and frame size."""
    found: dict[str, list[Series]] = {}
    for one in result.series:
        if one.samples_ms:
            found.setdefault(f"{one.bundle}, {one.setting.width}×{one.setting.height}", []).append(one)
    return found


def fastest(series: Sequence[Series]) -> list[Setting]:
    """The settings with the lowest median of any way, at most MOST, the fastest first."""
    medians: dict[Setting, float] = {}
    for one in series:
        medians[one.setting] = min(medians.get(one.setting, float("inf")), percentile(one.samples_ms, 50))
    return sorted(medians, key=lambda setting: medians[setting])[:MOST]


def distributions(result: Result) -> list[Chart]:
    """Latency by percentile, one chart per bundle and pace, one colour per setting."""
    charts = []
    for title, some in by_bundle(result).items():
        paces = sorted({one.pace for one in some}, key=lambda p: (p.rate_per_min or 0.0, p.keeps_warm))
        for pace in paces:
            here = [one for one in some if one.pace == pace]
            settings = fastest(here)
            shown = [one for one in here if one.setting in settings]
            charts.append(
                _distribution(f"{title}, {pace_in_words(pace)}", shown, settings, len({o.setting for o in here}))
            )
    return charts


def _distribution(title: str, series: Sequence[Series], settings: list[Setting], of: int) -> Chart:
    longest = max(len(one.samples_ms) for one in series)
    x = percentiles(100 * (1 - 1 / longest), LEFT, RIGHT)
    y = logarithmic([end for one in series for end in (min(one.samples_ms), max(one.samples_ms))], BASE, TOP)
    chart = Chart(title, "Latency by percentile", x, y, "percentile of parts", "ms")
    for one in series:
        chart.curves.append(
            Curve(
                [(x.at(p), y.at(value)) for p, value in _ranked(one.samples_ms)],
                settings.index(one.setting) % COLOURS,
                one.way == "bare",
            )
        )
    chart.legend = [(i % COLOURS, False, named(setting)) for i, setting in enumerate(settings)]
    chart.note = "Whole way drawn through, bare inference dashed." if len({o.way for o in series}) > 1 else ""
    if of > len(settings):
        chart.note += f" The {len(settings)} fastest of {of} settings."
    return chart


def _ranked(samples: Sequence[float]) -> list[tuple[float, float]]:
    """(percentile, latency) of a series in at most POINTS steps, evenly spaced on the axis of percentiles."""
    ascending, count = sorted(samples), len(samples)
    ranks = {round((count - 1) * (1 - 10 ** (-4.5 * step / POINTS))) for step in range(POINTS)} | {0, count - 1}
    return [(100 * rank / count, ascending[rank]) for rank in sorted(ranks)]


def rates(result: Result) -> list[Chart]:
    """Percentiles of the whole way by rate of parts, with the attempts of searches, one chart per setting."""
    charts = []
    for bundle in dict.fromkeys(one.bundle for one in result.series):
        whole = [one for one in result.series if one.bundle == bundle and one.way == "whole way" and one.samples_ms]
        searched = {one.setting: one for one in result.searches if one.bundle == bundle}
        for setting in [s for s in fastest(whole) if s in searched] or fastest(whole)[:1]:
            points = [one for one in whole if one.setting == setting and one.pace.idle_every_s is None]
            if len(points) > 1 or setting in searched:
                charts.append(_rate(f"{bundle}, {named(setting)}", points, searched.get(setting)))
    return charts


def _rate(title: str, points: Sequence[Series], search: Search | None) -> Chart:
    tried = [] if search is None else [one for one in search.tried if one.p99_9_ms is not None]
    percents = (50.0, 99.0, 99.9)
    heights = [percentile(one.samples_ms, p) for one in points for p in percents]
    heights += [one.p99_9_ms for one in tried if one.p99_9_ms] + ([search.budget_ms] if search else [])
    across = [_per_min(one) for one in points] + [one.rate_per_min for one in tried]
    across += [search.asked_per_min] if search and search.asked_per_min else []
    x, y = logarithmic(across, LEFT, RIGHT, 6), logarithmic(heights, BASE, TOP)
    chart = Chart(title, "Latency against rate", x, y, "parts a minute", "ms")
    for colour, percent in enumerate(percents):
        plain_paces = sorted((one for one in points if not one.pace.keeps_warm), key=_per_min)
        places = [(x.at(_per_min(one)), y.at(percentile(one.samples_ms, percent))) for one in plain_paces]
        chart.curves.append(Curve(places, colour))
        for one in points:
            value = percentile(one.samples_ms, percent)
            about = f"{pace_in_words(one.pace)}: p{percent:g} {value:.2f} ms"
            chart.dots.append(Dot(x.at(_per_min(one)), y.at(value), colour, about, is_hollow=one.pace.keeps_warm))
        chart.legend.append((colour, False, f"p{percent:g}"))
    if len(points) and any(one.pace == BACK_TO_BACK for one in points):
        chart.note = "The rightmost points are back to back: the next part comes when the last is done."
    if any(one.pace.keeps_warm for one in points):
        chart.note += " Hollow: kept warm."
    if search is not None:
        _draw_search(chart, search)
    return chart


def _draw_search(chart: Chart, search: Search) -> None:
    assert chart.y is not None
    for one in search.tried:
        if one.p99_9_ms is not None:
            held = "held" if one.held else "failed"
            about = f"{one.rate_per_min:.0f}/min {held}: p99.9 {one.p99_9_ms:.2f} ms, {one.unanswered} unanswered"
            place = chart.x.at(one.rate_per_min), chart.y.at(one.p99_9_ms)
            chart.dots.append(Dot(*place, 5 if one.held else 3, about))
    chart.legend += [(5, False, "rate that held, p99.9"), (3, False, "rate that failed, p99.9")]
    drawn = [(dot.x, dot.y) for dot in chart.dots] + [one for curve in chart.curves for one in along(curve.points)]
    budget, asked = chart.y.at(search.budget_ms), None
    chart.rules.append(Rule(LEFT, budget, RIGHT, budget))
    if search.asked_per_min is not None:
        asked = chart.x.at(search.asked_per_min)
        chart.rules.append(Rule(asked, TOP, asked, BASE))
        drawn += along([(asked, TOP), (asked, BASE)])
    lines = [y for y in (budget - 6, budget + 16) if TOP + 12 <= y <= BASE - 4]
    along_it = [(RIGHT, "end"), *((x, "start") for x in range(LEFT + 8, RIGHT, 40))]
    ends = [Place(x, y, anchor) for y in lines for x, anchor in along_it]
    drawn += _write(chart, f"budget {search.budget_ms:g} ms", ends, drawn)
    if asked is not None:
        drawn += along([(LEFT, budget), (RIGHT, budget)])
        heights = (BASE - 8, TOP + 12, *range(BASE - 38, TOP + 12, -30))
        beside = [Place(x, y, a) for y in heights for x, a in ((asked - 8, "end"), (asked + 8, "start"))]
        _write(chart, f"{search.asked_per_min:g}/min asked", beside, drawn)


def _write(chart: Chart, text: str, places: list[Place], drawn: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Place the text where it covers the least of the drawing; returns the points that it covers."""
    place = freest(text, places, drawn, (0, WIDTH))
    chart.words.append(Words(place.x, place.y, text, place.anchor))
    return covered(text, place)


def _per_min(series: Series) -> float:
    return series.pace.rate_per_min or 60 * series.frames_per_s


def stages(result: Result) -> list[Chart]:
    """Stages of the whole way: per series one bar of the stages' medians and one of their p99."""
    charts = []
    for title, some in by_bundle(result).items():
        settings = fastest([one for one in some if one.stages_ms])
        shown = [one for one in some if one.stages_ms and one.setting in settings]
        if shown:
            shown.sort(key=lambda one: (settings.index(one.setting), one.pace.rate_per_min or 0, one.pace.keeps_warm))
            charts.append(_stages(title, shown))
    return charts


def _stages(title: str, series: Sequence[Series]) -> Chart:
    sums = [sum(_stage(one, p).values()) for one in series for p in (50, 99)]
    widest = max([*sums, *(percentile(one.samples_ms, 99) for one in series)])
    x, height = linear(0, widest * 1.02, 40, RIGHT - 12), TOP + ROW * len(series) + HEIGHT - BASE
    chart = Chart(title, "Stages of the whole way", x, None, "ms", height=height)
    for row, one in enumerate(series):
        top = TOP + row * ROW
        chart.words.append(Words(0, top + 12, f"{named(one.setting)}, {pace_in_words(one.pace)}"))
        for line, percent in enumerate((50.0, 99.0)):
            y, begun = top + 19 + line * (BAR + GAP), 0.0
            chart.words.append(Words(34, y + 12, f"p{percent:g}", "end"))
            for stage, value in _stage(one, percent).items():
                width = x.at(begun + value) - x.at(begun)
                about = f"{stage}, p{percent:g}: {value:.2f} ms"
                chart.bars.append(Bar(x.at(begun), y, width, STAGES.index(stage), about))
                begun += value
            whole = x.at(percentile(one.samples_ms, percent))
            chart.rules.append(Rule(whole, y - 2, whole, y + BAR + 2))
    chart.legend = [(number, False, stage) for number, stage in enumerate(STAGES)]
    chart.note = (
        "The stroke is the percentile of the whole: the slowest parts are seldom slow in every stage, so p99 of the "
        "stages adds up to more."
    )
    return chart


def _stage(one: Series, percent: float) -> dict[str, float]:
    return {stage: percentile(one.stages_ms[stage], percent) for stage in STAGES if one.stages_ms.get(stage)}


def accuracies(result: Result) -> list[Chart]:
    """Latency against accuracy, one dot per artifact, if there are at least two to compare."""
    found = []
    for what, known in (("AUROC", _auroc), ("recall", _recall)):
        places = {}
        for measured in result.bundles:
            for artifact, best in _best_of(result, measured.label).items():
                value = known(measured, artifact)
                if value is not None:
                    places[f"{measured.label.partition('@')[0]} {artifact}"] = (percentile(best, 50), value)
        if len(result.bundles) > 1 or (what == "recall" and len({value for _, value in places.values()}) > 1):
            found.append((what, places))
    return [_accuracy(what, places) for what, places in found if len(places) > 1]


def _best_of(result: Result, bundle: str) -> dict[str, Sequence[float]]:
    """Samples back to back of each artifact's fastest setting, of the whole way if it was measured."""
    found: dict[str, Sequence[float]] = {}
    some = [one for one in result.series if one.bundle == bundle and one.pace == BACK_TO_BACK and is_runnable(one)]
    way = "whole way" if any(one.way == "whole way" for one in some) else "bare"
    for one in sorted(some, key=lambda one: percentile(one.samples_ms, 50)):
        if one.way == way:
            found.setdefault(one.setting.artifact, one.samples_ms)
    return found


def _auroc(measured: Measured, artifact: str) -> float | None:
    return measured.metrics.get("validation auroc")


def _recall(measured: Measured, artifact: str) -> float | None:
    return measured.recall.get(artifact)


def _accuracy(what: str, places: dict[str, tuple[float, float]]) -> Chart:
    values = [value for _, value in places.values()]
    room = max(0.002, 0.15 * (max(values) - min(values)))
    x = logarithmic([ms for ms, _ in places.values()], LEFT + 20, RIGHT - 20, 5)
    y = linear(max(0.0, min(values) - room), min(1.0, max(values) + room), BASE - 10, TOP + 20)
    chart = Chart(f"Latency against {what}", f"Latency against {what}", x, y, "p50, ms, back to back", what)
    front = _front(places)
    stairs: list[tuple[float, float]] = []
    for name in front:
        ms, value = places[name]
        stairs += [(x.at(ms), stairs[-1][1])] if stairs else []
        stairs.append((x.at(ms), y.at(value)))
    chart.curves.append(Curve(stairs, 7, is_dashed=True))
    for name, (ms, value) in places.items():
        about = f"{name}: {plain(round(ms, 2))} ms, {what} {value:.4f}"
        chart.dots.append(Dot(x.at(ms), y.at(value), 0 if name in front else 7, about, name, name not in front))
    chart.note = (
        "Full dots: nothing measured here is both faster and better. Each bundle's accuracy is that on its own "
        "validation photographs, which compares only if they are the same."
    )
    return chart


def _front(places: dict[str, tuple[float, float]]) -> list[str]:
    """The Pareto front: names that no other beats in both respects, the fastest first."""
    best, front = -1.0, []
    for name, (_, value) in sorted(places.items(), key=lambda item: (item[1][0], -item[1][1])):
        if value > best:
            best = value
            front.append(name)
    return front
