"""Intervals: each part counts once, promised rates are compared with the results, and chance is no finding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from edge.evaluation.distribution_shift import picture_properties, shifts
from edge.evaluation.intervals import auroc_interval, clustered_rate, holm, rates_differ
from edge.evaluation.metrics import confusion, rate
from edge.evaluation.threshold_stability import Sample, every_promise, keep_promise
from edge.evaluation.thresholds import STRATEGIES, choose_threshold


def scored(seed: int, count: int = 60, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    bad = rng.random(count) < 0.4
    return Sample(rng.normal(bad * 2.0 + shift, 1), bad)


def six_times(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    return np.repeat(values, 6), [f"part-{index}" for index in range(len(values)) for _ in range(6)]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_a_part_photographed_once_has_the_exact_interval(hits: list[bool]) -> None:
    assert clustered_rate(hits, [str(index) for index in range(len(hits))]) == rate(sum(hits), len(hits))


@given(st.lists(st.booleans(), min_size=2, max_size=20))
@settings(max_examples=50, deadline=None)
def test_photographing_each_part_six_times_narrows_no_interval(hits: list[bool]) -> None:
    once = rate(sum(hits), len(hits))
    repeated = clustered_rate(*six_times(np.array(hits)))
    assert repeated.value == once.value
    assert repeated.high - repeated.low >= (once.high - once.low) * 0.93


def test_two_samples_of_single_photographs_are_compared_by_fishers_test() -> None:
    first, second = np.arange(20) < 18, np.arange(30) < 15
    assert rates_differ(first, second) == pytest.approx(fisher_exact([[18, 2], [15, 15]]).pvalue)


def test_six_photographs_of_a_part_do_not_make_a_difference_six_times_as_sure() -> None:
    first, second = np.arange(8) < 7, np.arange(8) < 4
    alone = rates_differ(first, second)
    (many_first, parts_first), (many_second, parts_second) = six_times(first), six_times(second)
    assert rates_differ(many_first, many_second) < 0.001
    by_part = rates_differ(many_first, many_second, parts_first, [f"other-{part}" for part in parts_second])
    assert by_part == pytest.approx(alone, abs=0.03)


def test_same_process_is_called_different_about_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(60):
        first, second = (six_times(rng.random(20) < 0.7) for _ in range(2))
        p_values.append(rates_differ(first[0], second[0], first[1], second[1]))
    assert np.mean(np.array(p_values) < 0.05) <= 0.12


def test_interval_of_an_auroc_is_as_wide_as_published_and_never_nothing() -> None:
    low, high = auroc_interval(0.94, bad=14, good=34)
    assert 0.78 < low < 0.84
    assert 0.97 < high < 0.99
    assert auroc_interval(1.0, 14, 34)[0] < 0.95
    assert auroc_interval(1.0, 14, 34)[1] == 1.0
    assert auroc_interval(0.0, 14, 34)[1] > 0.05
    assert auroc_interval(0.7, 0, 5) == (0.0, 1.0)


def test_holm_corrects_as_the_paper_does() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_strategy_is_held_against_what_it_gave() -> None:
    val, test = scored(1), scored(2)
    promises = every_promise(val, test, recall={"at_least": 0.8})
    assert set(promises) == {strategy for strategy, one in STRATEGIES.items() if not one.promises}
    assert promises["recall"].threshold.parameters == {"at_least": 0.8}
    for strategy, promise in promises.items():
        parameters = {"at_least": 0.8} if strategy == "recall" else {}
        chosen = choose_threshold(val.scores, val.bad, strategy, **parameters)
        assert promise.threshold == chosen
        assert promise.given == confusion(test.scores, test.bad, chosen.value)


def test_scores_that_have_moved_break_the_promise_and_scores_that_have_not_keep_it() -> None:
    val = scored(1, 400)
    threshold = choose_threshold(val.scores, val.bad, "balanced")
    assert keep_promise(threshold, val, scored(2, 400)).held
    moved = keep_promise(threshold, val, scored(2, 400, shift=1.0))
    assert moved.specificity_held is False
    assert moved.held is False


def test_without_bad_parts_nothing_is_said_of_recall() -> None:
    val = Sample(np.arange(10.0), np.zeros(10, bool))
    promises = every_promise(val, val)
    assert set(promises) == {"specificity", "reject-rate"}
    assert promises["specificity"].recall_held is None
    assert promises["specificity"].held is True


def test_a_darker_set_is_found_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(100, 5, 80), rng.normal(100, 5, 80), None, None
    darker = rng.normal(100, 5, 80), rng.normal(80, 5, 80), None, None
    found = {shift.name: shift for shift in shifts({"same": same, "darker": darker, "empty": ([], [1.0], None, None)})}
    assert set(found) == {"same", "darker"}
    assert found["same"].p_value > 0.05
    assert found["darker"].p_value < 0.001
    assert found["darker"].after < found["darker"].before


def test_a_set_of_few_parts_is_compared_by_its_parts() -> None:
    values, parts = six_times(np.array([1.0, 2.0, 3.0]))
    (shift,) = shifts({"few": (values, values + 10, parts, parts)})
    assert shift.units == (3, 3)
    assert shift.distance == 1.0
    assert shift.p_value > 0.05


def test_properties_of_a_picture_are_what_they_are_called() -> None:
    flat = np.full((100, 200, 3), 60, np.uint8)
    striped = flat.copy()
    striped[:, ::2] = 160
    assert picture_properties(flat) == {"mean grey": 60, "contrast": 0, "sharpness": 0, "size": 0.02, "aspect": 2}
    assert picture_properties(striped)["contrast"] == pytest.approx(50)
    assert picture_properties(striped)["sharpness"] > 100
