"""One run of edge-bench, from the request to the result."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from edge.bench.budget import Question, answer, top_per_min
from edge.bench.hardware import described
from edge.bench.result import Measured, Pace, Result, Search, Series, Setting
from edge.bench.schedule import Effort, Item, Measuring
from edge.bench.settings_grid import is_of_station
from edge.bench.statistics import percentile
from edge.bundle import Bundle
from edge.errors import EdgeError
from edge.terminal.progress import Progress


class Tell(Protocol):
    """Progress: the current step (empty: unchanged), the number of frames or other steps done since the last call, and,
    where a new stage begins, their total (0: unknown).
    """

    def __call__(self, what: str, done: int, total: float | None = None) -> None:
        """Show the progress."""
        ...


def telling(progress: Progress) -> Tell:
    """Pass what a benchmark or a tuning tells on to the progress of the command."""
    advance = progress.begin("preparing")

    def tell(what: str, done: int, total: float | None = None) -> None:
        nonlocal advance
        if total is not None:
            advance = progress.begin(what, total)
        elif what:
            progress.rename(what)
        advance(done)

    return tell


def find(
    items: Sequence[Item], pace: Pace, effort: Effort, question: Question | None, every_artifact: bool, tell: Tell
) -> Result:
    """Measure, and answer the question for the fastest setting of each bundle, or with `every_artifact` of each of its
    artifacts.

    `pace` is measured in addition to back to back. Settings that a runtime refuses are skipped and listed. Raises
    EdgeError if nothing is left to measure or to ask about, or if a station fails; before any measurement if no station
    can run a setting that the question needs.
    """
    bundles = {bundle.label: bundle for bundle, _ in items}
    if question is not None:
        for label in bundles:
            if not any(one.label == label and is_of_station(setting) for one, setting in items):
                raise EdgeError(
                    f"{label}: a budget is kept by a station, and none runs what was asked for: it runs float32 or "
                    "int8, one stream, frames of one size"
                )
    measuring = Measuring(items, [pace], effort, tell)
    tell("", 0, measuring.total)
    series = measuring.run()
    searches: list[Search] = []
    if question is not None and (left := set(bundles) - {one.bundle for one in series if one.way == "whole way"}):
        raise EdgeError(next(line for line in measuring.skipped if line.startswith(f"{min(left)}, ")))
    for label, setting in [] if question is None else _searched(series, every_artifact):
        assert question is not None
        top = top_per_min(series, label, setting)
        searches.append(answer(bundles[label], setting, question, top, lambda what: tell(what, 0, 0)))
        measuring.frequency.look()
    return Result(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        machine=described(measuring.frequency.seen),
        bundles=[_known(bundle) for bundle in bundles.values()],
        series=series,
        skipped=measuring.skipped,
        searches=searches,
    )


def _searched(series: Sequence[Series], every_artifact: bool) -> list[tuple[str, Setting]]:
    """Bundles and settings whose whole way was measured: the fastest of each bundle, or of each of its artifacts."""
    found: dict[tuple[str, ...], tuple[str, Setting]] = {}
    whole = (one for one in series if one.way == "whole way" and one.pace.rate_per_min is None)
    for one in sorted(whole, key=lambda one: percentile(one.samples_ms, 50)):
        key = (one.bundle, one.setting.artifact) if every_artifact else (one.bundle,)
        found.setdefault(key, (one.bundle, one.setting))
    return list(found.values())


def _known(bundle: Bundle) -> Measured:
    """The bundle's accuracy according to its manifest."""
    manifest = bundle.manifest
    return Measured(
        label=bundle.label,
        path=str(bundle.path),
        simulated=manifest.simulated,
        metrics=manifest.metrics,
        recall={name: one.threshold.recall.value for name, one in manifest.artifacts.items()},
        specificity={name: one.threshold.specificity.value for name, one in manifest.artifacts.items()},
    )
