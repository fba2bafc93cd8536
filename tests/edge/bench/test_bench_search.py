"""The search for the highest rate on a simulated line; the text of a pace, and the times of its parts."""

import math
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench.budget import asked_in_words, in_words
from edge.bench.pace import parse_idle, parse_rate, parse_share
from edge.bench.rate_search import CLOSE, LOWEST, best, find_highest, is_hopeless
from edge.bench.result import Search, Setting, Tried
from edge.errors import EdgeError, SourceError
from edge.sources.cadence import Rhythm

SETTING = Setting(
    artifact="openvino", backend="openvino", precision="f32", threads=2, is_static=True, height=720, width=1280
)


def simulated_line(capacity_per_min: float):
    """A calculated line that holds every rate up to its capacity, and no higher rate."""

    def attempt(rate_per_min: float) -> Tried:
        held = rate_per_min <= capacity_per_min
        ms = 10.0 if held else 90.0
        return Tried(rate_per_min=rate_per_min, p99_9_ms=ms, parts=1000, late=0 if held else 2, unanswered=0, held=held)

    return attempt


@given(st.floats(1, 100_000), st.floats(0.2, 10))
def test_the_search_ends_just_below_what_the_simulated_line_can_do(capacity: float, guess: float) -> None:
    tried = find_highest(simulated_line(capacity), capacity * guess)
    found = best(tried)
    assert found is not None
    assert capacity / CLOSE <= found <= capacity
    assert len(tried) <= 16


def test_a_line_that_holds_no_rate_has_no_best_one_and_the_search_ends() -> None:
    tried = find_highest(simulated_line(0), 1000)
    assert best(tried) is None
    assert min(one.rate_per_min for one in tried) >= 1000 * LOWEST / 2


def test_what_was_asked_for_is_part_of_the_search() -> None:
    attempt = simulated_line(3000)
    assert find_highest(attempt, 3000, [attempt(2990)])[0].rate_per_min == 2990
    below_a_failure = find_highest(attempt, 8000, [attempt(3100)])
    assert all(one.rate_per_min <= 3100 for one in below_a_failure), "what failed slower is not tried faster"


def test_a_rate_that_held_above_one_that_failed_is_luck() -> None:
    fast, slow = simulated_line(5000)(4000), simulated_line(1000)(2000)
    assert best([fast, slow]) is None


def test_one_part_in_a_thousand_may_be_late_and_none_unanswered() -> None:
    assert not is_hopeless([5.0] * 998 + [99.0], 0, 10.0, 1000)
    assert is_hopeless([99.0, 99.0], 0, 10.0, 1000), "known long before the thousandth part"
    assert is_hopeless([5.0], 1, 10.0, 1000)
    assert is_hopeless([99.0], 0, 10.0, 999)


def test_the_answer_says_how_many_parts_it_rests_on_and_never_more_than_was_found() -> None:
    held = Tried(rate_per_min=2468.9, p99_9_ms=18.2, p99_9_high_ms=19.5, parts=4000, late=3, unanswered=0, held=True)
    failed = Tried(rate_per_min=2500, p99_9_ms=25, parts=70, late=5, unanswered=0, held=False)
    search = Search(
        bundle="demo", setting=SETTING, budget_ms=20, asked_per_min=2500, best_per_min=2468.9, holds_asked=False,
        tried=[failed, held],
    )  # fmt: skip
    assert in_words(search) == (
        "demo, openvino: 2,460 parts a minute within 20 ms; p99.9 18.2 ms, at most 19.5 with 95 % confidence, "
        "4,000 parts"
    )
    assert "2,500 parts a minute within 20 ms cannot be held: 5 of the first 70 parts late" in asked_in_words(search)
    unsure = search.model_copy(update={"tried": [failed, held.model_copy(update={"p99_9_high_ms": None})]})
    assert "4,000 parts are too few to bound it" in in_words(unsure)
    assert Search.model_validate_json(search.model_dump_json()) == search


@pytest.mark.parametrize(
    ("text", "per_min"), [("600/min", 600), ("10/s", 600), ("36000/h", 600), ("1,200 / min", 1200), ("0.5/s", 30)]
)
def test_rates_are_read(text: str, per_min: float) -> None:
    assert parse_rate(text) == pytest.approx(per_min)


@pytest.mark.parametrize("text", ["600", "0/s", "fast", "10/day", "-3/s", "", "nan/s", "1e3/s"])
def test_a_rate_that_does_not_say_per_what_is_refused(text: str) -> None:
    with pytest.raises(EdgeError, match=r"as in 600/min or 10/s"):
        parse_rate(text)


def test_jitter_and_pauses_are_read() -> None:
    assert parse_share("20%") == parse_share("0.2") == 0.2
    assert parse_idle("5s/60s") == parse_idle("5/1min") == (5, 60)
    for wrong in ("120%", "-1", "much"):
        with pytest.raises(EdgeError, match="as in 20%"):
            parse_share(wrong)
    for wrong in ("5s", "0/60", "5/0", "now/then"):
        with pytest.raises(EdgeError, match="as in 5s/60s"):
            parse_idle(wrong)


@given(st.floats(0.1, 1000), st.floats(0, 1))
def test_parts_come_in_order_at_the_rate_none_further_off_than_the_jitter(rate: float, jitter: float) -> None:
    moments = list(islice(Rhythm(rate, jitter).moments(), 200))
    assert all(one <= following for one, following in pairwise(moments))
    assert moments[0] == 0
    for part, moment in enumerate(moments):
        assert abs(moment * rate - part) <= jitter + 1e-6


def test_a_line_pauses_after_so_much_work() -> None:
    moments = list(islice(Rhythm(10, idle_every_s=2, idle_s=5).moments(), 60))
    gaps = [following - one for one, following in pairwise(moments)]
    assert [place for place, gap in enumerate(gaps, 1) if gap > 1] == [20, 40]
    assert max(gaps) == pytest.approx(5.1)


@pytest.mark.parametrize("words", ["", "jitter=0.2", "idle=5/60", "jitter=1,idle=0.5/3"])
def test_a_rhythm_says_what_it_reads(words: str) -> None:
    rhythm = Rhythm.of(4, words)
    assert Rhythm.of(4, rhythm.words()) == rhythm


@pytest.mark.parametrize("words", ["jitter=2", "idle=5", "idle=5/0", "swing=1", "jitter=-1", "jitter="])
def test_words_that_are_no_rhythm_are_refused(words: str) -> None:
    with pytest.raises(SourceError, match=r"replay:jitter=0\.2,idle=5/60"):
        Rhythm.of(4, words)


def test_rates_between_two_are_tried_at_their_geometric_mean() -> None:
    rates = [one.rate_per_min for one in find_highest(simulated_line(150), 100)]
    assert rates[:3] == pytest.approx([100, 200, math.sqrt(20_000)])
