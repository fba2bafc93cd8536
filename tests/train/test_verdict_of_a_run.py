"""The headline of a report: a threshold is kept to what it was asked for, and only a worse figure is called worse."""

from dataclasses import replace

import numpy as np
import pytest

from edge.evaluation.metrics import confusion
from edge.evaluation.threshold_stability import Promise, Sample, keep_promise
from edge.evaluation.thresholds import choose_threshold
from train.report.parts import Ranking
from train.report.verdict import _against_validation, _headline, judge_split, said_of_asked

SEPARATES = Ranking(0.9, 0.8, 0.95, 100, 100)


def sample(caught: int, passed: int, bad: int = 100, good: int = 100) -> Sample:
    """`bad` photographs, of which `caught` score above 0.5, and `good` ones, of which `passed` score below."""
    scores = [*[0.9] * caught, *[0.1] * (bad - caught), *[0.1] * passed, *[0.9] * (good - passed)]
    return Sample(np.array(scores), np.array([True] * bad + [False] * good))


def promise_of(test: Sample, strategy: str, **parameters: float) -> Promise:
    """A threshold chosen on 60 of 100 bad photographs caught and 95 of 100 good ones passed."""
    val = sample(60, 95)
    return keep_promise(choose_threshold(val.scores, val.bad, strategy, **parameters), val, test)


def headline(test: Sample, promise: Promise) -> tuple[str, str]:
    value = promise.threshold.value
    judged = judge_split("test", test, confusion(test.scores, test.bad, value), value)
    return _headline({"test": replace(judged, ranking=SEPARATES)}, promise)


def plain(sentences: list[str]) -> str:
    return " ".join(sentences).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("caught", "passed", "says", "tone"),
    [
        (60, 95, "On test it stops 60 of 100 bad photographs and passes 95 of 100 good ones.", "warn"),
        (85, 95, "On test it stops 85 of 100 bad photographs and passes 95 of 100 good ones.", "warn"),
        (100, 100, "On test it stops 100 of 100 bad photographs and passes 100 of 100 good ones.", "plain"),
        (30, 95, "It misses most bad parts: on test it stops 30 of 100 bad photographs", "bad"),
        (85, 60, "Worse than on validation: on test it stops 85 of 100 bad photographs and passes 60", "bad"),
        (
            3,
            95,
            "No better than chance at this threshold, as far as these photographs show: on test it stops 3 of 100",
            "bad",
        ),
    ],
)
def test_what_is_worse_is_said_and_what_is_better_is_not_scolded(
    caught: int, passed: int, says: str, tone: str
) -> None:
    test = sample(caught, passed)
    said, found = headline(test, promise_of(test, "balanced"))
    assert said.startswith(says)
    assert found == tone


@pytest.mark.parametrize(
    ("test", "says", "tone", "sentence"),
    [
        (
            sample(60, 876, good=1000),
            "Not kept: a specificity of at least 95.0 % was asked, and on test it stops 60 of 100 bad photographs and "
            "passes 876 of 1000 good ones.",
            "bad",
            "Asked was a specificity of at least 95.0 %. Test gave 87.6 % (95 % interval 85.4–89.6 %): not kept.",
        ),
        (
            sample(60, 990, good=1000),
            "On test it stops 60 of 100",
            "warn",
            "Test gave 99.0 % (95 % interval 98.2–99.5 %): kept.",
        ),
        (
            sample(100, 97),
            "On test it stops 100 of 100",
            "warn",
            "Test gave 97.0 % (95 % interval 91.5–99.4 %): cannot be told from so few; if that is the rate, about ",
        ),
        (
            sample(20, 995, good=1000),
            "It misses most bad parts: on test it stops 20 of 100",
            "bad",
            "Test gave 99.5 % (95 % interval 98.8–99.8 %): kept.",
        ),
        (
            sample(1, 990, good=1000),
            "No better than chance at this threshold, as far as these photographs show: on test it stops 1 of 100",
            "bad",
            "The threshold rejects 1.0 % of the bad photographs and 1.0 % of the good ones, a difference that chance "
            "explains",
        ),
    ],
)
def test_the_report_judges_by_what_was_asked(test: Sample, says: str, tone: str, sentence: str) -> None:
    promise = promise_of(test, "specificity", at_least=0.95)
    said, found = headline(test, promise)
    assert plain([said]).startswith(says)
    assert found == tone
    assert sentence in plain(said_of_asked(promise))


def test_a_worse_recall_beside_a_specificity_that_is_kept_is_a_warning() -> None:
    val, test = sample(90, 95), sample(60, 990, good=1000)
    promise = keep_promise(choose_threshold(val.scores, val.bad, "specificity", at_least=0.95), val, test)
    assert headline(test, promise)[1] == "warn"
    assert headline(test, promise)[0].startswith("Worse than on validation: on test it stops 60 of 100")


def test_each_difference_from_validation_has_its_direction() -> None:
    said = plain(_against_validation(promise_of(sample(90, 60), "balanced")))
    assert "Recall was 60.0 % on validation (95 % interval 49.7–69.7 %) and is 90.0 % on test" in said
    assert "better than chance explains, p < 0.001. Specificity was 95.0 %" in said
    assert said.endswith("worse than chance explains, p < 0.001.")
    same = plain(_against_validation(promise_of(sample(62, 95), "balanced")))
    assert same.count("a difference that chance explains") == 2


def test_the_confidence_of_a_promise_is_in_the_sentence() -> None:
    val = sample(100, 95)
    options = {"at_most": 0.2, "confidence": 0.9}
    threshold = choose_threshold(val.scores, val.bad, "false-rejects-with-confidence", **options)
    said = plain(said_of_asked(keep_promise(threshold, val, sample(100, 90))))
    assert said.startswith("Asked was a rate of false rejects of at most 20.0 % with 90.0 % confidence. Test gave 10.0")
    assert said.endswith(": kept.")


def test_without_test_photographs_nothing_is_said_of_what_was_asked() -> None:
    assert said_of_asked(None) == []
