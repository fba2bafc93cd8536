"""The recommended setting of a bundle: the one with the fastest slowest parts, as far as the samples can tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.bench.result import Result, Series
from edge.bench.statistics import is_bounded, percentile, ratio

PRACTICAL = 0.03
"""Settings that differ by less than this fraction count as equal, however significant the difference."""


@dataclass(frozen=True)
class Choice:
    """The chosen series, the deciding percentile, and the other series that are equally good within the noise."""

    best: Series
    percent: float
    equals: tuple[Series, ...]

    @property
    def tail_ms(self) -> float:
        """The deciding percentile, milliseconds."""
        return percentile(self.best.samples_ms, self.percent)


def recommended(result: Result, bundle: str) -> Choice | None:
    """The best of the bundle's settings that a station would run: at the line's pace if measured, the whole way rather
    than bare inference; None if there is no such series.
    """
    series = [one for one in result.series if one.bundle == bundle and is_runnable(one)]
    for way in ("whole way", "bare"):
        for is_paced in (True, False):
            fit = [one for one in series if one.way == way and (one.pace.rate_per_min is not None) == is_paced]
            if fit:
                fastest = max(one.pace.rate_per_min or 0.0 for one in fit)
                return choose([one for one in fit if (one.pace.rate_per_min or 0.0) == fastest])
    return None


def is_runnable(series: Series) -> bool:
    """Whether a station would run this setting: thresholds and golden frames are those of float32, or of int8."""
    return series.setting.precision != "bf16" and series.setting.streams == 1 and bool(series.samples_ms)


def choose(series: Sequence[Series], budget_ms: float | None = None) -> Choice | None:
    """The series with the lowest p99.9, or p99 if the samples do not bound it; among equally good ones the lowest p50,
    then not kept warm, then the least CPU time. Series that answered every part are preferred, because unanswered parts
    have no latency sample. With `budget_ms` only series that keep it; None if there is none, or none with samples.
    """
    series = [one for one in series if one.samples_ms]
    if not series:
        return None
    series = [one for one in series if not one.unanswered] or series
    percent = tail(series)
    able = [
        one
        for one in series
        if budget_ms is None or (not one.unanswered and percentile(one.samples_ms, percent) <= budget_ms)
    ]
    equals = list(able)
    for percent_now in (percent, 50.0):
        equals = as_good(equals, percent_now)
    if not equals:
        return None
    best = min(equals, key=lambda one: (one.pace.keeps_warm, _cpu(one), percentile(one.samples_ms, percent)))
    return Choice(best, percent, tuple(one for one in as_good(able, percent) if one is not best))


def tail(series: Sequence[Series]) -> float:
    """The highest percentile that the samples of every series bound: 99.9, 99 or 90."""
    bounds: Callable[[float], bool] = lambda percent: all(is_bounded(one.samples_ms, percent) for one in series)  # noqa: E731
    return next((percent for percent in (99.9, 99.0) if bounds(percent)), 90.0)


def as_good(series: Sequence[Series], percent: float) -> list[Series]:
    """The fastest series by this percentile, and those that are not certainly slower by more than PRACTICAL."""
    if not series:
        return []
    fastest = min(series, key=lambda one: percentile(one.samples_ms, percent))
    return [
        one
        for one in series
        if one is fastest or ratio(fastest.samples_ms, one.samples_ms, percent).low <= 1 + PRACTICAL
    ]


def _cpu(series: Series) -> float:
    return float("inf") if series.cpu_s_a_frame is None else series.cpu_s_a_frame
