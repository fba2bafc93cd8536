"""The results of the benchmark of the watch on drift, and docs/reports/drift.md."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from scipy.stats import chi2

from benchmarks.drift.rendering import Effect
from benchmarks.drift.simulation import COMMISSIONING, HOURS, RATE, Noticed, at, doubled
from benchmarks.markdown import machine_words, paragraph, table
from edge.pictures.features import FEATURES
from edge.station.drift.chart import WEEK
from edge.station.part_counts import percentile
from edge.text import counted

BRIGHTNESS = FEATURES.index("brightness")


def weeks_result(name: str, alarms: Sequence[Sequence[str]], weeks: float) -> dict[str, Any]:
    """The alarms of unchanged lines, each a list of what its alarms named.

    The interval is the exact one of a Poisson rate (Garwood, Biometrika 28, 1936).
    """
    count, watched = sum(map(len, alarms)), len(alarms) * (weeks + COMMISSIONING / WEEK)
    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return {
        "lots": name,
        "lines": len(alarms),
        "weeks": watched,
        "alarms": count,
        "lines_with_alarms": sum(map(bool, alarms)),
        "rate": count / watched,
        "low": low / watched,
        "high": float(chi2.ppf(0.975, 2 * count + 2)) / 2 / watched,
        "features": dict(Counter(feature for one in alarms for feature in one).most_common()),
    }


def fault_result(
    name: str, effects: Sequence[Effect], pace: float, minutes: int, noticed: Sequence[Noticed]
) -> dict[str, Any]:
    """When a fault was noticed on several lines, and what it does."""
    at_minutes = sorted(float(one.minutes) for one in noticed if one.minutes is not None)
    seen = {str(percent): percentile(at_minutes, percent) for percent in (5, 50, 95)} if at_minutes else None
    when_doubled = doubled(effects, pace, minutes)
    middle = None if not at_minutes else int(median(at_minutes))
    return {
        "fault": name,
        "lines": len(noticed),
        "noticed": len(at_minutes),
        "minutes": seen,
        "latest": at_minutes[-1] if at_minutes else None,
        "features": dict(Counter(one.feature for one in noticed if one.feature).most_common()),
        "doubled_after_minutes": when_doubled,
        "noticed_before_doubled": sum(when_doubled is None or minute < when_doubled for minute in at_minutes),
        "watched_minutes": minutes,
        "severity_when_noticed": None if middle is None else _severity(effects, pace, middle),
        "reject_rate_before": effects[0].rejects_before,
        "reject_rate_when_noticed": None if middle is None else at(effects, _severity(effects, pace, middle)).rejects,
        "course": [[m, at(effects, _severity(effects, pace, m)).rejects] for m in (0, 1, *range(5, minutes + 1, 5))],
        "effects": [
            {
                "severity": one.severity,
                "brightness": float(one.features[BRIGHTNESS]),
                "score": one.score,
                "rejects": one.rejects,
            }
            for one in effects
        ],
    }


def _severity(effects: Sequence[Effect], pace: float, minute: int) -> float:
    if not pace:
        return effects[-1].severity if minute else 0.0
    return min(effects[-1].severity, pace * minute)


WORDS = {
    "lamp": ("a lamp that loses a tenth of its light in four hours, and goes on so", "of the light lost", 100.0, " %"),
    "lens": ("a lens that gets smeared, by a blur of 1 pixel of 640 an hour", "blur, sigma", 1.0, " px"),
    "material": ("another material: yellower, with a coarse grain, at once", "", 1.0, ""),
}


def render(result: dict[str, Any]) -> str:
    """The page."""
    base = result["base"]
    return "\n".join(
        [
            "# Watch on drift: false alarms, and what it notices\n",
            paragraph(
                "Written by `python -m benchmarks.drift`; no figure on this page was typed by a person. "
                "[The guide](../guide/drift.md) explains the watch."
            ),
            paragraph(
                f"The demonstration line was rendered, {base['parts']} parts of which the bundle `demo` rejects "
                f"{100 * base['rejects']:.1f} %, and {base['parts_of_each_severity']} parts with each severity of each "
                f"fault (`--seed {result['seed']}`; the limits of the watch were tuned with 0). "
                f"Lines of {RATE} parts a minute are simulated from these: each minute is a stretch of neighbouring "
                "parts, to which its lot and the light of the day (±1 %) are added. The watch is that of "
                f"a station; its reference is the first {HOURS:.0f} hours of each line, lots included."
            ),
            "## False alarms on an unchanged line\n",
            paragraph(
                "A lot moves all features and scores together by 0.3 of the way from the mean part to a part drawn at "
                "random (0.5 where lots differ more), and its reject rate varies by 30 %. Weeks count from the first "
                "minute, the time of the reference included. The interval is the exact 95 % interval of a rate."
            ),
            table(
                ("unchanged line", "weeks", "lines", "alarms", "lines with one", "alarms a week", "95 % interval"),
                [_unchanged(one) for one in result["unchanged"]],
            ),
            "## What is noticed, and when\n",
            paragraph(
                f"Each fault begins when the reference is complete, on {result['repeats']} lines with lots of 8 "
                "minutes. The reject rate is that of the rendered parts with the fault; it has doubled when it is "
                "twice that without. ![When each fault is noticed](drift.svg)"
            ),
            table(
                (
                    "fault",
                    "noticed on",
                    "after minutes, median (5 % to 95 %)",
                    "after parts",
                    "as",
                    "then",
                    "reject rate then",
                    "reject rate doubled after",
                ),
                [_fault(one) for one in result["faults"]],
            ),
            *(_effects(one) for one in result["faults"]),
            paragraph(f"{machine_words(result['machine'])}."),
        ]
    )


def _unchanged(one: dict[str, Any]) -> tuple[str, ...]:
    interval = f"{one['low']:.2f} to {one['high']:.2f}"
    counts = f"{one['weeks']:.0f}", str(one["lines"]), str(one["alarms"]), str(one["lines_with_alarms"])
    return one["lots"], *counts, f"{one['rate']:.2f}", interval


def _fault(one: dict[str, Any]) -> tuple[str, ...]:
    words, severity_words, factor, unit = WORDS[one["fault"]]
    seen, minutes = one["minutes"], one["doubled_after_minutes"]
    if seen is None:
        return words, f"0 of {one['lines']}", "", "", "", "", "", _doubled(minutes, one["watched_minutes"])
    severity = f"{factor * one['severity_when_noticed']:.1f}{unit} {severity_words}" if severity_words else ""
    before, then = 100 * one["reject_rate_before"], 100 * one["reject_rate_when_noticed"]
    return (
        words,
        f"{one['noticed']} of {one['lines']}",
        f"{seen['50']:.0f} ({seen['5']:.0f} to {seen['95']:.0f})",
        f"{RATE * seen['50']:,.0f}",
        ", ".join(one["features"]),
        severity,
        f"{then:.1f} %, before {before:.1f} %",
        _doubled(minutes, one["watched_minutes"]),
    )


def _doubled(minutes: int | None, watched: int) -> str:
    return f"not in {watched} minutes" if minutes is None else counted(minutes, "minute")


def _effects(one: dict[str, Any]) -> str:
    words, _, factor, unit = WORDS[one["fault"]]
    rows = [
        (
            f"{factor * effect['severity']:.1f}{unit}" if unit else "there",
            f"{effect['brightness']:+.1f}",
            f"{effect['score']:+.4f}",
            f"{100 * effect['rejects']:.1f} %",
        )
        for effect in one["effects"]
    ]
    head = ("severity", "brightness, grey levels", "score of good parts", "reject rate")
    return paragraph(f"What the severities do: {words}.") + "\n" + table(head, rows)
