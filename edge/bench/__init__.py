"""How fast a bundle is on this machine: bare inference, and the whole way to a verdict decoded in another process."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from edge.backends import Backend, load_from
from edge.bundle import Bundle
from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Subscriber
from edge.errors import EdgeError
from edge.machine import cores, cpu_model
from edge.sources import Frame, SourceRequest
from edge.sources.replay import FRAMES, ReplaySource
from edge.station.ledger import percentile
from edge.verdict import State, StateChange, Verdict

PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p99_9_ms": 99.9, "max_ms": 100.0}
WARM_UP = 20
SILENCE_S = 60.0


@dataclass(frozen=True)
class Latency:
    """Latencies of one way of running, milliseconds; `frames_per_s` back to back."""

    samples_ms: list[float]
    frames_per_s: float

    def figures(self) -> dict[str, float]:
        """Percentiles, by nearest rank, and frames a second."""
        ascending = sorted(self.samples_ms)
        shares = {name: percentile(ascending, percent) for name, percent in PERCENTILES.items()}
        return {name: value for name, value in shares.items() if value is not None} | {
            "frames_per_s": self.frames_per_s
        }


@dataclass(frozen=True)
class Result:
    """One backend: both ways, and what the whole way adds to bare inference."""

    backend: str
    bare: dict[str, float]
    whole_way: dict[str, float]
    overhead_ms: dict[str, float]


def measure(
    bundle: Bundle, backend: str, size: tuple[int, int], frames: int, threads: int, tick: Callable[[int], None]
) -> Result:
    """Measure one backend on frames of `size` (height, width).

    Bare inference is measured before and after the whole way, half of the frames each, so that a machine that grows
    slower or faster meanwhile does not favour one of them. Raises EdgeError if the station fails.
    """
    runtime = load_from(bundle, backend, threads, size)
    stock = [ReplaySource(SourceRequest("replay", size=size)).capture(i).frame for i in range(FRAMES)]
    pictures = [frame for frame in stock if frame is not None]
    before = bare(runtime, pictures, frames // 2)
    tick(frames // 2)
    whole = whole_way(bundle, backend, size, frames, threads)
    tick(frames)
    after = bare(runtime, pictures, frames - frames // 2)
    tick(frames - frames // 2)
    both = Latency(before.samples_ms + after.samples_ms, (before.frames_per_s + after.frames_per_s) / 2)
    bare_figures, whole_figures = both.figures(), whole.figures()
    overhead = {name: whole_figures[name] - bare_figures[name] for name in ("p50_ms", "p99_ms")}
    return Result(backend, bare_figures, whole_figures, overhead)


def bare(runtime: Backend, pictures: list[Frame], frames: int) -> Latency:
    """Inference and nothing else, back to back."""
    for i in range(WARM_UP):
        runtime.infer(pictures[i % len(pictures)])
    moments = [time.perf_counter_ns()]
    for i in range(frames):
        runtime.infer(pictures[i % len(pictures)])
        moments.append(time.perf_counter_ns())
    return Latency([(b - a) / 1e6 for a, b in pairwise(moments)], frames / ((moments[-1] - moments[0]) / 1e9))


def whole_way(bundle: Bundle, backend: str, size: tuple[int, int], frames: int, threads: int) -> Latency:
    """A station in its own processes, back to back; from the frame in shared memory to the verdict decoded here."""
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "bench")
    options = {
        "source": "replay",
        "bundle": str(bundle.path),
        "station": "bench",
        "bind": endpoint,
        "backend": backend,
        "threads": str(threads),
        "size": f"{size[1]}x{size[0]}",
        "limit": str(frames + WARM_UP),
        "budget-ms": "60000",
        "wait-subscribers": "1",
    }
    flags = ["--no-records", *(f"--{name}={value}" for name, value in options.items())]
    command = [sys.executable, "-m", "edge.cli.run", *flags]
    station = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    samples, published = [], []
    try:
        for received in subscriber.messages(SILENCE_S):
            message = received.message
            if isinstance(message, StateChange) and message.state is State.STOPPED:
                break
            if isinstance(message, Verdict) and message.seq > WARM_UP:
                timing = message.timing
                begun = max(timing.captured, timing.in_ring or 0)  # a stored frame waits in the ring until it is taken
                samples.append((received.at_ns - begun) / 1e6)
                published.append(timing.published)
    finally:
        subscriber.close()
        station.terminate()
        complaints = station.communicate()[1]
    if len(samples) != frames:
        last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
        raise EdgeError(f"the station gave {len(samples)} of {frames} verdicts; {last[0]}")
    return Latency(samples, (frames - 1) / ((published[-1] - published[0]) / 1e9))


def machine() -> dict[str, Any]:
    """The machine in words."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("openvino", "onnxruntime", "edge-inspect")},
    }


def as_json(bundle: Bundle, size: tuple[int, int], frames: int, threads: int, results: list[Result]) -> str:
    """Everything measured, as JSON."""
    return json.dumps(
        {
            "machine": machine(),
            "bundle": bundle.label,
            "frame": {"height": size[0], "width": size[1]},
            "frames": frames,
            "threads": threads,
            "backends": [asdict(result) for result in results],
        }
    )
