"""Comparison of two benchmarks: changes beyond the noise."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import isinf
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from edge.bench.pace import pace_in_words
from edge.bench.result import SCHEMA_VERSION, Machine, Result, Series
from edge.bench.settings_grid import named
from edge.bench.statistics import Change, mean_ratio, percentile, ratio
from edge.errors import EdgeError
from edge.validation import first_problem, plain

FLOOR = 0.05
"""A relative change smaller than this does not count, however significant: reruns of a program differ by as much."""

Word = Literal["slower", "faster", "worse", "better", "as before", "cannot tell"]
"""`cannot tell`: the value changed, but the samples are too few to bound the percentile."""


@dataclass(frozen=True)
class Figure:
    """One figure before and after; `low` and `high` bound the ratio after ÷ before, None if it has no interval."""

    name: str
    before: float
    after: float
    low: float | None
    high: float | None
    word: Word

    @property
    def ratio(self) -> float:
        """After ÷ before."""
        return self.after / self.before


@dataclass(frozen=True)
class Pair:
    """The same measurement in both files; `disturbed` says in which one other processes kept the machine busy."""

    name: str
    figures: tuple[Figure, ...]
    disturbed: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All pairs, the measurements of only one file, and reasons to doubt the comparison, one per line."""

    pairs: tuple[Pair, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def is_slower(self) -> bool:
        """Whether a latency or the throughput of any pair got worse."""
        return any(
            figure.word in ("slower", "worse") and figure.name != "MiB"
            for pair in self.pairs
            for figure in pair.figures
        )


def read_result(path: Path) -> Result:
    """Read a file of `edge-bench --out`. Raises EdgeError with a one-line message if it is not one."""
    remedy = "give a file that edge-bench --out wrote"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EdgeError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except UnicodeDecodeError as error:
        raise EdgeError(f"{path}: not text; {remedy}") from error
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = first_problem(error)
        if first["loc"] == ("schema_version",):
            raise EdgeError(
                f"{path}: schema version {first['input']!r}, this edge-bench reads {SCHEMA_VERSION}; measure again"
            ) from error
        raise EdgeError(f"{path}: no result of edge-bench: {plain(error, Result)}; {remedy}") from error


def compare(before: Result, after: Result, floor: float = FLOOR) -> Comparison:
    """Pair series of equal bundle name, way, setting and pace, and find the changes beyond noise and `floor`."""
    old, new = ({_key(one): one for one in result.series if one.samples_ms} for result in (before, after))
    return Comparison(
        tuple(_pair(old[key], new[key], floor) for key in old if key in new),
        tuple(_name(one) for key, one in old.items() if key not in new),
        tuple(_name(one) for key, one in new.items() if key not in old),
        tuple(_doubts(before, after)),
    )


def _key(one: Series) -> tuple[object, ...]:
    return _bundle(one), one.way, one.setting, one.pace


def _bundle(one: Series) -> str:
    """Name of the bundle: the label without its digest, which a new export changes."""
    return one.bundle.partition("@")[0]


def _name(one: Series) -> str:
    size = f"{one.setting.width}×{one.setting.height}"
    return f"{_bundle(one)}, {one.way}, {named(one.setting)}, {size}, {pace_in_words(one.pace)}"


def _pair(before: Series, after: Series, floor: float) -> Pair:
    figures = [_latency(before, after, percent, floor) for percent in (50.0, 99.0)]
    if before.pace.rate_per_min is None:  # at a given rate, the line determines the throughput
        figures.append(_throughput(before, after, floor))
    if before.resident_mib and after.resident_mib:
        figures.append(_memory(before.resident_mib, after.resident_mib, floor))
    disturbed = tuple(
        f"{when}: {one.disturbance.said}"
        for when, one in (("before", before), ("after", after))
        if one.disturbance is not None and one.disturbance.is_disturbed
    )
    return Pair(_name(after), tuple(figures), disturbed)


def _latency(before: Series, after: Series, percent: float, floor: float) -> Figure:
    seen = ratio(before.samples_ms, after.samples_ms, percent)
    values = percentile(before.samples_ms, percent), percentile(after.samples_ms, percent)
    word: Word = "as before"
    if seen.excludes(1.0) and _is_past(seen, floor):
        word = "slower" if seen.value > 1 else "faster"
    elif _is_past(seen, floor) and (seen.low == 0 or isinf(seen.high)):
        word = "cannot tell"
    return Figure(f"p{percent:g} ms", *values, seen.low, seen.high, word)


def _is_past(seen: Change, floor: float) -> bool:
    return seen.value > 1 + floor or seen.value < 1 / (1 + floor)


def _throughput(before: Series, after: Series, floor: float) -> Figure:
    """Throughput back to back; its noise is that of the mean latency."""
    mean, seen = mean_ratio(before.samples_ms, after.samples_ms), after.frames_per_s / before.frames_per_s
    word: Word = "as before"
    if mean.excludes(1.0) and not 1 / (1 + floor) <= seen <= 1 + floor:
        word = "better" if seen > 1 else "worse"
    return Figure("frames/s", before.frames_per_s, after.frames_per_s, 1 / mean.high, 1 / mean.low, word)


def _memory(before: float, after: float, floor: float) -> Figure:
    """A figure without samples: only the floor decides, twice as wide."""
    word: Word = "as before"
    if not 1 / (1 + 2 * floor) <= after / before <= 1 + 2 * floor:
        word = "better" if after < before else "worse"
    return Figure("MiB", before, after, None, None, word)


def _doubts(before: Result, after: Result) -> Iterator[str]:
    old, new = before.machine, after.machine
    for name in sorted(set(Machine.model_fields) - {"mhz"}):
        first, second = getattr(old, name), getattr(new, name)
        if name == "versions":
            changed = (k for k in sorted({*first, *second}) if first.get(k) != second.get(k))
            yield from (f"{key} was {first.get(key, 'absent')}, is {second.get(key, 'absent')}" for key in changed)
        elif first != second and name != "memory_mib":
            yield f"another machine or system: {name.replace('_', ' ')} was {_words(first)}, is {_words(second)}"
    for when, result in (("before", before), ("after", after)):
        found = [one.disturbance for one in result.series if one.disturbance and one.disturbance.is_disturbed]
        if found:
            yield (
                f"{when}: {len(found)} of {len(result.series)} measurements were disturbed ({found[0].said}); measure "
                "again on a quiet machine"
            )
    labels = {one.label.partition("@")[0]: one.label for one in before.bundles}
    for one in after.bundles:
        if (was := labels.get(one.label.partition("@")[0], one.label)) != one.label:
            yield f"the bundle changed: was {was}, is {one.label}"


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON-compatible data; an unbounded end of an interval is null."""
    finite: Callable[[float | None], float | None] = lambda end: None if end in (None, 0.0, float("inf")) else end  # noqa: E731
    return {
        "slower": comparison.is_slower,
        "doubts": comparison.doubts,
        "only_before": comparison.only_before,
        "only_after": comparison.only_after,
        "pairs": [
            {
                "name": pair.name,
                "disturbed": pair.disturbed,
                "figures": [
                    {field.name: getattr(one, field.name) for field in fields(one)}
                    | {"low": finite(one.low), "high": finite(one.high), "ratio": one.ratio}
                    for one in pair.figures
                ],
            }
            for pair in comparison.pairs
        ],
    }
