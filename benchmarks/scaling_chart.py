"""docs/reports/scaling.svg: latency and throughput of a station over frame size, rate and subscribers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.chart_style import LINE, MUTED, STYLE

WHOLE, BARE, RATE = "#1f6f8b", "#8a8a90", "#b8641d"

Curve = tuple[str, Sequence[float], str, str]
"""Name, values, colour and line style."""


@matplotlib.rc_context(STYLE)
def write_chart(result: dict[str, Any], file: Path) -> None:
    """Draw a result of `benchmarks.scaling` into an SVG or PNG file: milliseconds above, frames a second below."""
    figure = Figure(figsize=(11, 5.6), layout="constrained", facecolor="white")
    latency, throughput = figure.subplots(2, 3, height_ratios=(3, 2), sharex="col")
    sizes, rates, crowds = result["sizes"], result["rates"], result["subscribers"]
    pixels = [one["width"] * one["height"] / 1e6 for one in sizes]
    parts = [one["rate_per_min"] for one in rates]
    listeners = [one["subscribers"] for one in crowds]

    def of(rows: list[dict[str, Any]], what: str, name: str) -> list[float]:
        return [one[what][f"{name}_ms"] for one in rows]

    def pair(rows: list[dict[str, Any]], what: str) -> list[Curve]:
        return [("p99", of(rows, what, "p99"), WHOLE, "--"), ("p50", of(rows, what, "p50"), WHOLE, "-")]

    graph: Curve = ("graph p50", of(sizes, "bare", "p50"), BARE, "-")
    _panel(latency[0], "frame size: whole way, ms", pixels, [*pair(sizes, "whole"), graph])
    _panel(latency[1], "rate: capture to verdict, ms", parts, pair(rates, "whole"))
    _panel(latency[2], "subscribers: publication to each, ms", listeners, pair(crowds, "received"))
    reached = [one["reached_per_min"] / 60 for one in rates]
    for axes, places, values, label in (
        (throughput[0], pixels, [one["frames_per_s"] for one in sizes], "megapixels"),
        (throughput[1], parts, reached, "parts a minute"),
        (throughput[2], listeners, [one["frames_per_s"] for one in crowds], "subscribers"),
    ):
        _panel(axes, "frames a second", places, [("", values, RATE, "-")])
        axes.set_xlabel(label)
    suffix = file.suffix.removeprefix(".")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)


def _short(value: float) -> str:
    """The label of a tick: 0.31, 20, 3.6k."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}" if value < 1000 else f"{value / 1000:g}k"


def _panel(axes: Axes, title: str, places: Sequence[float], curves: Sequence[Curve]) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    axes.set_xscale("log")
    axes.set_xticks(places)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    most = max(max(values) for _, values, _, _ in curves)
    place = float("-inf")
    for name, values, colour, style in sorted(curves, key=lambda curve: curve[1][-1]):
        axes.plot(places, values, style, color=colour, linewidth=1.7, marker="o", markersize=4)
        place = max(values[-1], place + 0.085 * most)
        at = (1.02, place)
        axes.annotate(name, at, xycoords=("axes fraction", "data"), va="center", color=colour, fontsize=9)
    axes.set_ylim(0, most * 1.08)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=MUTED, labelsize=9)
