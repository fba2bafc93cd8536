"""Tolerance limits: the numbers of the tables, and the largest number of failures that the exact binomial allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edge.evaluation.tolerance_limits import fewest_parts, lowest_rate, most_failures

rates = st.floats(0.005, 0.6)
confidences = st.floats(0.55, 0.995)


@pytest.mark.parametrize(("failures", "parts"), [*enumerate((59, 93, 124, 153, 181))])
def test_numbers_of_parts_are_those_of_the_tables_for_95_percent_with_95_percent_confidence(
    failures: int, parts: int
) -> None:
    assert most_failures(parts, 0.05, 0.95) == failures
    assert most_failures(parts - 1, 0.05, 0.95) == (failures - 1 if failures else None)


@pytest.mark.parametrize(
    ("at_most", "confidence", "parts"), [(0.1, 0.9, 22), (0.05, 0.9, 45), (0.05, 0.95, 59), (0.01, 0.95, 299)]
)
def test_fewest_parts_are_those_of_the_tables(at_most: float, confidence: float, parts: int) -> None:
    assert fewest_parts(at_most, confidence) == parts
    assert lowest_rate(parts, confidence) <= at_most < lowest_rate(parts - 1, confidence)


@given(st.integers(0, 400), rates, confidences)
def test_one_failure_more_would_be_likelier_than_the_confidence_allows(
    parts: int, at_most: float, confidence: float
) -> None:
    allowed = most_failures(parts, at_most, confidence)
    if allowed is None:
        assert binom.cdf(0, parts, at_most) >= 1 - confidence - 1e-9
        return
    assert binom.cdf(allowed, parts, at_most) <= 1 - confidence + 1e-9
    assert binom.cdf(allowed + 1, parts, at_most) >= 1 - confidence - 1e-9


@given(rates, confidences)
def test_one_part_fewer_shows_nothing(at_most: float, confidence: float) -> None:
    fewest = fewest_parts(at_most, confidence)
    assert most_failures(fewest, at_most, confidence) == 0
    assert most_failures(fewest - 1, at_most, confidence) is None
