"""The evaluation: metrics, intervals and thresholds are correct, also for degenerate scores."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import (
    Figures,
    auroc,
    average_precision,
    confusion,
    dice,
    iou,
    judge,
    part_scores,
    rate,
    rejected_by_group,
)
from edge.evaluation.thresholds import STRATEGIES, choose_threshold

WITHOUT_PROMISE = sorted(name for name, one in STRATEGIES.items() if not one.promises)
SCORES = [0.1, 0.2, 0.3, 0.4, 0.6, 0.35, 0.7, 0.8, 0.9]
BAD = [False] * 5 + [True] * 4

parts = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: {bad for _, bad in rows} == {True, False}
)


def test_score_equal_to_the_threshold_is_rejected() -> None:
    counts = confusion([0.5, 0.5, 0.4], [True, False, False], 0.5)
    assert (counts.tp, counts.fp, counts.tn, counts.fn) == (1, 1, 1, 0)


def test_rates_are_those_of_the_confusion() -> None:
    figures = judge(SCORES, BAD, 0.5)
    assert (figures.recall.successes, figures.recall.trials) == (3, 4)
    assert (figures.specificity.successes, figures.specificity.trials) == (4, 5)
    assert (figures.precision.successes, figures.precision.trials) == (3, 4)
    assert figures.f1 == 0.75
    assert figures.auroc == pytest.approx(18 / 20)


def test_clopper_pearson_interval_of_the_textbook() -> None:
    found = rate(4, 20)
    assert (found.low, found.high) == (pytest.approx(0.0573, abs=1e-4), pytest.approx(0.4366, abs=1e-4))
    none_missed = rate(14, 14)
    assert none_missed.high == 1.0
    assert none_missed.low == pytest.approx(0.025 ** (1 / 14))


@given(st.integers(1, 200), st.data())
def test_interval_holds_the_proportion_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    found, mirrored = rate(successes, trials), rate(trials - successes, trials)
    assert 0 <= found.low <= successes / trials <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_one_class_has_no_recall_no_auroc_and_writes_null_not_nan() -> None:
    figures = judge([0.1, 0.2], [False, False], 0.15)
    assert figures.recall.value is None
    assert figures.auroc is None
    assert figures.average_precision is None
    assert (figures.recall.low, figures.recall.high) == (0.0, 1.0)
    assert "NaN" not in figures.model_dump_json()
    assert Figures.model_validate(json.loads(figures.model_dump_json())) == figures


def test_ties_count_half_in_auroc() -> None:
    assert auroc([0.5, 0.5, 0.5, 0.5], [True, True, False, False]) == 0.5
    assert average_precision([0.5] * 4, [True, False, False, False]) == 0.25


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_score_that_is_no_finite_number_is_refused_never_ranked(strategy: str, wrong: float) -> None:
    with pytest.raises(DataError, match="score 1 of 3"):
        choose_threshold([0.1, wrong, 0.3], [False, False, True], strategy)
    with pytest.raises(DataError, match="score 1 of 3"):
        judge([0.1, wrong, 0.3], [False, False, True], 0.2)


def test_no_scores_and_uneven_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="no scores"):
        judge([], [], 0.5)
    with pytest.raises(ValueError, match="one of each"):
        judge([0.1, 0.2], [True], 0.5)


@pytest.mark.parametrize(
    ("strategy", "parameters", "threshold"),
    [
        ("best-f1", {}, 0.65),
        ("recall", {"at_least": 1.0}, 0.325),
        ("recall", {"at_least": 0.75}, 0.65),
        ("specificity", {"at_least": 0.8}, 0.5),
        ("specificity", {"at_least": 1.0}, 0.65),
        ("midway", {"at_least": 1.0}, 0.5),
        ("balanced", {}, 0.65),
        ("lowest-bad", {}, 0.325),
        ("cost", {"miss": 10, "false_reject": 1}, 0.325),
        ("cost", {"miss": 1, "false_reject": 10}, 0.65),
        ("reject-rate", {"at_most": 0.34}, 0.65),
        ("reject-rate", {"at_most": 0.5}, 0.5),
    ],
)
def test_each_strategy_cuts_where_it_says_and_between_scores(
    strategy: str, parameters: dict[str, float], threshold: float
) -> None:
    chosen = choose_threshold(SCORES, BAD, strategy, **parameters)
    assert chosen.value == pytest.approx(threshold)
    assert chosen.confusion == confusion(SCORES, BAD, chosen.value)


@given(parts, st.sampled_from(WITHOUT_PROMISE))
def test_verdicts_survive_a_difference_of_a_millionth_between_runtimes(
    rows: list[tuple[int, bool]], strategy: str
) -> None:
    scores, bad = np.array([score / 20 for score, _ in rows]), [bad for _, bad in rows]
    chosen = choose_threshold(scores, bad, strategy)
    for difference in (-1e-6, 1e-6):
        assert confusion(scores + difference, bad, chosen.value) == chosen.confusion


@given(parts)
def test_no_other_threshold_does_better_than_the_chosen_one(rows: list[tuple[int, bool]]) -> None:
    scores, bad = [score / 20 for score, _ in rows], [bad for _, bad in rows]
    others = [confusion(scores, bad, value) for value in np.linspace(-0.03, 1.03, 200)]
    assert (choose_threshold(scores, bad, "best-f1").confusion.f1 or 0) >= max(c.f1 or 0 for c in others)
    kept = choose_threshold(scores, bad, "recall", at_least=0.9).confusion
    assert kept.tp >= 0.9 * sum(bad)
    assert kept.fp == min(c.fp for c in others if c.tp >= 0.9 * sum(bad))
    passed = choose_threshold(scores, bad, "specificity", at_least=0.9).confusion
    assert passed.tn >= 0.9 * bad.count(False)
    assert passed.fn == min(c.fn for c in others if c.tn >= 0.9 * bad.count(False))
    costs = choose_threshold(scores, bad, "cost", miss=3, false_reject=2).confusion
    assert 3 * costs.fn + 2 * costs.fp == min(3 * c.fn + 2 * c.fp for c in others)
    few = choose_threshold(scores, bad, "reject-rate", at_most=0.3).confusion
    assert few.tp + few.fp <= 0.3 * len(bad)
    assert few.tp == max(c.tp for c in others if c.tp + c.fp <= 0.3 * len(bad))


@given(parts)
def test_no_known_bad_photograph_passes_its_own_lowest_score(rows: list[tuple[int, bool]]) -> None:
    scores, bad = [score / 20 for score, _ in rows], [bad for _, bad in rows]
    assert choose_threshold(scores, bad, "lowest-bad").confusion.fn == 0


def test_validation_without_bad_photographs_still_chooses() -> None:
    scores = [0.1, 0.2, 0.3, 0.4]
    chosen = choose_threshold(scores, [False] * 4, "specificity", at_least=1.0)
    assert chosen.value == pytest.approx(0.45)
    assert choose_threshold(scores, [False] * 4, "specificity", at_least=0.75).value == pytest.approx(0.35)
    assert choose_threshold([0.2], [False], "specificity", at_least=1.0).value > 0.2


def test_strategy_that_needs_a_class_which_is_absent_says_so() -> None:
    with pytest.raises(DataError, match="needs bad photographs and there are none"):
        choose_threshold([0.1, 0.2], [False, False], "best-f1")
    with pytest.raises(DataError, match="needs good photographs and there are none"):
        choose_threshold([0.1, 0.2], [True, True], "specificity")


def test_scores_all_equal_reject_all_or_none() -> None:
    scores, bad = [0.5] * 4, [True, False, False, False]
    assert choose_threshold(scores, bad, "recall").confusion.fp == 3
    assert choose_threshold(scores, bad, "specificity").confusion.tp == 0


def test_neighbouring_floats_are_still_told_apart() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    chosen = choose_threshold([low, high], [False, True], "best-f1")
    assert (chosen.confusion.tp, chosen.confusion.fp) == (1, 0)


def test_wrong_strategy_or_parameter_is_one_clear_line() -> None:
    with pytest.raises(RecipeError, match=r"no threshold strategy 'bestf1'; did you mean 'best-f1'\? there are"):
        choose_threshold(SCORES, BAD, "bestf1")
    with pytest.raises(RecipeError, match="no parameter 'atleast'; it has at_least"):
        choose_threshold(SCORES, BAD, "recall", atleast=0.9)
    with pytest.raises(RecipeError, match=r"at_least = 95 is not a number from 0 to 1"):
        choose_threshold(SCORES, BAD, "recall", at_least=95)


def test_rejected_by_group_names_every_group() -> None:
    found = rejected_by_group([0.1, 0.9, 0.8, 0.2], ["chip", "chip", "scratch", "scratch"], 0.5)
    assert {name: (one.successes, one.trials) for name, one in found.items()} == {
        "chip": (1, 2),
        "scratch": (1, 2),
    }


def test_dice_and_iou_of_maps() -> None:
    found, truth = np.array([[1, 1], [0, 0]]), np.array([[1, 0], [1, 0]])
    assert dice(found, truth) == 0.5
    assert iou(found, truth) == pytest.approx(1 / 3)
    assert dice(np.zeros((2, 2)), np.zeros((2, 2))) is None
    assert iou(np.zeros((2, 2)), truth) == 0.0
    with pytest.raises(ValueError, match="different shapes"):
        dice(np.zeros((2, 2)), np.zeros((2, 3)))


@given(parts, st.integers(1, 6))
def test_a_part_photographed_several_times_with_one_score_is_judged_as_once(
    rows: list[tuple[int, bool]], times: int
) -> None:
    scores, bad = zip(*rows, strict=True)
    names = [f"part-{index:03}" for index in range(len(rows))]
    by_part = part_scores(scores * times, bad * times, names * times)
    assert by_part[0] == pytest.approx(scores)
    assert by_part[1].tolist() == list(bad)


def test_a_part_has_the_mean_score_of_its_photographs_and_is_bad_if_one_of_them_is() -> None:
    rows = [(0.2, False, "b"), (0.9, True, "a"), (0.5, False, "a"), (0.4, False, "b")]
    scores, bad, names = zip(*rows, strict=True)
    means, bad_parts = part_scores(scores, bad, names)
    assert means == pytest.approx([0.7, 0.3])
    assert bad_parts.tolist() == [True, False]
    assert part_scores(scores, bad, names, max)[0] == pytest.approx([0.9, 0.4])


def test_photographs_without_a_name_of_their_part_are_refused() -> None:
    with pytest.raises(ValueError, match="2 photographs and 1 names of parts"):
        part_scores([0.1, 0.2], [True, False], ["a"])
