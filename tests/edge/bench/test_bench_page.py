"""The benchmark's page is one file that shows all measurements, and marks disturbed ones clearly."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from support.benchmark_results import DISTURBANCE, bare_result, times, whole_result

from edge.bench import charts
from edge.bench.axis import linear, logarithmic, percentiles
from edge.bench.page import render
from edge.bench.recommendation import choose, recommended
from edge.bench.result import Pace, Result, Search, Tried
from edge.bench.settings_grid import named
from edge.bench.statistics import percentile


@pytest.fixture(scope="module")
def measured() -> Result:
    return whole_result()


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_needs_nothing_else(measured: Result) -> None:
    page = render(measured)
    assert not re.search(r"https?:|<script|src=|@import|url\(", page)
    assert re.findall(r'href="([^"]*)"', page) == ["data:,"]


def test_every_series_is_in_the_table_and_every_stage_in_the_picture(measured: Result) -> None:
    page = render(measured)
    for one in measured.series:
        assert f"<td>{percentile(one.samples_ms, 50):.2f}" in page
    stages = next(d for d in drawings(page) if d.get("aria-label", "").startswith("Stages"))
    titles = [title.text or "" for title in stages.iter("title")]
    for stage in charts.STAGES:
        assert any(text.startswith(f"{stage}, p99") for text in titles)


def test_nothing_is_drawn_outside_of_its_picture(measured: Result) -> None:
    found = drawings(render(measured))
    assert len(found) >= 3
    for drawing in found:
        _, _, width, height = map(float, drawing.get("viewBox", "").split())
        for element in drawing.iter():
            for name, most in (
                ("x", width),
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("cy", height),
                ("y", height),
            ):
                assert 0 <= float(element.get(name, 0)) <= most
        for path in drawing.iter("path"):
            for x, y in re.findall(r"([\d.]+),([\d.]+)", path.get("d", "")):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_a_disturbed_measurement_is_said_before_everything_else() -> None:
    quiet = bare_result()
    assert 'id="disturbed"' not in render(quiet)
    busy = [quiet.series[0].model_copy(update={"disturbance": DISTURBANCE}), quiet.series[1]]
    page = render(quiet.model_copy(update={"series": busy}))
    assert "Disturbed: 1 of 2 measurements" in page
    assert "others kept 1.5 cores busy" in page
    assert page.index('id="disturbed"') < page.index("<main>")


def test_what_a_bundle_calls_itself_is_no_markup() -> None:
    name = "<script>alert(1)</script>@0123"
    series = [one.model_copy(update={"bundle": name}) for one in bare_result().series]
    bundles = [one.model_copy(update={"label": name}) for one in bare_result().bundles]
    page = render(bare_result().model_copy(update={"series": series, "bundles": bundles}))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_setting_to_run_is_the_fastest_and_bf16_never_is() -> None:
    first, second = bare_result().series
    slow = times(first, 30 * percentile(second.samples_ms, 90) / percentile(first.samples_ms, 90))
    choice = choose([slow, second])
    assert choice is not None
    assert choice.best is second
    assert not choice.equals
    rounded = second.model_copy(update={"setting": second.setting.model_copy(update={"precision": "bf16"})})
    advised = recommended(bare_result().model_copy(update={"series": [slow, rounded]}), first.bundle)
    assert advised is not None
    assert advised.best is slow
    assert named(slow.setting) in render(bare_result().model_copy(update={"series": [slow, rounded]}))


def test_of_settings_that_are_as_good_the_one_that_costs_less_is_chosen() -> None:
    first = bare_result().series[0]
    cheap = first.model_copy(update={"cpu_s_a_frame": 0.001})
    dear = times(first, 0.999).model_copy(update={"cpu_s_a_frame": 0.5})
    choice = choose([dear, cheap])
    assert choice is not None
    assert choice.best is cheap
    assert choice.equals == (dear,)
    assert choose([dear, cheap], budget_ms=1e-6) is None


def test_latency_stands_against_accuracy_where_there_are_bundles_to_compare() -> None:
    assert "Latency against accuracy" not in render(bare_result())
    other = bare_result().bundles[0].model_copy(update={"label": "worse@1", "metrics": {"validation auroc": 0.9}})
    worse = [times(one, 2).model_copy(update={"bundle": "worse@1"}) for one in bare_result().series]
    both = bare_result().model_copy(
        update={"bundles": [*bare_result().bundles, other], "series": [*bare_result().series, *worse]}
    )
    auroc = charts.accuracies(both)[0]
    assert {dot.label: dot.is_hollow for dot in auroc.dots}["worse openvino"], "slower and worse: not on the front"
    assert sum(not dot.is_hollow for dot in auroc.dots) == 1


def test_a_search_shows_what_held_and_what_failed(measured: Result) -> None:
    whole = next(one for one in measured.series if one.way == "whole way")
    tried = [
        Tried(rate_per_min=rate, p99_9_ms=ms, unanswered=0, held=ms < 50) for rate, ms in ((300, 20.0), (600, 80.0))
    ]
    search = Search(
        bundle=whole.bundle, setting=whole.setting, budget_ms=50, asked_per_min=600, best_per_min=300,
        holds_asked=False, tried=tried,
    )  # fmt: skip
    page = render(measured.model_copy(update={"searches": [search]}))
    assert "budget 50 ms" in page
    assert "300/min held: p99.9 20.00 ms" in page
    assert "600/min failed: p99.9 80.00 ms" in page


@pytest.mark.parametrize("asked", [600, 20_000], ids=["slowest", "fastest"])
@pytest.mark.parametrize("budget_ms", [13.5, 25, 100])
def test_words_about_a_search_are_whole_and_lie_on_no_dot_and_on_no_line(
    measured: Result, asked: int, budget_ms: float
) -> None:
    whole = next(one for one in measured.series if one.way == "whole way")
    tried = [
        Tried(rate_per_min=rate, p99_9_ms=ms, unanswered=0, held=ms < budget_ms)
        for rate, ms in ((600, 12.0), (4800, 16), (9600, 24), (12000, 25.6), (14000, 26.5), (15500, 33), (20000, 80))
    ]
    search = Search(
        bundle=whole.bundle, setting=whole.setting, budget_ms=budget_ms, asked_per_min=asked, best_per_min=600,
        holds_asked=True, tried=tried,
    )  # fmt: skip
    result = measured.model_copy(update={"searches": [search]})
    (chart,) = charts.rates(result)
    assert [one.text for one in chart.words] == [f"budget {budget_ms:g} ms", f"{asked}/min asked"]
    boxes = []
    for one in chart.words:
        width = 7 * len(one.text)
        left = one.x if one.anchor == "start" else one.x - width
        boxes.append((left, left + width, one.y - 10, one.y + 3))
    for left, right, top, bottom in boxes:
        assert 0 <= left < right <= charts.WIDTH
        assert not [d for d in chart.dots if left - 4 < d.x < right + 4 and top - 4 < d.y < bottom + 4]
        assert not [r for r in chart.rules if left < r.x2 and r.x1 < right and top < r.y2 and r.y1 < bottom]
    (a_left, a_right, a_top, a_bottom), (left, right, top, bottom) = boxes
    assert right < a_left or a_right < left or bottom < a_top or a_bottom < top


def test_a_label_at_the_end_of_an_axis_is_whole(measured: Result) -> None:
    whole = next(one for one in measured.series if one.way == "whole way" and one.pace.rate_per_min)
    fast = times(whole, 1).model_copy(update={"pace": Pace(rate_per_min=20_000)})
    page = render(measured.model_copy(update={"series": [*measured.series, fast]}))
    drawing = next(d for d in drawings(page) if d.get("aria-label", "").startswith("Latency against rate"))
    last = next(text for text in drawing.iter("text") if text.text == "20,000")
    assert (last.get("class"), float(last.get("x", 0))) == ("end", charts.WIDTH)


def test_axes_keep_the_order_and_label_round_numbers() -> None:
    for axis in (logarithmic([0.3, 40.0], 0, 100), linear(0.0, 7.3, 0, 100), percentiles(99.95, 0, 100)):
        places = [axis.at(value) for value, _ in axis.ticks]
        assert 3 <= len(places) <= 8
        assert all(a < b for a, b in pairwise(places))
        assert places[0] >= 0
        assert places[-1] <= 100
    x = percentiles(99.99, 0, 100)
    assert x.at(99) - x.at(90) == pytest.approx(x.at(99.9) - x.at(99))


def test_a_pace_that_was_kept_warm_is_drawn_hollow(measured: Result) -> None:
    whole = next(one for one in measured.series if one.way == "whole way" and one.pace.rate_per_min)
    warm = times(whole, 0.9).model_copy(update={"pace": Pace(rate_per_min=1200, keeps_warm=True)})
    chart = charts.rates(measured.model_copy(update={"series": [*measured.series, warm]}))[0]
    assert any(dot.is_hollow and "kept warm" in dot.about for dot in chart.dots)
