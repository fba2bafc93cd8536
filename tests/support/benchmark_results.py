"""Results of small real benchmarks of the demonstration bundle, and functions that change such results."""

from functools import cache

import numpy as np
from support.line import DEMO_BUNDLE

from edge.bench.bare_inference import Bare
from edge.bench.benchmark_run import find
from edge.bench.hardware import described
from edge.bench.pace import BACK_TO_BACK
from edge.bench.result import Disturbance, Measured, Pace, Result, Series
from edge.bench.schedule import Effort
from edge.bench.settings_grid import Axes, settings
from edge.bundle import load_bundle

SIZE = 180, 320
AXES = Axes(precisions=("f32",), threads=(1,), streams=(1,), sizes=(SIZE,), static=(True,), spinning=(False,))
DISTURBANCE = Disturbance(
    others_cores=1.5, steal_share=None, waiting=2.0, is_disturbed=True, said="others kept 1.5 cores busy"
)


@cache
def bare_result() -> Result:
    """Both artifacts measured back to back in this process. The latencies are drawn around the measured median, as on a
    machine without other load.
    """
    bundle, pictures = (
        load_bundle(DEMO_BUNDLE),
        list(np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)),
    )
    series = []
    for setting in settings(bundle, AXES, AXES):
        one = Bare(bundle, setting, pictures)
        one.turn(BACK_TO_BACK, 120)
        series += [quiet(found) for found in one.series()]
    return result(series)


def quiet(series: Series) -> Series:
    """The series with latencies as on an undisturbed machine."""
    steady = np.median(series.samples_ms) * np.random.default_rng(0).lognormal(0, 0.05, len(series.samples_ms))
    return series.model_copy(update={"samples_ms": steady.tolist(), "frames_per_s": 1000 / float(steady.mean())})


@cache
def whole_result() -> Result:
    """Both artifacts measured bare, and the fastest one also the whole way, back to back and paced."""
    bundle = load_bundle(DEMO_BUNDLE)
    effort = Effort(frames=60, paced_s=1.0, runs=1, only_fastest=True)
    items = [(bundle, setting) for setting in settings(bundle, AXES, AXES)]
    return find(items, Pace(rate_per_min=1200), effort, None, False, lambda *_: None)


def result(series: list[Series]) -> Result:
    """A result with these series of the demonstration bundle."""
    label = load_bundle(DEMO_BUNDLE).label
    known = Measured(
        label=label, path="demo.edge", simulated=True, metrics={"validation auroc": 0.99},
        recall={"openvino": 0.9, "onnxruntime": 0.9}, specificity={"openvino": 1.0, "onnxruntime": 1.0},
    )  # fmt: skip
    return Result(
        made="2026-01-01T00:00:00+00:00", command="edge-bench demo", machine=described(None), bundles=[known],
        series=series,
    )  # fmt: skip


def times(series: Series, factor: float) -> Series:
    """The series with each sample multiplied by `factor`."""
    return series.model_copy(
        update={
            "samples_ms": [factor * one for one in series.samples_ms],
            "frames_per_s": series.frames_per_s / factor,
        }
    )


def all_times(before: Result, factor: float) -> Result:
    """The result with each sample of each series multiplied by `factor`."""
    return before.model_copy(update={"series": [times(one, factor) for one in before.series]})
