"""Strategies with a confidence on reviewed parts: the threshold keeps its word on the whole record, or is refused."""

import numpy as np
import pytest

from edge.review.candidates import Judgement, candidates, choose
from edge.review.decisions import ReviewError
from edge.review.estimates import lower_limit
from edge.review.sample import ReviewedBundle, Stratum
from edge.verdict import Outcome

OLD = 0.3
TURNS = 60


def drawn_line(rng: np.random.Generator, count: int, bad_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores, rounded so that many are equal, and truths of `count` parts; bad parts score higher."""
    bad = rng.random(count) < bad_share
    return np.where(bad, rng.beta(4, 2, count), rng.beta(2, 8, count)).round(2), bad


def reviewed(rng: np.random.Generator, scores: np.ndarray, bad: np.ndarray, rejects: int, goods: int) -> Judgement:
    """A random sample of so many rejects and goods of the line, reviewed."""
    strata = {}
    for outcome, members, most in ((Outcome.REJECT, scores >= OLD, rejects), (Outcome.GOOD, scores < OLD, goods)):
        numbers = np.flatnonzero(members)
        taken = rng.choice(numbers, min(len(numbers), most), replace=False)
        strata[outcome] = Stratum(outcome, len(numbers), scores[taken], bad[taken], tuple(map(str, taken)))
    strata[Outcome.UNKNOWN] = Stratum(Outcome.UNKNOWN, 0, np.zeros(0), np.zeros(0, bool), ())
    groups = {outcome: [stratum] for outcome, stratum in strata.items()}
    bundle = ReviewedBundle("part@0", groups, np.sort(scores), {("openvino", OLD): len(scores)}, [])
    return Judgement(bundle, "openvino", OLD)


@pytest.mark.parametrize(
    ("strategy", "options", "quantile", "asked"),
    [
        ("recall-with-confidence", {"at_least": 0.85, "confidence": 0.9}, "recall", 0.85),
        ("false-rejects-with-confidence", {"at_most": 0.1, "confidence": 0.9}, "specificity", 0.9),
    ],
)
def test_the_whole_record_keeps_the_rate_as_often_as_promised(
    strategy: str, options: dict[str, float], quantile: str, asked: float
) -> None:
    rng = np.random.default_rng(5)
    kept, plain = 0, 0
    for _ in range(TURNS):
        scores, bad = drawn_line(rng, 6000, 0.3)
        judgement = reviewed(rng, scores, bad, 250, 250)

        def rate(threshold: float, scores: np.ndarray = scores, bad: np.ndarray = bad) -> float:
            return float(
                (scores[bad] >= threshold).mean() if quantile == "recall" else (scores[~bad] < threshold).mean()
            )

        kept += rate(choose(judgement, strategy, **options)) >= asked
        plain += rate(choose(judgement, quantile, at_least=asked)) >= asked
    assert kept >= 0.9 * TURNS - 2 * np.sqrt(0.09 * TURNS)
    assert plain < 0.8 * TURNS, "a strategy that only looks at the reviewed parts does not"


@pytest.mark.parametrize(
    ("strategy", "options", "is_bad", "asked"),
    [
        ("recall-with-confidence", {"at_least": 0.85, "confidence": 0.9}, True, 0.85),
        ("false-rejects-with-confidence", {"at_most": 0.1, "confidence": 0.9}, False, 0.9),
    ],
)
def test_the_choice_is_the_last_threshold_that_shows_the_rate(
    strategy: str, options: dict[str, float], is_bad: bool, asked: float
) -> None:
    rng = np.random.default_rng(8)
    judgement = reviewed(rng, *drawn_line(rng, 6000, 0.3), 250, 250)
    value, found = choose(judgement, strategy, **options), candidates(judgement)
    limits = [lower_limit(judgement.reviewed, OLD, one, is_bad, 0.9) for one in found]
    place = found.index(value)
    passed, following = (limits[: place + 1], limits[place + 1]) if is_bad else (limits[place:], limits[place - 1])
    assert min(passed) >= asked > following
    assert lower_limit(judgement.reviewed, OLD, value, is_bad, 0.99) < limits[place]


def test_no_threshold_is_chosen_beyond_one_that_does_not_show_the_rate() -> None:
    """At the old threshold fewer shares are estimated, so that its limit is higher than that of the one below it."""
    rng = np.random.default_rng(8)
    judgement = reviewed(rng, *drawn_line(rng, 6000, 0.3), 250, 250)
    found = candidates(judgement)
    limits = [lower_limit(judgement.reviewed, OLD, one, True, 0.9) for one in found]
    old = found.index(OLD)
    assert limits[old] > limits[old - 1]
    value = choose(judgement, "recall-with-confidence", at_least=(limits[old] + limits[old - 1]) / 2, confidence=0.9)
    assert value < found[old - 1]


def test_what_the_reviewed_parts_do_not_show_is_one_line_with_how_many_it_takes() -> None:
    rng = np.random.default_rng(8)
    judgement = reviewed(rng, *drawn_line(rng, 2000, 0.02), 200, 60)
    bad = sum(int(judgement.reviewed.strata[outcome].bad.sum()) for outcome in (Outcome.REJECT, Outcome.GOOD))
    with pytest.raises(ReviewError) as refused:
        choose(judgement, "recall-with-confidence", at_least=0.95, confidence=0.95)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith("threshold strategy recall-with-confidence=0.95,0.95: no threshold has that recall for sure")
    assert f"at least 59 reviewed bad parts, and there are {bad}; review more" in said
