"""Curves and histograms as SVG with the page's colours, for light and dark mode."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from edge.evaluation.threshold_stability import Sample
from edge.report.score_axis import score_axis, ticks
from train.report.parts import ranking

COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "good": "#040404",
    "bad": "#050505",
    "val": "#060606",
    "test": "#070707",
    "train": "#080808",
}
"""Placeholders for the page's colours; `_svg` replaces them by the variables of page.css."""

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "legend.frameon": False,
    "legend.labelcolor": COLOURS["ink"],
}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


@matplotlib.rc_context(STYLE)
def roc_chart(samples: Mapping[str, Sample], threshold: float) -> str:
    """ROC: recall by false rejects, one line per split, with the point of the chosen threshold."""
    figure, axes = _square("false rejects, share of good", "recall, share of bad")
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (2, 3)))
    for split, sample in samples.items():
        false, true, _ = roc_curve(sample.bad, sample.scores, drop_intermediate=False)
        ranked = ranking(sample)
        assert ranked is not None
        label = f"{SPLIT_NAMES[split]}: {ranked.auroc:.3f} [{ranked.low:.2f}, {ranked.high:.2f}]"
        _stroke(axes, split, false, true, label)
        rejected = sample.scores >= threshold
        axes.plot(rejected[~sample.bad].mean(), rejected[sample.bad].mean(), "o", color=COLOURS[split], markersize=6)
    axes.legend(loc="lower right", title="area under the curve", alignment="left")
    return _svg(figure, "ROC curve")


@matplotlib.rc_context(STYLE)
def precision_recall_chart(samples: Mapping[str, Sample], threshold: float) -> str:
    """Precision by recall, one line per split, with the point of the chosen threshold."""
    figure, axes = _square("recall, share of bad", "precision, bad among rejects")
    for split, sample in samples.items():
        precision, recall, _ = precision_recall_curve(sample.bad, sample.scores)
        _stroke(axes, split, recall, precision, SPLIT_NAMES[split])
        rejected = sample.scores >= threshold
        if rejected.any():
            point = rejected[sample.bad].mean(), sample.bad[rejected].mean()
            axes.plot(*point, "o", color=COLOURS[split], markersize=6)
    axes.legend(loc="lower left")
    return _svg(figure, "Precision-recall curve")


@matplotlib.rc_context(STYLE)
def epochs_chart(history: Path, columns: Mapping[str, str], chosen: int, about: str) -> str | None:
    """Some columns of history.csv, with their labels, by epoch, and the kept epoch; None if the columns are absent."""
    with history.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    series = {
        name: [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row.get(name)]
        for name in columns
        if any(row.get(name) for row in rows)
    }
    if not series:
        return None
    figure, axes = _chart("epoch", about)
    drawn: set[str] = set()
    for name, points in series.items():
        colour = COLOURS["train" if name.startswith("train") else "val"]
        marker = "o" if len(points) < 20 else None
        x, y = zip(*points, strict=True)
        dashes = "--" if colour in drawn else "-"
        drawn.add(colour)
        axes.plot(x, y, color=colour, linestyle=dashes, label=columns[name], marker=marker, markersize=3)
    axes.axvline(chosen + 1, color=COLOURS["ink"], linewidth=1, linestyle=(0, (1, 2)), label="kept")
    values = [value for points in series.values() for _, value in points if value > 0]
    if values and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    _legend_above(axes)
    return _svg(figure, about)


@matplotlib.rc_context(STYLE)
def histogram(sample: Sample, split: str, span: tuple[float, float], chosen: float, others: Sequence[float]) -> str:
    """Scores of good and bad photographs, with the chosen threshold and, fainter, those of other strategies."""
    figure, axes = _chart("score", "photographs", height=2.3)
    scale, edges = score_axis(span)
    floor, ceiling = edges[0], edges[-1]
    for label, bad in (("good", False), ("bad", True)):
        scores = sample.of_class(bad).scores.clip(floor, ceiling)
        text = f"{label} ({len(scores)})"
        axes.hist(scores, edges.tolist(), color=COLOURS[label], alpha=0.62, label=text, linewidth=0)
    for value in others:
        axes.axvline(np.clip(value, floor, ceiling), color=COLOURS["muted"], linewidth=0.7, linestyle=(0, (1, 2)))
    axes.axvline(np.clip(chosen, floor, ceiling), color=COLOURS["ink"], linewidth=1.4, label="threshold")
    axes.set_xscale(scale)
    axes.set_xticks(ticks(scale, floor, ceiling), minor=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(floor, ceiling)
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    _legend_above(axes)
    return _svg(figure, f"Scores of {SPLIT_NAMES[split]} photographs")


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure, axes = _chart(x, y, height=3.7)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    return figure, axes


def _chart(x: str, y: str, height: float = 2.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.0, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0, which="both")
    return figure, axes


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=4, handlelength=1.1, columnspacing=1.1)


def _stroke(axes: Axes, split: str, x: np.ndarray, y: np.ndarray, label: str) -> None:
    axes.plot(x, y, color=COLOURS[split], linewidth=1.6, label=label, solid_joinstyle="round")


def _svg(figure: Figure, about: str) -> str:
    """The figure as an SVG element without prolog, namespaces and metadata, with the page's colours and fonts."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    head, rest = drawn.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    for name, colour in COLOURS.items():
        rest = rest.replace(colour, f"var(--{name})")
    return f'{head} role="img" aria-label="{about}">{rest}'
