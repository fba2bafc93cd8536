"""The whole way: a station in its own processes, from the frame in memory to the verdict decoded in this one."""

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from edge.backends.openvino import untouched_environment
from edge.bench.machine_load import Watch, worst
from edge.bench.pace import rhythm
from edge.bench.processes import cpu_s, resident_mib
from edge.bench.result import STAGES, Disturbance, Pace, Series, Setting, Stage
from edge.bundle import Bundle
from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Received, Subscriber
from edge.errors import EdgeError
from edge.verdict import Outcome, Verdict

WARM_UP = 20
WARM_UP_S = 2.0
"""Parts at the start that do not count; of a slow line as many as come in so long."""

MORE = 50
"""Parts beyond those that are measured: the line still runs when its cost is read."""

PATIENT_MS = 60_000
"""Budget of the station: every answer comes, however late, and is measured."""

LOOK_S = 1.0
SILENCE_S = 120.0


@dataclass
class Ran:
    """What one run of a station showed; latencies are those of answered parts, good or reject."""

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
        """Parts that were judged or should have been."""
        return len(self.published)

    def take(self, received: Received, verdict: Verdict) -> None:
        """Enter a verdict."""
        timing = verdict.timing
        self.published.append(timing.published)
        if verdict.verdict is Outcome.UNKNOWN or timing.inference_start is None or timing.inference_end is None:
            self.unanswered += 1
            return
        begun = timing.captured  # of a stored frame the moment at which the station took it: it lay in the ring before
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
    is_over: Callable[[Ran], bool] = lambda _: False,
) -> Ran:
    """Let a station judge so many parts, or fewer once `is_over`. Raises EdgeError, with its words, if it fails."""
    warm_up = WARM_UP
    if pace.rate_per_min is not None:
        warm_up = min(WARM_UP, max(2, math.ceil(WARM_UP_S * pace.rate_per_min / 60)))
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "bench")
    started, ran = time.monotonic_ns(), Ran()
    command = _command(bundle.folder, setting, pace, endpoint, warm_up + frames + MORE)
    with untouched_environment():
        station = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    watch, cpu_before = None, 0.0
    try:
        for received in _verdicts(subscriber, station):
            verdict = received.message
            assert isinstance(verdict, Verdict)
            if verdict.bundle != bundle.label:
                raise EdgeError(f"{bundle.path}: another bundle was put there while it was measured; measure again")
            if ran.cold_start_s is None:
                ran.cold_start_s = (received.at_ns - started) / 1e9
            if (
                verdict.seq == warm_up // 2
            ):  # it takes some milliseconds, and verdicts wait: not where they are measured
                watch, cpu_before = Watch(), cpu_s(station.pid)
            if verdict.seq <= warm_up:
                continue
            ran.take(received, verdict)
            tick(1)
            if ran.parts >= frames or is_over(ran):
                break
        if watch is not None and ran.parts:
            ran.cpu_s_a_frame = (cpu_s(station.pid) - cpu_before) / (ran.parts + warm_up - warm_up // 2)
            ran.disturbance = watch.stop()
            ran.resident_mib = resident_mib(station.pid)
    finally:
        subscriber.close()
        station.terminate()
        complaints = station.communicate()[1]
    if subscriber.missed:
        raise EdgeError(f"{subscriber.missed} verdicts were lost on their way: this machine is too busy to measure")
    if ran.parts < frames and not is_over(ran):
        last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
        raise EdgeError(f"the station gave {ran.parts} of {frames} verdicts; {last[0]}")
    return ran


def series(bundle: str, setting: Setting, pace: Pace, runs: list[Ran]) -> Series:
    """Several runs of a station in one; its cost is that of the last, when compiled models were cached."""
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


def _command(bundle: Path, setting: Setting, pace: Pace, endpoint: str, limit: int) -> list[str]:
    options = {
        "source": "replay",
        "bundle": str(bundle),
        "station": "bench",
        "bind": endpoint,
        "backend": setting.artifact,
        "threads": str(setting.threads),
        "size": f"{setting.width}x{setting.height}",
        "limit": str(limit),
        "budget-ms": str(PATIENT_MS),
        "wait-subscribers": "1",
    }
    if pace.rate_per_min is not None:
        words = rhythm(pace).words()
        options |= {"source": f"replay:{words}" if words else "replay", "rate": str(pace.rate_per_min / 60)}
    flags = ["--no-records", "--no-tuned", *(["--keep-warm"] if pace.keeps_warm else [])]
    flags += ["--spinning"] if setting.is_spinning else []
    flags += [*(f"--{name}={value}" for name, value in options.items())]
    return [sys.executable, "-P", "-m", "edge.cli.run", *flags]


def _verdicts(subscriber: Subscriber, station: "subprocess.Popen[str]") -> Iterator[Received]:
    """Verdicts as they come, until the station is gone or silent for too long."""
    heard_s = time.monotonic()
    while time.monotonic() - heard_s < SILENCE_S:
        for received in subscriber.messages(LOOK_S):
            heard_s = time.monotonic()
            if isinstance(received.message, Verdict):
                yield received
        if station.poll() is not None:
            return
