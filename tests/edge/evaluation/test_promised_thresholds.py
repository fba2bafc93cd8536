"""Strategies with a confidence: they keep their word for every distribution, also with equal scores."""

from functools import lru_cache
from math import lgamma, log

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import confusion
from edge.evaluation.thresholds import STRATEGIES, check_choice, choose_threshold, keeps_promise
from edge.evaluation.tolerance_limits import fewest_parts

PROMISES = {
    "recall-with-confidence": {"at_least": 0.9, "confidence": 0.8},
    "false-rejects-with-confidence": {"at_most": 0.1, "confidence": 0.8},
}
PARTS = (16, 28, 29, 42)
"""Numbers of parts with which 0 failures are just allowed, are still the most, 1 is just allowed, and 2 are."""

LEVELS = (0.1, 0.4, 0.9)
"""The scores of the distributions: with three of them, nearly all scores are equal."""


@lru_cache
def outcomes(strategy: str, parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every way to draw so many parts of the strategy's class: counts [K, 3] of each level, the logarithm of the number
    of such draws [K], and the threshold that is chosen [K]. A few parts of the other class lie between.
    """
    is_bad = STRATEGIES[strategy].needs_bad
    counts = np.array([(a, b, parts - a - b) for a in range(parts + 1) for b in range(parts + 1 - a)])
    ways = [lgamma(parts + 1) - sum(lgamma(count + 1) for count in row) for row in counts.tolist()]
    others = [0.1, 0.3, 0.6, 0.95]
    thresholds = []
    for row in counts:
        scores = [*np.repeat(LEVELS, row), *others]
        bad = [is_bad] * parts + [not is_bad] * len(others)
        thresholds.append(choose_threshold(scores, bad, strategy, **PROMISES[strategy]).value)
    return counts, np.array(ways), np.array(thresholds)


def kept(strategy: str, parts: int, shares: np.ndarray) -> float:
    """The exact probability that the chosen threshold keeps the promise for further parts of this distribution."""
    counts, ways, thresholds = outcomes(strategy, parts)
    logs = np.array([log(share) if share else -np.inf for share in shares])
    terms = np.where(counts == 0, 0.0, counts * np.where(np.isinf(logs), -1e9, logs))
    probabilities = np.exp(ways + terms.sum(axis=1))
    assert probabilities.sum() == pytest.approx(1)
    rejected = (np.array(LEVELS) >= thresholds[:, None]) @ shares
    options = PROMISES[strategy]
    keeps = rejected >= options["at_least"] if "at_least" in options else rejected <= options["at_most"]
    return float(probabilities[keeps].sum())


@pytest.mark.parametrize("strategy", PROMISES)
@pytest.mark.parametrize("parts", PARTS)
@given(st.tuples(st.floats(0, 1), st.floats(0, 1)))
@example((0.1000001, 0.1000001))
@example((0.8999999, 0.8999999))
@example((0.05, 0.1000001))
@example((0.8999999, 0.95))
@settings(deadline=None, max_examples=60)
def test_further_parts_keep_the_rate_as_often_as_promised_whatever_their_scores(
    strategy: str, parts: int, cuts: tuple[float, float]
) -> None:
    low, high = sorted(cuts)
    shares = np.array([low, high - low, 1 - high])
    assert kept(strategy, parts, shares) >= PROMISES[strategy]["confidence"] - 1e-9


@pytest.mark.parametrize("strategy", PROMISES)
def test_the_promise_is_no_stricter_than_it_has_to_be(strategy: str) -> None:
    """With a distribution in which just too many parts fail at the next level, one failure more breaks the promise."""
    shares = np.array([0.1000001, 0.8999999, 0.0] if "recall" in strategy else [0.0, 0.8999999, 0.1000001])
    assert kept(strategy, 16, shares) == pytest.approx(1 - 0.9**16, abs=1e-5)
    assert kept(strategy, 29, shares) == pytest.approx(1 - 0.9**29 - 29 * 0.1 * 0.9**28, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(PROMISES)))
@settings(deadline=None, max_examples=15)
def test_parts_photographed_several_times_keep_the_rate_of_parts(seed: int, strategy: str) -> None:
    """Each part has up to five photographs that resemble each other, and scores are rounded, so that many are equal."""
    rng, options, turns = np.random.default_rng(seed), PROMISES[strategy], 60
    is_bad = STRATEGIES[strategy].needs_bad

    def line(count: int) -> tuple[np.ndarray, list[str], np.ndarray]:
        photographs = rng.integers(1, 6, count)
        centre = np.repeat(rng.gamma(2, 1, count), photographs)
        scores = np.round(centre + rng.normal(0, 0.4, len(centre)), 1)
        names = np.repeat(np.arange(count), photographs)
        highest = np.array([scores[names == part].max() for part in range(count)])
        return scores, [f"part-{name}" for name in names], highest

    _, _, further = line(4000)
    keeps = 0
    for _ in range(turns):
        scores, parts, _ = line(30)
        value = choose_threshold(scores, [is_bad] * len(scores), strategy, parts=parts, **options).value
        rejected = (further >= value).mean()
        keeps += rejected >= options["at_least"] if is_bad else rejected <= options["at_most"]
    assert keeps >= 0.8 * turns - 4 * np.sqrt(0.16 * turns)


def test_a_part_is_rejected_if_any_of_its_photographs_is() -> None:
    """Of 30 bad parts one failure is allowed: the parts with the lowest highest score, not the lowest photographs."""
    low, high = np.linspace(0.01, 0.3, 30), np.linspace(0.5, 0.8, 30)
    scores, bad = np.concatenate([low, high]), [True] * 60
    parts = [f"part-{number}" for number in (*range(30), *range(30))]
    options = PROMISES["recall-with-confidence"]
    value = choose_threshold(scores, bad, "recall-with-confidence", parts=parts, **options).value
    assert high[0] < value < high[1], "the part with the lowest highest score is the one that may pass"
    alone = choose_threshold(scores, bad, "recall-with-confidence", **options).value
    assert alone < low[4]
    good = [False] * 60
    options = PROMISES["false-rejects-with-confidence"]
    value = choose_threshold(scores, good, "false-rejects-with-confidence", parts=parts, **options).value
    assert high[28] < value < high[29]


def test_a_part_with_a_bad_photograph_is_a_bad_part() -> None:
    scores = [*np.linspace(0.1, 0.5, 59), 0.9]
    bad = [*[False] * 58, True, False]
    parts = [*map(str, range(59)), "58"]
    with pytest.raises(DataError, match="at least 59 good parts to choose on, and there are 58"):
        choose_threshold(scores, bad, "false-rejects-with-confidence", parts=parts)


@pytest.mark.parametrize(
    ("strategy", "class_", "asks"),
    [
        ("recall-with-confidence", "bad", "recall-with-confidence=0.86,0.95"),
        ("false-rejects-with-confidence", "good", "false-rejects-with-confidence=0.14,0.95"),
    ],
)
def test_too_few_photographs_are_one_line_with_their_number_and_what_they_carry(
    strategy: str, class_: str, asks: str
) -> None:
    bad = [class_ == "bad"] * 20 + [class_ != "bad"] * 100
    with pytest.raises(DataError) as refused:
        choose_threshold(np.arange(120.0), bad, strategy)
    first, remedy = str(refused.value).split("; ")
    assert "\n" not in first
    assert first.endswith(f" takes at least 59 {class_} photographs to choose on, and there are 20")
    assert remedy == f"give more, or ask for {asks}"
    name, _, values = asks.partition("=")
    options = dict(zip(STRATEGIES[name].choose.__kwdefaults__, map(float, values.split(",")), strict=True))
    assert choose_threshold(np.arange(120.0), bad, name, **options).strategy == name
    with pytest.raises(DataError, match="at least 59"):
        check_choice(bad, strategy)
    with pytest.raises(DataError, match=r"and there are none; give more$"):
        choose_threshold([1.0], [class_ != "bad"], strategy)


@given(st.floats(0.01, 0.99), st.floats(0.51, 0.999), st.sampled_from(sorted(PROMISES)))
@settings(deadline=None)
def test_just_enough_parts_are_enough_and_none_of_them_fails(rate: float, confidence: float, strategy: str) -> None:
    is_bad = STRATEGIES[strategy].needs_bad
    options = {"at_least" if is_bad else "at_most": rate, "confidence": confidence}
    count = fewest_parts(1 - rate if is_bad else rate, confidence)
    chosen = choose_threshold(np.arange(float(count)), [is_bad] * count, strategy, **options)
    assert chosen.confusion.fn == chosen.confusion.fp == 0
    if count > 1:
        with pytest.raises(DataError, match=f"at least {count} "):
            check_choice([is_bad] * (count - 1), strategy, **options)


def test_no_number_of_parts_promises_everything() -> None:
    for options, message in (
        ({"at_least": 1}, "at_least = 1 is not a number above 0 and below 1"),
        ({"confidence": 1}, "confidence = 1 is not a number above 0.5 and below 1"),
        ({"confidence": 0.5}, "confidence = 0.5 is not a number above 0.5"),
    ):
        with pytest.raises(RecipeError, match=message):
            choose_threshold([0.1], [True], "recall-with-confidence", **options)
    with pytest.raises(RecipeError, match="at_most = 0 is not a number above 0"):
        choose_threshold([0.1], [False], "false-rejects-with-confidence", at_most=0)


@pytest.mark.parametrize("strategy", PROMISES)
def test_a_threshold_keeps_the_promise_up_to_the_allowed_failures(strategy: str) -> None:
    is_bad = STRATEGIES[strategy].needs_bad
    scores, bad, options = np.arange(30.0), [is_bad] * 30, PROMISES[strategy]
    chosen = choose_threshold(scores, bad, strategy, **options)
    assert chosen.confusion.fn + chosen.confusion.fp == 1
    worse = chosen.value + (1 if is_bad else -1)
    assert keeps_promise(scores, bad, chosen.value, strategy, **options)
    assert not keeps_promise(scores, bad, worse, strategy, **options)
    assert keeps_promise(scores, bad, worse, "recall" if is_bad else "specificity")
    counts = confusion(scores, bad, worse)
    assert counts.fn + counts.fp == 2
