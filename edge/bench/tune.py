"""The best settings of a bundle on this machine, measured at the line's pace, and stored where edge-run finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from edge.bench import whole_way
from edge.bench.pace import BACK_TO_BACK, pace_in_words
from edge.bench.recommendation import Choice, choose
from edge.bench.result import Pace, Series, Setting
from edge.bench.settings_grid import Axes, named, settings
from edge.bench.subprocess_run import bare
from edge.bundle import Bundle
from edge.errors import EdgeError
from edge.frame import Frame
from edge.machine import cores, cpu_model
from edge.runtimes import versions
from edge.sources import SourceRequest
from edge.sources.replay import FRAMES, ReplaySource
from edge.station.config.tuned import Found, Tuned

ROUNDS, TURN = 6, 25
"""Rounds of bare inference, and frames per turn, that select the settings worth a station."""

NEAR = 1.35
"""A setting whose bare median exceeds the fastest by more than this factor is not run in a station: the rest of the
whole way takes the same time for all."""

MOST = 4
"""Settings that are run in a station, each with and without keeping the model warm."""

RUNS = 2
"""Stations that share a setting's parts, with stations of all other settings in between."""


class Tell(Protocol):
    """Receiver of a tuning's progress."""

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """`what` is the current step (empty: unchanged), `done` the steps done since; `total` begins a new stage."""
        ...


@dataclass(frozen=True)
class Tuning:
    """All measurements, and the choice."""

    bare: list[Series]
    paced: list[Series]
    choice: Choice

    def tuned(self, bundle: Bundle, budget_ms: float | None) -> Tuned:
        """The settings to store for edge-run."""
        best = self.choice.best
        assert best.pace.rate_per_min is not None
        return Tuned(
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            bundle=bundle.manifest.name,
            digest=bundle.digest,
            cpu=cpu_model(),
            cores=cores(),
            versions=versions(),
            height=best.setting.height,
            width=best.setting.width,
            rate_per_min=best.pace.rate_per_min,
            budget_ms=budget_ms,
            found=Found(
                backend=best.setting.artifact,
                threads=best.setting.threads,
                spinning=best.setting.is_spinning,
                keep_warm=best.pace.keeps_warm,
            ),
            p50_ms=sorted(best.samples_ms)[len(best.samples_ms) // 2],
            percent=self.choice.percent,
            tail_ms=self.choice.tail_ms,
        )


def candidates(bundle: Bundle, size: tuple[int, int]) -> list[Setting]:
    """The settings that a station could run here: every artifact in its own precision, threads by powers of two up to
    the cores, ONNX Runtime's threads sleeping or spinning.
    """
    counts = tuple(sorted({*(2**n for n in range(cores().bit_length()) if 2**n <= cores()), cores()}))
    axes = Axes(
        precisions=("f32", "int8"), threads=counts, streams=(1,), sizes=(size,), static=(True,), spinning=(False, True)
    )
    return settings(bundle, axes, axes)


def tune(
    bundle: Bundle, size: tuple[int, int], pace: Pace, budget_ms: float | None, seconds: float, tell: Tell
) -> Tuning:
    """Select the settings near the fastest by bare inference, then the best of them by stations at the line's pace,
    `seconds` in total for each. `tell` receives the progress: compiling, turns of bare inference, parts of the line.

    Raises EdgeError if a station fails, or no setting keeps the budget.
    """
    back_to_back = _bare(bundle, candidates(bundle, size), tell)
    near = _near(back_to_back)
    paced = _paced(bundle, near, pace, seconds, tell)
    choice = choose(paced, budget_ms)
    if choice is None:
        best = choose(paced)
        if best is None:
            raise EdgeError(f"{bundle.label}: no setting answered a part at {pace_in_words(pace)}; slow the line")
        raise EdgeError(
            f"{bundle.label}: no setting keeps {budget_ms:g} ms at {pace_in_words(pace)}; the best is "
            f"{named(best.best.setting)}, with a p{best.percent:g} of {best.tail_ms:.1f} ms; slow the line, or take a "
            "faster bundle or machine"
        )
    return Tuning(back_to_back, paced, choice)


def _bare(bundle: Bundle, tried: Sequence[Setting], tell: Tell) -> list[Series]:
    """Measure bare inference back to back, in turns."""
    source = ReplaySource(SourceRequest("replay", size=(tried[0].height, tried[0].width)))
    stock = [source.capture(number).frame for number in range(FRAMES)]
    pictures: list[Frame] = [frame for frame in stock if frame is not None]
    compiled = []
    tell("", 0, len(tried))
    for number, setting in enumerate(tried, 1):
        tell(f"compiling {number} of {len(tried)}: {named(setting)}", 0)
        compiled.append(bare(bundle, setting, pictures))
        tell("", 1)
    tell("", 0, ROUNDS * len(compiled))
    for number in range(ROUNDS):
        for one in reversed(compiled) if number % 2 else compiled:
            tell(f"bare, round {number + 1} of {ROUNDS}: {named(one.setting)}", 0)
            one.turn(BACK_TO_BACK, TURN)
            tell("", 1)
    return [series for one in compiled for series in one.series()]


def _near(measured: Sequence[Series]) -> list[Setting]:
    """The settings worth a station, the fastest first."""
    medians = {one.setting: sorted(one.samples_ms)[len(one.samples_ms) // 2] for one in measured}
    best = min(medians.values())
    return sorted((s for s in medians if medians[s] <= NEAR * best), key=lambda s: medians[s])[:MOST]


def _paced(bundle: Bundle, tried: Sequence[Setting], pace: Pace, seconds: float, tell: Tell) -> list[Series]:
    """Measure the whole way at the line's pace, each setting with and without keeping warm, in turns."""
    assert pace.rate_per_min is not None
    parts = max(20, round(seconds * pace.rate_per_min / 60 / RUNS))
    jobs = [(one, pace.model_copy(update={"keeps_warm": warm})) for one in tried for warm in (False, True)]
    order = [job for turn in range(RUNS) for job in (reversed(jobs) if turn % 2 else jobs)]
    ran: dict[tuple[Setting, Pace], list[whole_way.StationRun]] = {}
    tell("", 0, parts * len(order))
    for number, (setting, kept) in enumerate(order, 1):
        tell(f"whole way, station {number} of {len(order)}, {pace_in_words(kept)}: {named(setting)}", 0)
        run = whole_way.run_station(bundle, setting, kept, parts, lambda count: tell("", count))
        ran.setdefault((setting, kept), []).append(run)
    return [whole_way.series(bundle.label, setting, kept, runs) for (setting, kept), runs in ran.items()]
