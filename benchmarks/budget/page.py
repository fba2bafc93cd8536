"""docs/reports/budget.md: the results of `python -m benchmarks.budget`."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.budget.tracing import BYTES
from benchmarks.markdown import goals, machine_words, paragraph, table
from edge.bench.statistics import interval

HEAD = (
    "Written by `python -m benchmarks.budget`; no figure on this page was typed by a person. A station with records "
    "judges frames of {size} back to back, which a source without any cost but the copy gives it; the process that "
    "receives and decodes the verdicts is counted too. One part in eight is a reject, whose picture the archive stores "
    "as PNG; on a real line they are fewer, so that its time stands apart. {rounds} rounds of {frames} frames each, "
    "everything in turns; medians over the rounds, and 95 % intervals of the median."
)

BEFORE = """\
The column *before* is the station of another checkout of this project, measured in the same rounds.
"""

GOAL_CPU_MS, GOAL_APP, GOAL_P50_MS, GOAL_P99_MS = 0.5, 0.92, 0.5, 1.5

NAMES = {"this": "now", "other": "before"}


def render(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    stations = result["stations"]
    parts = [
        "# What a frame costs\n",
        paragraph(HEAD.format(**result)),
        *([BEFORE] if "other" in stations else []),
        "## Goals\n",
        _goals(result),
    ]
    parts += ["## In all\n", _summary(result), "## By process\n", _threads(stations)]
    parts += ["## By step\n", paragraph(STEPS), _steps(stations)]
    parts += ["## Bytes\n", paragraph(SIZES), _bytes(stations)]
    parts.append(paragraph(f"Measured on {machine_words(result['machine'])}; {result['threads']} threads."))
    return "\n".join(parts)


STEPS = (
    "The time of a step is its own, without the steps within it. Timing a step takes a microsecond or two, so these "
    "runs are slower than those of the tables above. What no step covers is the rest of the process's time."
)
SIZES = "For each frame. Pixels are copied once, from the source into the ring."


def extra_ms(result: dict[str, Any], who: str) -> list[float]:
    """Processor time of a frame without that of the graph and of the archive, by round, milliseconds."""
    one = result["stations"][who]
    by_round = zip(one["cpu_ms"], one["archive_ms"], result["graph"]["cpu_ms"], strict=True)
    return [everything - archive - graph for everything, archive, graph in by_round]


def to_app(result: dict[str, Any], who: str) -> list[float]:
    """Frames per second of the station over those of benchmark_app, by round."""
    return [a / b for a, b in zip(result["stations"][who]["frames_per_s"], result["app_frames_per_s"], strict=True)]


def added_ms(result: dict[str, Any], who: str, percentile: str) -> list[float]:
    """The whole way's percentile less that of the graph alone, by round, milliseconds."""
    of_graph = result["graph"][f"{percentile}_by_round"]
    return [a - b for a, b in zip(result["stations"][who][f"{percentile}_ms"], of_graph, strict=True)]


def _goals(result: dict[str, Any]) -> str:
    found = [
        _goal(
            "processor time of everything but the graph and the pictures of rejects",
            extra_ms(result, "this"),
            GOAL_CPU_MS,
            " ms",
        ),
        _goal("frames/s of station / benchmark_app", to_app(result, "this"), GOAL_APP, "", at_least=True),
        _goal("whole way − graph alone, p50", added_ms(result, "this", "p50"), GOAL_P50_MS, " ms"),
        _goal("whole way − graph alone, p99", added_ms(result, "this", "p99"), GOAL_P99_MS, " ms"),
    ]
    return goals(found)


def _goal(text: str, found: Sequence[float], limit: float, unit: str, at_least: bool = False) -> dict[str, Any]:
    middle = statistics.median(found)
    reached = middle >= limit if at_least else middle <= limit
    return {"goal": f"{text} {'≥' if at_least else '≤'} {limit:g}{unit}", "found": _with_interval(found, unit)} | {
        "reached": reached
    }


def _with_interval(values: Sequence[float], unit: str = "") -> str:
    low, high = interval(values, 50)
    return f"{statistics.median(values):.2f}{unit} ({low:.2f}–{high:.2f})"


def _summary(result: dict[str, Any]) -> str:
    rows = []
    for who, one in result["stations"].items():
        figures = extra_ms(result, who), to_app(result, who), added_ms(result, who, "p50"), added_ms(result, who, "p99")
        plain = one["cpu_ms"], one["frames_per_s"], one["p50_ms"], one["p99_ms"]
        rows.append((NAMES[who], *map(_with_interval, figures), *(f"{statistics.median(v):.2f}" for v in plain)))
    graph = result["graph"]
    alone = f"{statistics.median(graph['cpu_ms']):.2f}", f"{1000 / graph['p50_ms']:.0f}"
    rows.append(("the graph alone", *("",) * 4, *alone, f"{graph['p50_ms']:.2f}", f"{graph['p99_ms']:.2f}"))
    rows.append(("benchmark_app", *("",) * 5, f"{statistics.median(result['app_frames_per_s']):.0f}", "", ""))
    head = ("", "all but graph and archive, ms", "/ benchmark_app", "p50 − graph, ms", "p99 − graph, ms")
    return table((*head, "processor, ms", "frames/s", "p50, ms", "p99, ms"), rows)


def _threads(stations: dict[str, Any]) -> str:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for who, one in stations.items():
        for row in one["threads"]:
            found.setdefault((row["process"], row["thread"]), {})[who] = row
    head = [f"{what}, {NAMES[who]}" for what in ("µs", "switches") for who in stations]
    rows = [
        (*key, *(f"{1000 * of[who]['cpu_ms']:.0f}" if who in of else "" for who in stations),
         *(f"{of[who]['switches']:.1f}" if who in of else "" for who in stations))
        for key, of in found.items()
        if any(row["cpu_ms"] >= 0.0005 for row in of.values())
    ]  # fmt: skip
    return table(("process", "threads", *head), rows, words=2)


def _steps(stations: dict[str, Any]) -> str:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for who, one in stations.items():
        for row in one["steps"]:
            if not row["step"].startswith("bytes "):
                found.setdefault((row["process"], row["step"]), {})[who] = row
    head = [f"{what}, {NAMES[who]}" for what in ("calls", "processor, µs", "clock, µs") for who in stations]
    rows = [
        (*key, *(f"{of[who][field]:.{digits}f}" if who in of else ""
                 for field, digits in (("calls", 2), ("cpu_us", 0), ("wall_us", 0)) for who in stations))
        for key, of in sorted(found.items())
        if any(row["cpu_us"] >= 0.5 for row in of.values())
    ]  # fmt: skip
    return table(("process", "step", *head), rows, words=2)


def _bytes(stations: dict[str, Any]) -> str:
    totals = {
        who: {
            name: sum(row["cpu_us"] * 1e3 for row in one["steps"] if row["step"] == f"bytes {name}") for name in BYTES
        }
        for who, one in stations.items()
    }
    rows = [(f"bytes {name}", *(f"{totals[who][name]:,.0f}" for who in stations)) for name in BYTES]
    return table(("", *(NAMES[who] for who in stations)), rows)
