"""How many parts per minute a real station answers within a budget, and how certain that is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.bench.pace import BACK_TO_BACK
from edge.bench.rate_search import CLOSE, best, find_highest, is_hopeless
from edge.bench.result import Pace, Search, Series, Setting, Tried
from edge.bench.statistics import interval
from edge.bench.whole_way import StationRun, run_station
from edge.bundle import Bundle
from edge.station.part_counts import percentile

ENOUGH = 1000
"""Fewest parts of a trial: with fewer, p99.9 is simply the maximum."""

TRIAL_S = 15.0
LONGEST_TRIAL_S = 120.0
"""Shortest and longest duration of a trial; on a slow line the longest reduces the number of parts."""

FEWEST = 50
"""Fewest parts of a trial, whatever its duration."""

SHARE_OF_TOP = 0.5
"""The first rate tried, as a fraction of the station's rate back to back."""


@dataclass(frozen=True)
class Question:
    """The budget, from capture to the verdict decoded in another process; the rate that must be held, if requested;
    the line's pace, whose rate is varied; the fewest parts and seconds of a trial; the relative precision `close` of
    the rate; and the seconds after which a trial needs no more parts.
    """

    budget_ms: float
    asked_per_min: float | None = None
    pace: Pace = BACK_TO_BACK
    parts: int = ENOUGH
    trial_s: float = TRIAL_S
    close: float = CLOSE
    longest_s: float = LONGEST_TRIAL_S


def question(budget_ms: float, pace: Pace, is_asked: bool, quick: bool) -> Question:
    """Whether the requested rate holds, and the highest rate; `quick`: few parts, and a precision of a tenth."""
    asked = pace.rate_per_min if is_asked else None
    return Question(budget_ms, asked, pace, *((200, 3.0, 1.1, 10.0) if quick else ()))


def answer(
    bundle: Bundle, setting: Setting, question: Question, top_per_min: float, tell: Callable[[str], None]
) -> Search:
    """Search with real stations. `top_per_min` is the rate back to back. Raises EdgeError if a station fails."""

    def attempt(rate_per_min: float) -> Tried:
        tell(f"{bundle.manifest.name}: {rate_per_min:,.0f} parts a minute within {question.budget_ms:g} ms")
        return _attempt(bundle, setting, question, rate_per_min)

    asked = question.asked_per_min
    known = [] if asked is None else [attempt(asked)]
    tried = find_highest(attempt, SHARE_OF_TOP * top_per_min, known, question.close)
    return Search(
        bundle=bundle.label,
        setting=setting,
        budget_ms=question.budget_ms,
        asked_per_min=asked,
        best_per_min=best(tried),
        holds_asked=known[0].held if known else None,
        tried=tried,
    )


def top_per_min(series: Sequence[Series], bundle: str, setting: Setting) -> float:
    """Measured rate of a station with this setting back to back, parts per minute."""
    found = (one for one in series if (one.bundle, one.way, one.setting) == (bundle, "whole way", setting))
    return next(60 * one.frames_per_s for one in found if one.pace.rate_per_min is None)


def in_words(search: Search) -> str:
    """The result of a search in one line."""
    where = f"{search.bundle}, {search.setting.artifact}"
    if search.best_per_min is None:
        rates = [one.rate_per_min for one in search.tried]
        return f"{where}: no rate holds {search.budget_ms:g} ms, down to {min(rates):,.0f} parts a minute"
    held = next(one for one in search.tried if one.held and one.rate_per_min == search.best_per_min)
    if held.p99_9_high_ms is None:
        sure = f"{held.parts:,} parts are too few to bound it"
    else:
        sure = f"at most {held.p99_9_high_ms:.1f} with 95 % confidence, {held.parts:,} parts"
    line = f"{where}: {_floor(search.best_per_min)} parts a minute within {search.budget_ms:g} ms"
    return f"{line}; p99.9 {held.p99_9_ms or 0:.1f} ms, {sure}"


def asked_in_words(search: Search) -> str:
    """Whether the requested rate can be held, in one line, with the reason if not."""
    assert search.asked_per_min is not None
    asked = next(one for one in search.tried if one.rate_per_min == search.asked_per_min)
    rate = f"{asked.rate_per_min:,.0f} parts a minute within {search.budget_ms:g} ms"
    where = f"{search.bundle}, {search.setting.artifact}"
    if asked.held:
        return f"{where}: {rate} can be held: {asked.late} of {asked.parts:,} parts late, p99.9 {asked.p99_9_ms:.1f} ms"
    what = "unanswered" if asked.unanswered else "late"
    return f"{where}: {rate} cannot be held: {asked.unanswered or asked.late} of the first {asked.parts:,} parts {what}"


def _attempt(bundle: Bundle, setting: Setting, question: Question, rate_per_min: float) -> Tried:
    pace = question.pace.model_copy(update={"rate_per_min": rate_per_min})
    least, most = (math.ceil(seconds * rate_per_min / 60) for seconds in (question.trial_s, question.longest_s))
    parts = max(least, min(question.parts, max(most, FEWEST)))

    def is_over(ran: StationRun) -> bool:
        return is_hopeless(ran.samples_ms, ran.unanswered, question.budget_ms, parts)

    ran = run_station(bundle, setting, pace, parts, is_over=is_over)
    p99_9 = percentile(sorted(ran.samples_ms), 99.9)
    high = interval(ran.samples_ms, 99.9)[1] if ran.samples_ms else math.inf
    return Tried(
        rate_per_min=rate_per_min,
        p99_9_ms=p99_9,
        p99_9_high_ms=high if math.isfinite(high) else None,
        parts=ran.parts,
        late=sum(sample > question.budget_ms for sample in ran.samples_ms),
        unanswered=ran.unanswered,
        held=not is_over(ran),
        disturbance=ran.disturbance,
    )


def _floor(rate_per_min: float) -> str:
    """The rate with three digits, rounded down."""
    unit = 10 ** max(0, math.floor(math.log10(rate_per_min)) - 2)
    return f"{math.floor(rate_per_min / unit) * unit:,.0f}"
