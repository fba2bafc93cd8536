"""docs/reports/drift.svg: the reject rate while each fault grows, and when the watch notices it."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chart_style import INK, LINE, MUTED, STYLE

NOTICED, REJECTS = "#1f6f8b", "#b8641d"
TITLES = {
    "lamp": "a lamp that loses 10 % of its light in four hours",
    "lens": "a lens that gets smeared, 1 px of blur an hour",
    "material": "another material, at once",
}


@matplotlib.rc_context(STYLE)
def write_chart(result: dict[str, Any], file: Path) -> None:
    """Draw the faults of a result into an SVG or PNG file."""
    figure = Figure(figsize=(9, 7.5), layout="constrained", facecolor="white")
    for axes, one in zip(figure.subplots(len(result["faults"]), 1), result["faults"], strict=True):
        _fault(axes, one)
    axes.set_xlabel("hours since the fault began")
    suffix = file.suffix.removeprefix(".")
    figure.savefig(file, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)


def _fault(axes: Axes, one: dict[str, Any]) -> None:
    hours = [minute / 60 for minute, _ in one["course"]]
    rates, before = [100 * rate for _, rate in one["course"]], 100 * one["reject_rate_before"]
    top = max(3 * before, 1.1 * max(rates))
    axes.set_title(f"{TITLES[one['fault']]}: reject rate, %", loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.plot(hours, rates, color=REJECTS, linewidth=1.8)
    axes.axhline(2 * before, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.text(hours[-1], 2 * before + 0.02 * top, "twice that before", color=MUTED, ha="right", va="bottom", fontsize=9)
    if one["minutes"] is not None:
        early, middle, late = (one["minutes"][percent] / 60 for percent in ("5", "50", "95"))
        axes.axvspan(early, late, color=NOTICED, alpha=0.15, linewidth=0)
        axes.axvline(middle, color=NOTICED, linewidth=1.6)
        said = f"noticed after {one['minutes']['50']:.0f} minutes"
        axes.text(late + 0.01 * hours[-1], 0.93 * top, said, color=NOTICED, va="top", fontweight="bold")
    if one["doubled_after_minutes"] is not None and one["doubled_after_minutes"] > 1:
        axes.axvline(one["doubled_after_minutes"] / 60, color=REJECTS, linewidth=0.9)
        place = one["doubled_after_minutes"] / 60 + 0.01 * hours[-1]
        axes.text(place, 0.75 * top, "doubled", color=REJECTS, va="top")
    axes.set_ylim(0, top)
    axes.set_xlim(0, hours[-1])
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(length=0)
