"""What was asked of a threshold against what it gives: kept, not kept, or too few parts to tell."""

import numpy as np
import pytest

from edge.evaluation.asked_rate import AskedRate, Kept, asked_rate
from edge.evaluation.metrics import Confusion, confusion, rate
from edge.evaluation.threshold_stability import Sample, every_promise, keep_promise, refused_strategies
from edge.evaluation.thresholds import ChosenThreshold, choose_threshold


def chosen(strategy: str, **parameters: float) -> ChosenThreshold:
    counts = Confusion(tp=0, fp=0, tn=0, fn=0)
    return ChosenThreshold(value=0.5, strategy=strategy, parameters=parameters, confusion=counts)


def photographs(caught: int, missed: int, passed: int, rejected: int) -> tuple[np.ndarray, np.ndarray]:
    scores = [*[0.9] * caught, *[0.1] * missed, *[0.1] * passed, *[0.9] * rejected]
    return np.array(scores), np.array([True] * (caught + missed) + [False] * (passed + rejected))


@pytest.mark.parametrize(
    ("strategy", "parameters", "counts", "kept"),
    [
        ("specificity", {"at_least": 0.95}, (0, 0, 990, 10), Kept.KEPT),
        ("specificity", {"at_least": 0.95}, (0, 0, 97, 3), Kept.UNDECIDED),
        ("specificity", {"at_least": 0.95}, (0, 0, 92, 8), Kept.UNDECIDED),
        ("specificity", {"at_least": 0.95}, (0, 0, 876, 124), Kept.NOT_KEPT),
        ("recall", {"at_least": 0.9}, (3, 97, 100, 0), Kept.NOT_KEPT),
        ("recall", {"at_least": 0.9}, (100, 0, 0, 100), Kept.KEPT),
        ("recall-with-confidence", {"at_least": 0.9, "confidence": 0.9}, (99, 1, 10, 0), Kept.KEPT),
        ("false-rejects-with-confidence", {"at_most": 0.05, "confidence": 0.9}, (0, 9, 990, 10), Kept.KEPT),
        ("false-rejects-with-confidence", {"at_most": 0.05, "confidence": 0.9}, (0, 9, 88, 12), Kept.NOT_KEPT),
        ("false-rejects-with-confidence", {"at_most": 0.05, "confidence": 0.9}, (0, 9, 20, 0), Kept.UNDECIDED),
    ],
)
def test_the_interval_of_the_given_rate_is_compared_with_what_was_asked(
    strategy: str, parameters: dict[str, float], counts: tuple[int, int, int, int], kept: Kept
) -> None:
    found = asked_rate(chosen(strategy, **parameters), *photographs(*counts), None)
    assert found is not None
    assert found.kept is kept
    assert found.confidence == parameters.get("confidence")


def test_a_strategy_that_is_asked_for_no_rate_is_not_judged_by_one() -> None:
    for strategy in ("balanced", "best-f1", "lowest-bad", "midway", "cost", "reject-rate"):
        assert asked_rate(chosen(strategy), *photographs(5, 5, 5, 5), None) is None
    assert asked_rate(chosen("recall", at_least=0.9), *photographs(0, 0, 5, 5), None) is None, "no bad photographs"


def test_a_promise_is_judged_by_parts_and_a_quantile_by_photographs_of_which_parts_count_once() -> None:
    scores, bad = np.array([0.1, 0.9] * 40), np.ones(80, bool)
    parts = [str(number // 2) for number in range(80)]
    whole = asked_rate(chosen("recall-with-confidence", at_least=0.9, confidence=0.9), scores, bad, parts)
    alone = asked_rate(chosen("recall", at_least=0.9), scores, bad, parts)
    assert whole is not None
    assert alone is not None
    assert whole.given == rate(40, 40), "every part has a photograph that is rejected"
    assert (alone.given.successes, alone.given.trials) == (40, 80)
    repeated = asked_rate(chosen("recall", at_least=0.9), np.repeat([0.9] * 20 + [0.1], 6), np.ones(126, bool), None)
    clustered = asked_rate(
        chosen("recall", at_least=0.9),
        np.repeat([0.9] * 20 + [0.1], 6),
        np.ones(126, bool),
        [str(number // 6) for number in range(126)],
    )
    assert repeated is not None
    assert clustered is not None
    assert clustered.given.low < repeated.given.low


@pytest.mark.parametrize(("passed", "rejected"), [(97, 3), (92, 8), (20, 0)])
def test_as_many_parts_tell_as_are_said_and_fewer_do_not(passed: int, rejected: int) -> None:
    def of(count: int) -> AskedRate:
        refused = round(count * rejected / (passed + rejected))
        found = asked_rate(chosen("specificity", at_least=0.95), *photographs(0, 0, count - refused, refused), None)
        assert found is not None
        return found

    small = of(passed + rejected)
    assert small.kept is Kept.UNDECIDED
    assert small.parts_to_tell is not None
    assert of(round(1.1 * small.parts_to_tell)).kept is not Kept.UNDECIDED
    assert of(round(0.7 * small.parts_to_tell)).kept is Kept.UNDECIDED


def test_a_rate_that_is_what_was_asked_takes_no_number_of_parts() -> None:
    equal = asked_rate(chosen("specificity", at_least=0.95), *photographs(0, 0, 95, 5), None)
    assert equal is not None
    assert equal.parts_to_tell is None


@pytest.mark.parametrize(
    ("counts", "beats"),
    [
        ((3, 97, 95, 5), False),
        ((10, 90, 90, 10), False),
        ((100, 0, 0, 100), False),
        ((1, 99, 20, 0), False),
        ((0, 100, 60, 40), False),
        ((60, 40, 95, 5), True),
        ((12, 88, 99, 1), True),
        ((5, 5, 0, 0), None),
    ],
)
def test_a_recall_no_higher_than_the_false_rejects_is_no_better_than_chance(
    counts: tuple[int, int, int, int], beats: bool | None
) -> None:
    sample = Sample(*photographs(*counts))
    assert keep_promise(chosen("balanced"), sample, sample).beats_chance is beats


def test_a_better_figure_on_test_is_not_called_worse() -> None:
    val, test = Sample(*photographs(60, 40, 80, 20)), Sample(*photographs(95, 5, 99, 1))
    better, worse = (
        keep_promise(
            chosen("balanced").model_copy(update={"confusion": confusion(one.scores, one.bad, 0.5)}), one, other
        )
        for one, other in ((val, test), (test, val))
    )
    assert better.recall_held is better.specificity_held is False
    assert not better.recall_is_worse
    assert not better.specificity_is_worse
    assert worse.recall_is_worse
    assert worse.specificity_is_worse


def test_what_too_few_parts_cannot_promise_is_refused_and_the_rest_is_compared() -> None:
    rng = np.random.default_rng(0)
    bad = np.arange(100) < 30
    sample = Sample(rng.normal(2.0 * bad, 1), bad)
    promises, refused = every_promise(sample, sample), refused_strategies(sample)
    assert set(refused) == {"recall-with-confidence"}
    assert "takes at least 59 bad photographs to choose on, and there are 30" in refused["recall-with-confidence"]
    assert "false-rejects-with-confidence" in promises
    assert not set(refused) & set(promises)
    six = Sample(np.repeat(sample.scores, 6), np.repeat(bad, 6), tuple(str(number // 6) for number in range(600)))
    assert set(refused_strategies(six)) == {"recall-with-confidence"}, "180 photographs of 30 parts are 30 parts"
    options = {"at_least": 0.9, "confidence": 0.8}
    assert not refused_strategies(six, recall_with_confidence=options)
    few = sample.of_class(True)
    found = every_promise(few, few, recall_with_confidence=options)["recall-with-confidence"].threshold
    assert found == choose_threshold(few.scores, few.bad, "recall-with-confidence", **options)
