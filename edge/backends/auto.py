"""Measures which artifact of a bundle is the fastest on this machine, and caches the answer."""

import contextlib
import hashlib
import json
import statistics
import time
from collections.abc import Mapping

import numpy as np

from edge.backends import Backend, is_exact_here, load_from, tried
from edge.bundle import Bundle
from edge.machine import cache_folder, cpu_model
from edge.runtimes import versions

_WARM_UP, _ROUNDS = 5, 20


def fastest_artifact(bundle: Bundle, threads: int, shape: tuple[int, int] | None) -> str:
    """Name of the artifact with the lowest median latency for frames of `shape` (720×1280, or larger where the bundle's
    region asks for it, if None), of those that this CPU computes exactly.

    The answer is kept in the cache folder, for this bundle, CPU, shape, number of threads and these versions.
    """
    available = sorted(name for name, artifact in bundle.manifest.artifacts.items() if is_exact_here(artifact))
    if len(available) == 1:
        return available[0]
    key = json.dumps([bundle.digest, available, shape, threads, versions(), cpu_model()])
    cache = cache_folder()
    memory = cache / f"artifact-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json" if cache else None
    if memory is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # nothing remembered that can be read
            chosen = json.loads(memory.read_text())["artifact"]
            if chosen in available:
                return str(chosen)
    size = shape or bundle.manifest.letterbox.holding(720, 1280)
    medians = measure_alternating({name: load_from(bundle, name, threads, shape) for name in available}, size)
    chosen = min(medians, key=lambda name: medians[name])
    if memory is not None:
        with contextlib.suppress(OSError):
            memory.write_text(json.dumps({"artifact": chosen, "median_ms": medians, "for": json.loads(key)}))
    return chosen


def measure_alternating(backends: Mapping[str, Backend], shape: tuple[int, int]) -> dict[str, float]:
    """Median latency in milliseconds of each backend on a noisy frame, taken in turns so that load hits all alike."""
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    samples: dict[str, list[float]] = {name: [] for name in backends}
    for turn in range(_WARM_UP + _ROUNDS):
        for name, backend in backends.items():
            start = time.perf_counter_ns()
            tried(backend, frame, f"a frame of {shape[1]}×{shape[0]}")
            if turn >= _WARM_UP:
                samples[name].append((time.perf_counter_ns() - start) / 1e6)
    return {name: statistics.median(times) for name, times in samples.items()}
