"""The result as text on a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from edge.bench.budget import asked_in_words, in_words
from edge.bench.keep_warm import warmths
from edge.bench.pace import pace_in_words
from edge.bench.result import Machine, Result, Series, Setting
from edge.bench.settings_grid import named
from edge.bench.statistics import interval, percentile
from edge.terminal.console import Console
from edge.text import counted

PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0))


def print_result(console: Console, result: Result) -> None:
    """Print a table per bundle and frame size, followed by the notes."""
    groups: dict[tuple[str, int, int], list[Series]] = {}
    for one in result.series:
        groups.setdefault((one.bundle, one.setting.width, one.setting.height), []).append(one)
    for (bundle, width, height), some in groups.items():
        console.print(_table(f"{bundle}, {width}×{height}", some))
    for line in notes(result):
        console.print(escape(line), highlight=False, soft_wrap=True)


def notes(result: Result) -> list[str]:
    """Lines that supplement the table: the machine, costs, advice, doubts, answers."""
    lines = [machine_in_words(result.machine)]
    lines += [f"NOT MEASURED: {one}" for one in result.skipped]
    lines += [_cost(one) for one in result.series if one.way == "whole way"]
    bf16 = {
        (one.bundle, one.setting.artifact): one.golden_holds for one in result.series if one.golden_holds is not None
    }
    for (bundle, artifact), holds in bf16.items():
        why = "within tolerance" if holds else "beyond the tolerance: a station does not run it"
        lines.append(f"{bundle}, {artifact} bf16: golden frames {why}")
    lines += [one.words() for one in warmths(result.series)]
    for search in result.searches:
        lines.append(in_words(search))
        lines += [asked_in_words(search)] if search.asked_per_min is not None else []
    disturbances = [one.disturbance for one in result.series]
    disturbances += [one.disturbance for search in result.searches for one in search.tried]
    found = [one.said for one in disturbances if one is not None and one.is_disturbed]
    if found:
        lines.append(
            f"DISTURBED: {len(found)} of {counted(len(disturbances), 'measurement')} (*); at the worst, "
            f"{max(found, key=len)}; measure again on a quiet machine"
        )
    return lines


def machine_in_words(machine: Machine) -> str:
    """The machine in one line."""
    lowest, highest = (f"{one:,.0f}" for one in machine.mhz or (0, 0))
    between = lowest if lowest == highest else f"{lowest} to {highest}"
    mhz = "" if machine.mhz is None else f", {between} MHz seen"
    governor = f", governor {machine.governor}" if machine.governor else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    sets = " ".join(machine.instruction_sets)
    cores = counted(machine.cores, "core")
    return f"{machine.cpu}, {cores} ({sets}){governor}{mhz}, {machine.memory_mib:,} MiB; {versions}"


def _table(title: str, series: Sequence[Series]) -> Table:
    table = Table(title=escape(title), caption="ms; in brackets the 95 % interval; * others disturbed it")
    table.add_column("setting")
    table.add_column("way")
    table.add_column("pace")
    for name, _ in PERCENTILES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("frames/s", justify="right")
    table.add_column("CPU ms", justify="right")
    order: dict[Setting, list[Series]] = {}
    for one in series:
        order.setdefault(one.setting, []).append(one)
    for setting, some in order.items():
        for number, one in enumerate(sorted(some, key=_place)):
            table.add_row(
                escape(named(setting)) if number == 0 else "",
                one.way + _mark(one),
                pace_in_words(one.pace),
                *(_figure(one, name, percent) for name, percent in PERCENTILES),
                f"{one.frames_per_s:.1f}",
                "" if one.cpu_s_a_frame is None else f"{1000 * one.cpu_s_a_frame:.1f}",
                end_section=number == len(some) - 1,
            )
    return table


def _place(one: Series) -> tuple[bool, float, bool]:
    return one.way != "bare", one.pace.rate_per_min or 0.0, one.pace.keeps_warm


def _figure(one: Series, name: str, percent: float) -> str:
    if not one.samples_ms:
        return "–"
    value = f"{percentile(one.samples_ms, percent):.2f}"
    if name not in ("p50", "p99"):
        return value
    low, high = interval(one.samples_ms, percent)
    return f"{value} \\[{low:.2f}, {'–' if high == float('inf') else f'{high:.2f}'}]"


def _mark(one: Series) -> str:
    return " *" if one.disturbance is not None and one.disturbance.is_disturbed else ""


def _cost(one: Series) -> str:
    """A station's start-up time and memory, and its time per stage, in one line."""
    parts = [f"{one.bundle}, {named(one.setting)}, {pace_in_words(one.pace)}: whole way"]
    if one.cold_start_s is not None:
        parts.append(f"first verdict {one.cold_start_s:.1f} s after the start")
    if one.resident_mib is not None:
        parts.append(f"{one.resident_mib:,.0f} MiB")
    if one.unanswered:
        parts.append(f"{counted(one.unanswered, 'part')} without an answer")
    stages = ((stage, percentile(some, 50)) for stage, some in one.stages_ms.items() if some)
    parts.append(f"medians: {', '.join(f'{stage} {value:.2f} ms' for stage, value in stages)}")
    return ", ".join(parts)
