"""The headline of a report: it says worse only if a figure is worse."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.evaluation.metrics import confusion
from edge.evaluation.threshold_stability import Sample, keep_promise
from edge.evaluation.thresholds import choose_threshold
from train.report.verdict import _headline


def sample(caught: int, passed: int) -> Sample:
    """100 bad photographs, of which `caught` score above 0.5, and 100 good ones, of which `passed` score below."""
    scores = [*[0.9] * caught, *[0.1] * (100 - caught), *[0.1] * passed, *[0.9] * (100 - passed)]
    return Sample(np.array(scores), np.array([True] * 100 + [False] * 100))


@pytest.mark.parametrize(
    ("caught", "passed", "says", "tone"),
    [
        (60, 95, "On test it stops 60 of 100 bad photographs and passes 95 of 100 good ones.", "warn"),
        (85, 95, "On test it stops 85 of 100 bad photographs and passes 95 of 100 good ones, better than", "warn"),
        (30, 95, "The threshold did not hold: on test it stops 30 of 100 bad photographs", "bad"),
        (85, 60, "The threshold did not hold: on test it stops 85 of 100 bad photographs and passes 60", "bad"),
    ],
)
def test_the_threshold_did_not_hold_if_something_is_worse_than_promised(
    caught: int, passed: int, says: str, tone: str
) -> None:
    val, test = sample(60, 95), sample(caught, passed)
    threshold = choose_threshold(val.scores, val.bad, "balanced")
    judged: Any = SimpleNamespace(confusion=confusion(test.scores, test.bad, threshold.value), tells_apart=True)
    headline, found = _headline({"test": judged}, keep_promise(threshold, val, test))
    assert headline.startswith(says)
    assert found == tone
