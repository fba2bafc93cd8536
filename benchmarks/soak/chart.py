"""docs/reports/soak.svg: memory by process and latency, over the verdicts of a soak."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chart_style import INK, LINE, MUTED, STYLE

COLOURS = {"station": "#b8641d", "capture": "#8a8a90", "inference": "#1f6f8b", "archive": "#7a4f9a", "gate": "#3d7a3f"}


@matplotlib.rc_context(STYLE)
def write_chart(result: dict[str, Any], file: Path) -> None:
    """Draw a result of `examine` into an SVG or PNG file."""
    figure = Figure(figsize=(9, 6), layout="constrained", facecolor="white")
    memory, latency = figure.subplots(2, 1, sharex=True)
    unit, name = (1e6, "million verdicts") if result["verdicts"] >= 500_000 else (1e3, "thousand verdicts")
    _memory(memory, result, unit)
    _latency(latency, result, unit)
    for axes in (memory, latency):
        axes.axvline(result["settled"] / unit, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, result["verdicts"] / unit)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.tick_params(length=0)
    latency.set_xlabel(f"{name}; dotted: from here on all is to stay as it is")
    suffix = file.suffix.removeprefix(".")
    figure.savefig(file, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)


def _memory(axes: Axes, result: dict[str, Any], unit: float) -> None:
    axes.set_title("resident memory, MiB", loc="left", fontsize=11, fontweight="bold")
    verdicts = [sample["verdicts"] / unit for sample in result["samples"]]
    ends = {name: one["end"] / 2**20 for name, one in result["memory"].items()}
    for name, place in _apart(ends, 0.075 * max(ends.values())).items():
        resident = [sample["resident"][name] / 2**20 for sample in result["samples"]]
        axes.plot(verdicts, resident, color=COLOURS[name], linewidth=1.6)
        _label(axes, place, f"{name} {ends[name]:.0f}", COLOURS[name])


def _latency(axes: Axes, result: dict[str, Any], unit: float) -> None:
    axes.set_title("from capture until the gate has read the verdict, ms", loc="left", fontsize=11, fontweight="bold")
    latency = result["latency"]
    places = [(number + 0.5) * latency["window"] / unit for number in range(len(latency["windows"]))]
    ends = {name: latency["windows"][-1][f"{name}_ms"] for name in ("p50", "p99")}
    most = max(window["p99_ms"] for window in latency["windows"])
    for (name, place), colour in zip(_apart(ends, 0.075 * most).items(), (INK, COLOURS["station"]), strict=True):
        axes.plot(places, [window[f"{name}_ms"] for window in latency["windows"]], color=colour, linewidth=1.6)
        _label(axes, place, name, colour)


def _label(axes: Axes, place: float, text: str, colour: str) -> None:
    """Write the label of a line right of the plot, where the line ends."""
    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=9.5)


def _apart(places: dict[str, float], least: float) -> dict[str, float]:
    """The same places in ascending order, moved up until each is at least `least` above the previous place."""
    moved: dict[str, float] = {}
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        moved[name] = max([place, *(last + least for last in moved.values())])
    return moved
