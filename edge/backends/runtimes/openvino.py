"""OpenVINO on the CPU."""

import copy
import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends.base import Fixed, Graph, Output, Runtime
from edge.backends.environment import set_unless_given
from edge.backends.options import Options
from edge.backends.runtimes.openvino_letterbox import use_fast_letterbox
from edge.frame import Frame
from edge.machine import private_folder

KEPT_SHAPES = "16"
"""Kernels that OpenVINO and oneDNN may cache. Their defaults cache thousands: each new frame size with antialias cost
0.9 MiB, measured over the first 1,000 sizes."""

ISA = "ONEDNN_MAX_CPU_ISA"
WITHOUT_AMX = "AVX512_CORE_FP16"


def pass_over_amx() -> None:
    """Compute without AMX in this process, unless the environment sets the instruction set or a graph was compiled
    before: the first kernel fixes the choice.

    Where a CPU has AMX, oneDNN takes it for the one int8 convolution of a float32 artifact, the block mean of three
    channels, and is slower: to the score of the demonstration bundle at 1920×1080 it took 4.5 ms on two cores of a
    Xeon, without AMX 3.4 ms, with the same score to the bit.
    """
    if not OpenVino.has_compiled:
        set_unless_given(ISA, WITHOUT_AMX)


class OpenVino:
    """One compiled model and one inference request; the frame is read in place, without a copy."""

    name = "openvino"
    has_compiled = False
    """Whether this process has compiled a graph."""

    def __init__(self, graph: Graph, options: Options, fixed: Fixed | None) -> None:
        """Compile for latency, in float32 unless told otherwise: OpenVINO's own choice on CPUs with AVX512_BF16 would
        be bfloat16.
        """
        set_unless_given("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_SHAPES)  # read once, by the first kernel
        import openvino as ov

        self._tensor: Any = ov.Tensor
        core = ov.Core()
        model = core.read_model(graph.content, graph.weights)
        model.input("frame")  # it has one
        if fixed is not None:
            model.reshape({"frame": [1, *fixed.shape, *([3] if fixed.contract.frame == "bgr" else [])]})
            use_fast_letterbox(model, fixed.shape, fixed.contract)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": options.precision,
            "INFERENCE_NUM_THREADS": options.threads,
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": KEPT_SHAPES,
        }
        if options.streams > 1:
            settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": options.streams}
        OpenVino.has_compiled = True
        with _claimed(_cache_of(graph)) as cache:
            self._compiled = compiled = _compile(core, model, settings, cache)
        self._request = compiled.create_infer_request()
        self._score = compiled.output("score")
        self._map, self._kinds = (
            next((o for o in compiled.outputs if name in o.names), None) for name in ("map", "kind")
        )

    def clone(self) -> "OpenVino":
        """Another request on the compiled model."""
        other = copy.copy(self)
        other._request = self._compiled.create_infer_request()
        return other

    def infer(self, frame: Frame) -> Output:
        """See `Backend.infer`."""
        self._request.set_input_tensor(self._tensor(frame[np.newaxis], shared_memory=True))
        self._request.start_async()  # `infer` takes 0.15 ms to put together a dictionary of outputs
        self._request.wait()
        score = float(self._request.get_tensor(self._score).data[0])
        where, kinds = (  # copies: the next inference overwrites the tensors
            None if output is None else self._request.get_tensor(output).data.copy()
            for output in (self._map, self._kinds)
        )
        return Output(
            score,
            None if where is None else where.reshape(where.shape[-2:]),
            None if kinds is None else kinds.reshape(-1),
        )


def _compile(core: Any, model: Any, settings: dict[str, Any], cache: Path | None) -> Any:
    """The compiled model, from the cache if it is there. A cache that cannot be used costs time, never the model."""
    if cache is not None:
        try:
            return core.compile_model(model, "CPU", settings | {"CACHE_DIR": str(cache)})
        except RuntimeError:  # the disk may be full; what is wrong with the model itself is raised below
            pass
    return core.compile_model(model, "CPU", settings)


@contextmanager
def _claimed(cache: Path | None) -> Iterator[Path | None]:
    """The folder, for this process alone; None if there is none or another process compiles the same graph now.

    OpenVINO 2026.4 fails if two processes write the same compiled model at once.
    """
    if cache is None:
        yield None
        return
    try:
        lock = (cache / "lock").open("w")
    except OSError:
        yield None
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        yield cache


def _cache_of(graph: Graph) -> Path | None:
    """The cache folder for this graph's compiled models, one per graph; None if no folder is private.

    OpenVINO looks up compiled models by a hash of 64 bits, for which an attacker can construct a second graph. In a
    shared folder such a graph, loaded before, could leave its compiled model for this one.
    """
    digest = hashlib.sha256(hashlib.sha256(graph.content).digest() + hashlib.sha256(graph.weights).digest())
    return private_folder(f"openvino/{digest.hexdigest()}")


class _Runtime(Runtime):
    """See `Runtime`."""

    name = OpenVino.name
    precisions = ("f32", "bf16")
    shares_instructions = True

    def preload(self) -> None:
        """See `Runtime.preload`."""
        import openvino  # noqa: F401

    def choose_instructions(self, is_float32: bool) -> None:
        """See `Runtime.choose_instructions`."""
        if is_float32:
            pass_over_amx()

    def load(self, graph: Graph, options: Options, fixed: Fixed | None) -> OpenVino:
        """See `Runtime.load`."""
        return OpenVino(graph, options, fixed)


RUNTIME = _Runtime()
