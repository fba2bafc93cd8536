"""A benchmark as one self-contained HTML page: what to run, how fast it is, and how certain that is."""

from dataclasses import dataclass
from math import isinf
from pathlib import Path

from markupsafe import Markup

from edge.bench import charts
from edge.bench.budget import asked_in_words, in_words
from edge.bench.keep_warm import warmths
from edge.bench.pace import pace_in_words
from edge.bench.recommendation import Choice, recommended
from edge.bench.result import Result, Search, Series
from edge.bench.settings_grid import named
from edge.bench.statistics import interval, percentile
from edge.bench.table import machine_in_words
from edge.report.pages import templates


@dataclass(frozen=True)
class Row:
    """A series as a row of the table; (percentile, interval or empty) as text."""

    setting: str
    way: str
    pace: str
    percentiles: list[tuple[str, str]]
    frames_per_s: str
    cpu_ms: str
    memory_mib: str
    is_disturbed: bool
    is_recommended: bool


@dataclass(frozen=True)
class Advice:
    """The recommended setting of a bundle, and the reason."""

    bundle: str
    simulated: bool
    headline: str
    why: str
    figures: str


def render(result: Result) -> str:
    """The page as HTML."""
    here = Path(__file__).parent
    choices = {one.label: recommended(result, one.label) for one in result.bundles}
    best = [choice.best for choice in choices.values() if choice is not None]
    disturbances = [one.disturbance for one in result.series]
    disturbances += [one.disturbance for search in result.searches for one in search.tried]
    return (
        templates("edge.bench")
        .get_template("page.html.j2")
        .render(
            style=Markup((here / "page.css").read_text(encoding="utf-8")),
            result=result,
            bundles=", ".join(one.label for one in result.bundles),
            machine=machine_in_words(result.machine),
            advice=[_advice(result, label, choice) for label, choice in choices.items() if choice is not None],
            measurements=len(disturbances),
            disturbances=[one.said for one in disturbances if one is not None and one.is_disturbed],
            answers=[line for one in result.searches for line in _answers(one)],
            warmths=[one.words() for one in warmths(result.series)],
            sections=_sections(result),
            tables={
                title: [_row(one, one in best) for one in sorted(some, key=_order)]
                for title, some in charts.by_bundle(result).items()
            },
            drawing=charts,
        )
    )


def _answers(search: Search) -> list[str]:
    return [in_words(search), *([asked_in_words(search)] if search.asked_per_min is not None else [])]


def _sections(result: Result) -> list[tuple[str, str, list[charts.Chart]]]:
    """(heading, explanation, charts) of each section that has charts."""
    found = [
        (
            "Latency",
            "The lower and the flatter the better. To the right the rare, slow parts, each 9 as wide as the last: a "
            "budget is missed there.",
            charts.distributions(result),
        ),
        ("Latency against rate", "The whole way, at the paces that were measured.", charts.rates(result)),
        ("Where the time goes", "The stages of the whole way, from the frame to the verdict.", charts.stages(result)),
        ("Latency against accuracy", "Up and to the left is better.", charts.accuracies(result)),
    ]
    return [one for one in found if one[2]]


def _advice(result: Result, label: str, choice: Choice) -> Advice:
    best, bundle = choice.best, next(one for one in result.bundles if one.label == label)
    low, high = interval(best.samples_ms, choice.percent)
    budget = f"p{choice.percent:g} {choice.tail_ms:.2f} ms, {_between(low, high)} with 95 % confidence"
    why = f"Of the settings measured {best.way}, {pace_in_words(best.pace)}, its p{choice.percent:g} is the lowest"
    if choice.equals:
        others = sorted({named(one.setting) for one in choice.equals} - {named(best.setting)})
        why += f"; no slower beyond the noise: {', '.join(others)}" if others else ""
    figures = f"p50 {percentile(best.samples_ms, 50):.2f} ms, {budget}."
    return Advice(label, bundle.simulated, named(best.setting), f"{why}.", figures)


def _row(one: Series, is_recommended: bool) -> Row:
    figures = []
    for percent in (50.0, 90.0, 99.0, 99.9):
        value, (low, high) = percentile(one.samples_ms, percent), interval(one.samples_ms, percent)
        figures.append((f"{value:.2f}", f"{low:.2f}–{'?' if isinf(high) else f'{high:.2f}'}"))
    figures.append((f"{max(one.samples_ms):.2f}", ""))
    return Row(
        named(one.setting),
        one.way,
        pace_in_words(one.pace),
        figures,
        f"{one.frames_per_s:.1f}",
        "" if one.cpu_s_a_frame is None else f"{1000 * one.cpu_s_a_frame:.1f}",
        "" if one.resident_mib is None else f"{one.resident_mib:,.0f}",
        one.disturbance is not None and one.disturbance.is_disturbed,
        is_recommended,
    )


def _between(low: float, high: float) -> str:
    return f"at least {low:.2f} ms" if isinf(high) else f"{low:.2f} to {high:.2f} ms"


def _order(one: Series) -> tuple[str, bool, float, bool]:
    return named(one.setting), one.way != "bare", one.pace.rate_per_min or 0.0, one.pace.keeps_warm
