"""docs/reports/plc-timing.svg: the handshake's signals over time, as a polling PLC saw them in a real run."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chart_style import INK, LINE, MUTED, STYLE
from benchmarks.plc.client import Sample
from edge.plc.registers import Status

PLC, STATION, PASS, FAIL = "#1f6f8b", "#5a5a60", "#3d7a3f", "#b8641d"
BEFORE_MS, AFTER_MS = 10.0, 60.0

SIGNALS: tuple[tuple[str, Status | None, str], ...] = (
    ("trigger (PLC)", None, PLC),
    ("trigger_acknowledged", Status.TRIGGER_ACKNOWLEDGED, STATION),
    ("busy", Status.BUSY, STATION),
    ("valid", Status.VALID, STATION),
    ("pass", Status.PASS, PASS),
    ("fail", Status.FAIL, FAIL),
)


@matplotlib.rc_context(STYLE)
def write_timing(samples: list[Sample], file: Path) -> None:
    """Draw two parts in a row, one that passes and one that fails, into an SVG or PNG file."""
    window = _window(samples)
    zero = next(one.at_ns for one in window if one.trigger)
    times = [(one.at_ns - zero) / 1e6 for one in window]
    figure = Figure(figsize=(9, 5.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    rows = len(SIGNALS) + 2
    for row, (_, bit, colour) in enumerate(SIGNALS):
        place = rows - 1 - row
        levels = [0.62 * bool(one.trigger if bit is None else one.words[0] & bit) for one in window]
        axes.step(times, [place + level for level in levels], where="post", color=colour, linewidth=1.5)
        axes.fill_between(times, place, [place + level for level in levels], step="post", color=colour, alpha=0.16,
                          linewidth=0)  # fmt: skip
    shown = [one.words[2] << 16 | one.words[3] if one.words[0] & Status.VALID else 0 for one in window]
    _numbers(axes, times, shown, 1)
    _numbers(axes, times, [one.acknowledge for one in window], 0, PLC)
    axes.set_yticks([place + 0.3 for place in range(rows)],
                    ["acknowledge (PLC)", "number", *(name for name, *_ in reversed(SIGNALS))])  # fmt: skip
    axes.set_ylim(-0.2, rows)
    axes.set_xlim(times[0], times[-1])
    axes.set_xlabel("ms from the first trigger bit, as the PLC saw it in its cycles")
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.tick_params(length=0)
    suffix = file.suffix.removeprefix(".")
    figure.savefig(file, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)


def _numbers(axes: Axes, times: list[float], numbers: list[int], place: int, colour: str = INK) -> None:
    """A row of numbers: a box while one stands there, with the number over its beginning."""
    start = 0
    for index in range(1, len(numbers) + 1):
        if index < len(numbers) and numbers[index] == numbers[start]:
            continue
        if numbers[start]:
            end = times[min(index, len(times) - 1)]
            axes.fill_between([times[start], end], place, place + 0.62, color=colour, alpha=0.16, linewidth=0)
            axes.plot([times[start], end], [place, place], color=colour, linewidth=1.5)
            axes.annotate(str(numbers[start]), (end, place + 0.31), (4, 0), textcoords="offset points", va="center",
                          color=colour, fontsize=9)  # fmt: skip
        start = index
    axes.plot(times, [place] * len(times), color=MUTED, linewidth=0.5)


def _window(samples: list[Sample]) -> list[Sample]:
    """The samples around two parts in a row of which one passes and one fails; of the first two if there are none."""
    starts = [index for index in range(1, len(samples)) if samples[index].trigger and not samples[index - 1].trigger]
    pairs = list(zip(starts, starts[1:], [*starts[2:], len(samples)], strict=False))
    chosen = next((pair for pair in pairs if _outcomes(samples[pair[0] : pair[2]]) == {True, False}), pairs[0])
    first_ns, last_ns = samples[chosen[0]].at_ns - BEFORE_MS * 1e6, samples[chosen[1]].at_ns + AFTER_MS * 1e6
    return [one for one in samples if first_ns <= one.at_ns <= last_ns]


def _outcomes(samples: list[Sample]) -> set[bool]:
    return {bool(one.words[0] & Status.PASS) for one in samples if one.words[0] & Status.VALID}
