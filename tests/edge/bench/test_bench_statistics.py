"""Intervals of percentiles have their nominal coverage, also for correlated samples."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import statistics
from edge.bench.statistics import dependence, difference, interval, percentile, ratio
from edge.station import part_counts

QUANTILES = {50.0: 0.0, 99.0: 2.3263}
"""Quantiles of the standard normal distribution, by percent."""


def latencies(count: int, resemblance: float, generator: np.random.Generator) -> np.ndarray:
    """A lognormal series with p50 = 1, in which consecutive samples are correlated."""
    fresh = generator.standard_normal(count) * np.sqrt(1 - resemblance**2)
    normal = [generator.standard_normal()]
    for one in fresh[1:]:
        normal.append(resemblance * normal[-1] + one)
    return np.exp(0.3 * np.array(normal))


def coverage(percent: float, count: int, resemblance: float, times: int = 120) -> float:
    """Share of series whose interval contains the true percentile."""
    generator, true, held = np.random.default_rng(3), np.exp(0.3 * QUANTILES[percent]), 0
    for _ in range(times):
        low, high = interval(latencies(count, resemblance, generator), percent)
        held += low <= true <= high
    return held / times


@pytest.mark.parametrize(("percent", "count"), [(50.0, 400), (99.0, 1000)])
def test_an_interval_holds_the_true_percentile_about_as_often_as_it_says(percent: float, count: int) -> None:
    assert coverage(percent, count, 0.0) >= 0.88


def test_samples_that_resemble_each_other_widen_the_interval_as_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coverage(50.0, 600, 0.9) >= 0.8
    monkeypatch.setattr(statistics, "dependence", lambda samples, percent: statistics.Dependence())
    assert coverage(50.0, 600, 0.9) < 0.6, "drawn one by one they promise too much"


def test_blocks_are_as_long_as_the_dependence() -> None:
    generator = np.random.default_rng(1)
    assert dependence(latencies(2000, 0.0, generator), 50.0).inflation < 1.5
    resembling = dependence(latencies(2000, 0.9, generator), 50.0)
    assert resembling.block >= 15
    assert resembling.inflation > 4


def test_too_few_samples_do_not_bound_a_percentile_from_above() -> None:
    few = latencies(300, 0.0, np.random.default_rng(2))
    assert interval(few, 99.0)[1] == inf
    assert interval(few, 50.0)[1] < inf
    many = latencies(1000, 0.0, np.random.default_rng(2))
    assert interval(many, 99.0)[1] < inf
    assert ratio(few, many, 99.0).low == 0.0
    assert ratio(many, few, 99.0).high == inf


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=80), st.sampled_from([50.0, 90.0, 99.0, 99.9, 100.0]))
def test_an_interval_holds_the_percentile_that_was_seen_and_it_is_the_ledgers(
    samples: list[float], percent: float
) -> None:
    assert percentile(samples, percent) == part_counts.percentile(sorted(samples), percent)
    low, high = interval(samples, percent)
    assert min(samples) <= low <= percentile(samples, percent) <= high


def test_two_series_of_one_process_do_not_differ_and_a_fifth_more_is_seen() -> None:
    generator = np.random.default_rng(4)
    before, after = latencies(1000, 0.5, generator), latencies(1000, 0.5, generator)
    assert not ratio(before, after, 50.0).excludes(1.0)
    assert not difference(before, after, 50.0).excludes(0.0)
    slower = ratio(before, 1.2 * after, 50.0)
    assert slower.excludes(1.0)
    assert slower.low < 1.2 < slower.high
    assert difference(before, 1.2 * after, 50.0).low > 0


def test_the_same_samples_give_the_same_interval() -> None:
    samples = latencies(500, 0.3, np.random.default_rng(5))
    assert interval(samples, 99.0) == interval(list(samples), 99.0)
