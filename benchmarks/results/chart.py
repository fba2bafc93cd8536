"""docs/reports/results.svg: the AUROC of every row with its interval and its seeds."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chart_style import LINE, MUTED, STYLE
from benchmarks.results.outcome import Outcome, outcomes
from benchmarks.results.page import by_auroc
from benchmarks.results.plan import Plan
from edge.files import written_whole

COLOURS = {"good": "#b8641d", "labels": "#1f6f8b", "masks": "#1f6f8b"}
LEARNT = {"good": "learnt from good photographs alone", "masks": "learnt from good and bad ones"}
ROW_INCHES = 0.3


@matplotlib.rc_context(STYLE)
def write_chart(plan: Plan, runs: Path, file: Path) -> bool:
    """Draw the trained rows, a panel for each kind of photographs. False, and no file, if there are none."""
    found = outcomes(plan, runs)
    panels = {name: by_auroc([one for one in found if one.entry.data == name]) for name in plan.photographs}
    panels = {name: rows for name, rows in panels.items() if rows}
    if not panels:
        return False
    heights = [ROW_INCHES * len(rows) + 0.35 for rows in panels.values()]
    figure = Figure(figsize=(9, sum(heights) + 0.9 + 0.35 * len(panels)), layout="constrained", facecolor="white")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    lowest = min(low for rows in panels.values() for row in rows for low in _extent(row))
    for one, (name, rows) in zip(axes, panels.items(), strict=True):
        _draw(one, rows, plan.photographs[name].title)
        one.set_xlim(min(0.45, lowest - 0.02), 1.005)
    axes[-1].set_xlabel("AUROC on test photographs; line: 95 % interval; rings: seeds; 0.5 is guessing")
    _legend(figure, {row.learns_from for rows in panels.values() for row in rows})
    suffix = file.suffix.removeprefix(".")
    with written_whole(file) as part:
        figure.savefig(part, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    return True


def _draw(axes: Axes, rows: Sequence[Outcome], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.axvline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
    for place, row in enumerate(rows):
        figure, colour = row.auroc(), COLOURS[row.learns_from]
        assert figure is not None
        assert figure.interval is not None
        axes.plot(figure.interval, [place, place], color=colour, linewidth=2.2, alpha=0.4, solid_capstyle="round")
        if len(figure.seeds) > 1:
            seeds = [place] * len(figure.seeds)
            axes.plot(figure.seeds, seeds, "o", markersize=7, markerfacecolor="none", markeredgecolor=colour, alpha=0.8)
        axes.plot([figure.mean], [place], "o", color=colour, markersize=5.5)
        label = f"{figure.mean:.3f}"
        axes.annotate(label, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=MUTED, fontsize=9.5)
    axes.set_yticks(range(len(rows)), [row.entry.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.6)


def _legend(figure: Figure, shown: set[str]) -> None:
    kinds = [kind for kind in LEARNT if kind in {"good" if one == "good" else "masks" for one in shown}]
    lines = [matplotlib.lines.Line2D([], [], color=COLOURS[kind], marker="o", linewidth=2.2) for kind in kinds]
    figure.legend(lines, [LEARNT[kind] for kind in kinds], loc="outside upper right", ncols=2, fontsize=9.5)


def _extent(row: Outcome) -> tuple[float, ...]:
    figure = row.auroc()
    assert figure is not None
    return (*figure.seeds, *(figure.interval or ()))
