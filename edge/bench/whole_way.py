"""The whole way: a station in its own processes, from the frame in memory to the verdict decoded in this process."""

import math
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge.backends.environment import untouched_environment
from edge.bench.machine_load import Watch, worst
from edge.bench.pace import rhythm
from edge.bench.result import STAGES, Disturbance, Pace, Series, Setting, Stage
from edge.bundle import Bundle
from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Received, Subscriber
from edge.errors import EdgeError
from edge.station.process.runner import EdgeRun
from edge.station.process.usage import cpu_s, resident_mib
from edge.verdict import Outcome, Verdict

WARM_UP = 20
WARM_UP_S = 2.0
"""Parts at the start that are not counted; on a slow line only as many as arrive in WARM_UP_S."""

MORE = 50
"""Parts after the measured ones, so that the line still runs when its cost is read."""

PATIENT_MS = 60_000
"""Budget of the station: so long that every answer arrives and is measured."""

LOOK_S = 1.0
SILENCE_S = 120.0


@dataclass
class StationRun:
    """The measurements of one run of a station; latencies are those of answered parts, good or reject."""

    samples_ms: list[float] = field(default_factory=list)
    stages_ms: dict[Stage, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    unanswered: int = 0
    published: list[int] = field(default_factory=list)
    cpu_s_a_frame: float | None = None
    cold_start_s: float | None = None
    resident_mib: float | None = None
    disturbance: Disturbance | None = None

    @property
    def parts(self) -> int:
        """Number of parts that were judged or should have been."""
        return len(self.published)

    def take(self, received: Received, verdict: Verdict) -> None:
        """Add a verdict."""
        timing = verdict.timing
        self.published.append(timing.published)
        if verdict.verdict is Outcome.UNKNOWN or timing.inference_start is None or timing.inference_end is None:
            self.unanswered += 1
            return
        begun = timing.captured  # for a stored frame, when the station started on it; it was in the ring before
        in_ring = max(begun, timing.in_ring or begun)
        moments = begun, in_ring, timing.inference_start, timing.inference_end, timing.published, received.at_ns
        for stage, (one, next_one) in zip(STAGES, pairwise(moments), strict=True):
            self.stages_ms[stage].append((next_one - one) / 1e6)
        self.samples_ms.append((received.at_ns - begun) / 1e6)


def run_station(
    bundle: Bundle,
    setting: Setting,
    pace: Pace,
    frames: int,
    tick: Callable[[int], None] = lambda _: None,
    is_over: Callable[[StationRun], bool] = lambda _: False,
) -> StationRun:
    """Let a station judge `frames` parts, or fewer once `is_over`. Raises EdgeError with its last line if it fails."""
    warm_up = WARM_UP
    if pace.rate_per_min is not None:
        warm_up = min(WARM_UP, max(2, math.ceil(WARM_UP_S * pace.rate_per_min / 60)))
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "bench")
    started, ran = time.monotonic_ns(), StationRun()
    options = _options(bundle.folder, setting, pace, warm_up + frames + MORE)
    with untouched_environment():
        station = EdgeRun(bind=endpoint, popen={"stdout": subprocess.DEVNULL}, **options)
    pid, watch, cpu_before = station.process.pid, None, 0.0
    try:
        for received in _verdicts(subscriber, station.process):
            verdict = received.message
            assert isinstance(verdict, Verdict)
            if verdict.bundle != bundle.label:
                raise EdgeError(f"{bundle.path}: another bundle was put there while it was measured; measure again")
            if ran.cold_start_s is None:
                ran.cold_start_s = (received.at_ns - started) / 1e9
            if (
                verdict.seq == warm_up // 2
            ):  # starting the watch takes milliseconds and delays verdicts, so it happens during the warm-up
                watch, cpu_before = Watch(), cpu_s(pid)
            if verdict.seq <= warm_up:
                continue
            ran.take(received, verdict)
            tick(1)
            if ran.parts >= frames or is_over(ran):
                break
        if watch is not None and ran.parts:
            ran.cpu_s_a_frame = (cpu_s(pid) - cpu_before) / (ran.parts + warm_up - warm_up // 2)
            ran.disturbance = watch.stop()
            ran.resident_mib = resident_mib(pid)
    finally:
        subscriber.close()
        station.stop()
    if subscriber.missed:
        why = "as on a machine that is too busy; measure again when it is quiet"
        raise EdgeError(f"{subscriber.missed} verdicts were lost on their way, {why}")
    if ran.parts < frames and not is_over(ran):
        raise EdgeError(f"the station gave {ran.parts} of {frames} verdicts; {station.last_words()}")
    return ran


def series(bundle: str, setting: Setting, pace: Pace, runs: list[StationRun]) -> Series:
    """Several runs of a station as one series; the cost is that of the last run, with compiled models cached."""
    last = runs[-1]
    took_s = sum((ran.published[-1] - ran.published[0]) / 1e9 for ran in runs)
    return Series(
        bundle=bundle,
        way="whole way",
        setting=setting,
        pace=pace,
        samples_ms=[sample for ran in runs for sample in ran.samples_ms],
        frames_per_s=sum(ran.parts - 1 for ran in runs) / took_s,
        stages_ms={stage: [one for ran in runs for one in ran.stages_ms[stage]] for stage in STAGES},
        unanswered=sum(ran.unanswered for ran in runs),
        cpu_s_a_frame=last.cpu_s_a_frame,
        cold_start_s=last.cold_start_s,
        resident_mib=last.resident_mib,
        disturbance=worst([ran.disturbance for ran in runs]),
    )


def _options(bundle: Path, setting: Setting, pace: Pace, limit: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "source": "replay",
        "bundle": bundle,
        "station": "bench",
        "backend": setting.artifact,
        "threads": setting.threads,
        "size": f"{setting.width}x{setting.height}",
        "limit": limit,
        "budget_ms": PATIENT_MS,
        "wait_subscribers": 1,
        "records": False,
        "tuned": False,
        "keep_warm": pace.keeps_warm or None,
        "spinning": setting.is_spinning or None,
    }
    if pace.rate_per_min is not None:
        words = rhythm(pace).words()
        options |= {"source": f"replay:{words}" if words else "replay", "rate": f"{pace.rate_per_min!r}/min"}
    return options


def _verdicts(subscriber: Subscriber, station: "subprocess.Popen[bytes]") -> Iterator[Received]:
    """Verdicts as they arrive, until the station is gone or silent for SILENCE_S."""
    heard_s = time.monotonic()
    while time.monotonic() - heard_s < SILENCE_S:
        for received in subscriber.messages(LOOK_S):
            heard_s = time.monotonic()
            if isinstance(received.message, Verdict):
                yield received
        if station.poll() is not None:
            return
