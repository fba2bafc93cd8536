"""The section of docs/reports/performance.md about `benchmarks.stations`: several stations on one machine."""

import statistics
from typing import Any

from benchmarks.markdown import paragraph, table

WAYS = {"shared": "one `edge-run`, one model", "separate": "an `edge-run` each"}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """No goals: the throughput depends on the machine."""
    return []


def section(result: dict[str, Any]) -> str:
    """The page's section about the JSON of `python -m benchmarks.stations --json`."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for run in result["runs"]:
        groups.setdefault((run["stations"], run["way"]), []).append(run)
    rows = [
        (
            str(count),
            WAYS.get(way, way),
            f"{statistics.median(run['frames_per_s'] for run in runs):.0f}",
            f"{statistics.median(statistics.median(run['p50_ms']) for run in runs):.2f}",
            f"{statistics.median(max(run['p99_ms']) for run in runs):.2f}",
            f"{statistics.median(run['memory_mib'] for run in runs):.0f}",
        )
        for (count, way), runs in sorted(groups.items(), key=lambda group: group[0][0])
    ]
    about = (
        f"Frames of {result['settings'].get('size', 'one size')}, back to back at every station; frames a second are "
        "of all stations together, the latencies of the median and of the slowest station, memory of all processes "
        "with shared pages counted once."
    )
    head = ("stations", "", "frames/s", "p50 ms", "p99 ms", "memory MiB")
    return "\n".join(["## Stations on one machine\n", paragraph(about), table(head, rows, words=2)])
