"""docs/reports/few-photographs.svg and few-photographs-bad.svg: the figures by the number of photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.chart_style import LINE, MUTED, STYLE
from benchmarks.few_photographs.curves import Curve, curves, lines_of, with_bad
from benchmarks.few_photographs.points import Point
from edge.files import written_whole

COLOURS = {"patchcore": "#1f6f8b", "padim": "#b8641d", "inspector": "#6b4f9e", "inspector-labels": "#6b4f9e"}
Value = Callable[[Point], float | None]
PANELS: tuple[tuple[str, Value, float], ...] = (
    ("AUROC", lambda point: point.auroc, 0.4),
    ("recall", lambda point: point.recall.value, 0.0),
    ("specificity", lambda point: point.specificity.value, 0.0),
)
"""Each figure, and the lowest value that is shown."""

GUESSING = 0.5
SPREAD = 0.035
"""Distance of the draws of two recipes from each other, as a share of the width."""


def write_charts(points: Sequence[Point], docs: Path) -> None:
    """Draw both pictures into the folder `docs`."""
    good = {line: curves(points, line) for line in lines_of(points)}
    bad = {line: found for line in good if (found := with_bad(points, line))}
    _write(good, docs / "few-photographs.svg", "good photographs, validation included")
    if bad:
        _write(bad, docs / "few-photographs-bad.svg", "bad photographs beside 100 good ones")


@matplotlib.rc_context(STYLE)
def _write(found: dict[str, list[Curve]], file: Path, axis: str) -> None:
    figure = Figure(figsize=(2.6 * len(found) + 0.6, 7), layout="constrained", facecolor="white")
    grid = figure.subplots(len(PANELS), len(found), sharex="col", sharey="row", squeeze=False)
    for column, (line, of_line) in enumerate(found.items()):
        grid[0, column].set_title(line, loc="left", fontsize=11, fontweight="bold")
        for row, (name, value, lowest) in enumerate(PANELS):
            axes = grid[row, column]
            _panel(axes, of_line, value)
            axes.set_ylim(lowest - 0.03, 1.03)
            if name == "AUROC":
                axes.axhline(GUESSING, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)))
            if column == 0:
                axes.set_ylabel(name)
    figure.supxlabel(axis, fontsize=10, color=MUTED)
    names = sorted({curve.recipe for of_line in found.values() for curve in of_line})
    handles = [Line2D([], [], color=COLOURS[name], linewidth=1.8, label=name) for name in names]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    with written_whole(file) as part:
        figure.savefig(part, format="svg", metadata={"Date": None})


def _panel(axes: Axes, of_line: Sequence[Curve], value: Value) -> None:
    """The mean of the draws as a line, each draw as a ring, full if it learnt of the line's rare kind."""
    counts = sorted({count for curve in of_line for count in curve.points})
    for number, curve in enumerate(of_line):
        colour, aside = COLOURS[curve.recipe], SPREAD * len(counts) * (number - (len(of_line) - 1) / 2)
        for count, points in curve.points.items():
            place = counts.index(count) + aside
            for face, of in (("none", [p for p in points if not p.rare]), (colour, [p for p in points if p.rare])):
                values = [one for point in of if (one := value(point)) is not None]
                axes.plot([place] * len(values), values, "o", ms=4.5, mfc=face, mec=colour, alpha=0.5)
        places = [counts.index(count) + aside for count in curve.points]
        means = [curve.mean(count, value) for count in curve.points]
        axes.plot(places, means, color=colour, linewidth=1.8)
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(length=0)
