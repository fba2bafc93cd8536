"""OpenVINO on the CPU."""

import copy
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends import Fixed, Graph, Output
from edge.backends.openvino_letterbox import use_fast_letterbox
from edge.backends.options import Options
from edge.frame import Frame
from edge.machine import private_folder

KEPT_SHAPES = "16"
"""Kernels for frame sizes seen lately that OpenVINO, and oneDNN inside it, may keep. Left alone they keep thousands:
0.9 MiB for every new size of a frame with antialias were measured, over the first 1,000 of them."""

ISA = "ONEDNN_MAX_CPU_ISA"
WITHOUT_AMX = "AVX512_CORE_FP16"

_set_here: set[str] = set()
"""Variables that this process set in its own environment, not the person who started it."""


def pass_over_amx() -> None:
    """Compute without AMX in this process, unless the environment says otherwise or a graph was compiled already: the
    first kernel settles it.

    Where a CPU has AMX, oneDNN takes it for the one int8 convolution of a float32 artifact, the block mean of three
    channels, and is slower: to the score of the demonstration bundle at 1920×1080 it took 4.5 ms on two cores of a
    Xeon, without AMX 3.4 ms, with the same score to the bit.
    """
    if ISA not in os.environ and not OpenVino.has_compiled:
        os.environ[ISA] = WITHOUT_AMX
        _set_here.add(ISA)


@contextmanager
def untouched_environment() -> Iterator[None]:
    """The environment as a person gave it: a process that is started meanwhile chooses its instructions itself."""
    held = {name: os.environ.pop(name) for name in _set_here if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


class OpenVino:
    """One compiled model and one inference request; the frame is read in place, without a copy."""

    name = "openvino"
    has_compiled = False
    """Whether this process has compiled a graph."""

    def __init__(self, graph: Graph, options: Options, fixed: Fixed | None) -> None:
        """Compile for latency, in float32 unless told otherwise: OpenVINO's own choice on CPUs with AVX512_BF16 would
        be bfloat16.
        """
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_SHAPES)  # read once, by the first kernel
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
        if (cache := _cache_of(graph)) is not None:
            settings["CACHE_DIR"] = str(cache)
        OpenVino.has_compiled = True
        self._compiled = compiled = core.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._score = compiled.output("score")
        self._map = next((o for o in compiled.outputs if "map" in o.names), None)

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
        where = None if self._map is None else self._request.get_tensor(self._map).data.reshape(self._map_size)
        return Output(score, where)

    @property
    def _map_size(self) -> tuple[int, int]:
        assert self._map is not None
        *_, height, width = self._map.shape
        return height, width


def _cache_of(graph: Graph) -> Path | None:
    """Where this graph's compiled forms are kept, apart from those of all others; None if nowhere is safe.

    OpenVINO takes what lies there for what it once compiled. It finds it by a hash of 64 bits, for which anyone can
    make a second graph, so a graph that was loaded here before could leave its own there for this one.
    """
    digest = hashlib.sha256(hashlib.sha256(graph.content).digest() + hashlib.sha256(graph.weights).digest())
    return private_folder(f"openvino/{digest.hexdigest()}")


def load(graph: Graph, options: Options, fixed: Fixed | None) -> OpenVino:
    """Compile the graph; see `edge.backends.load_backend`."""
    return OpenVino(graph, options, fixed)
