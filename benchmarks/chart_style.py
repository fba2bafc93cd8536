"""The style of the project's charts."""

from typing import Any

INK, MUTED, LINE = "#1c1c1e", "#6b6b70", "#dcdce0"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "results",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
