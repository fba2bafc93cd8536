"""Charts as SVG, drawn by the server: no script, no style attribute, values in the text of each mark."""

from collections import Counter
from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from markupsafe import Markup, escape

from edge.page.words import Words

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 72, 12, 12, 34
BINS = 40


class Bar(NamedTuple):
    """A bar of goods, rejects and unknowns."""

    label: str
    counts: tuple[int, int, int]


class Point(NamedTuple):
    """Median and 99th percentile at a time."""

    label: str
    p50: float | None
    p99: float | None


def _svg(parts: Sequence[str], about: str) -> Markup:
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return Markup(f'<svg class="chart" {box} role="img" aria-label="{escape(about)}">{"".join(parts)}</svg>')


def _none(t: Words) -> Markup:
    return Markup('<p class="none">{}</p>').format(t("trends.none"))


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def nice_top(value: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.9999)


def _grid(t: Words, top: float, digits: int, unit: str = "") -> list[str]:
    parts = []
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        text = escape(t.number(value, digits) + unit)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return parts


def _labels(labels: Sequence[str], width: float) -> list[str]:
    every = max(1, ceil(len(labels) * 84 / (WIDTH - LEFT - RIGHT)))
    return [
        f'<text x="{LEFT + (at + 0.5) * width:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(label)}</text>'
        for at, label in enumerate(labels)
        if at % every == 0
    ]


def stacked(t: Words, bars: Sequence[Bar]) -> Markup:
    """Bars of goods, with rejects and unknowns on top of them."""
    if not bars:
        return _none(t)
    top = nice_top(max(sum(bar.counts) for bar in bars))
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    inner = min(width * 0.8, 48.0)
    parts = _grid(t, top, 0)
    for at, bar in enumerate(bars):
        low, whole = 0, sum(bar.counts)
        x = LEFT + at * width + (width - inner) / 2
        said = escape(
            t("trends.bar", label=bar.label, parts=t.number(whole), good=t.percent(bar.counts[0], whole),
              reject=t.number(bar.counts[1]), unknown=t.number(bar.counts[2]))
        )  # fmt: skip
        parts.append(f"<g><title>{said}</title>")
        for kind, count in zip(("good", "reject", "unknown"), bar.counts, strict=True):
            if count:
                y, bottom = _y(low + count, top), _y(low, top)
                box = f'x="{x:.1f}" y="{y:.1f}" width="{inner:.1f}" height="{max(bottom - y, 1):.1f}"'
                parts.append(f'<rect class="{kind}" {box}/>')
                low += count
        parts.append("</g>")
    return _svg([*parts, *_labels([bar.label for bar in bars], width)], t("trends.yield"))


def pareto(t: Words, reasons: Sequence[tuple[str, int]]) -> Markup:
    """Reasons by how often they came, the most frequent first, each with its share so far."""
    if not reasons:
        return _none(t)
    whole, most, so_far = sum(count for _, count in reasons), reasons[0][1], 0
    rows = []
    step = min(30.0, (HEIGHT - TOP) / len(reasons))
    for at, (name, count) in enumerate(reasons):
        so_far += count
        y = TOP + at * step
        length = (WIDTH - 330) * count / most
        said = t("trends.cumulated", n=t.number(count), share=t.percent(so_far, whole, 0))
        rows.append(f'<text x="170" y="{y + step / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        rows.append(f'<rect class="bar" x="180" y="{y + 3:.1f}" width="{max(length, 1):.1f}" height="{step - 6:.1f}"/>')
        rows.append(f'<text x="{186 + length:.1f}" y="{y + step / 2 + 4:.1f}">{escape(said)}</text>')
    return _svg(rows, t("trends.reasons"))


def histogram(t: Words, scores: Counter[float], threshold: float | None) -> Markup:
    """How often each score came, on a linear axis, with the threshold."""
    if not scores:
        return _none(t)
    low, high = min(scores), max(scores)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    span = (high - low) or 1.0
    bins = [0] * BINS
    for score, count in scores.items():
        bins[min(BINS - 1, int(BINS * (score - low) / span))] += count
    top, width = nice_top(max(bins)), (WIDTH - LEFT - RIGHT) / BINS
    parts = _grid(t, top, 0)
    for at, count in enumerate(bins):
        if count:
            y = _y(count, top)
            above = threshold is not None and low + (at + 0.5) * span / BINS >= threshold
            box = f'x="{LEFT + at * width + 0.5:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{_y(0, top) - y:.1f}"'
            edges = [t.number(low + edge * span / BINS, 3) for edge in (at, at + 1)]
            said = escape(f"{edges[0]} – {edges[1]}: {t.number(count)}")
            parts.append(f'<rect class="{"reject" if above else "good"}" {box}><title>{said}</title></rect>')
    for at in range(5):
        x = LEFT + at * (WIDTH - LEFT - RIGHT) / 4
        anchor = "start" if at == 0 else "end" if at == 4 else "middle"
        text = escape(t.number(low + at * span / 4, 2))
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="{anchor}">{text}</text>')
    if threshold is not None:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (threshold - low) / span
        parts.append(f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        anchor, at_x = ("end", x - 6) if x > WIDTH / 2 else ("start", x + 6)
        text = escape(t("trends.threshold", value=t.number(threshold, 3)))
        parts.append(f'<text class="strong" x="{at_x:.1f}" y="{TOP + 12}" text-anchor="{anchor}">{text}</text>')
    return _svg(parts, t("trends.scores"))


def two_lines(t: Words, points: Sequence[Point]) -> Markup:
    """Median and 99th percentile over time, in milliseconds."""
    if not points:
        return _none(t)
    top = nice_top(max(point.p99 or 0 for point in points))
    width = (WIDTH - LEFT - RIGHT) / len(points)
    parts = _grid(t, top, 0 if top >= 8 else 1, " ms")
    for kind in ("p50", "p99"):
        values = [(LEFT + (at + 0.5) * width, getattr(point, kind), point.label) for at, point in enumerate(points)]
        there = [(x, value, label) for x, value, label in values if value is not None]
        way = " ".join(f"{x:.1f},{_y(value, top):.1f}" for x, value, _ in there)
        parts.append(f'<polyline class="{kind}" points="{way}"/>')
        for x, value, label in there:
            said = escape(f"{label}: {kind} {t.number(value, 1)} ms")
            parts.append(
                f'<circle class="{kind}" cx="{x:.1f}" cy="{_y(value, top):.1f}" r="4"><title>{said}</title></circle>'
            )
        if there:
            x, value, _ = there[-1]
            parts.append(
                f'<text class="strong" x="{min(x + 8, WIDTH - 30):.1f}" y="{_y(value, top) - 8:.1f}">{kind}</text>'
            )
    return _svg([*parts, *_labels([point.label for point in points], width)], t("trends.latency"))
