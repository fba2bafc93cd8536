"""How long a network takes on this machine: its exported graph in OpenVINO, on a frame of the photographs' size."""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from edge.backends import load_backend
from edge.letterbox.contract import LetterboxContract
from edge.machine import cores
from export.graph import write_onnx
from train.models import Network

WARM, TIMES = 10, 50


def median_ms(network: Network, contract: LetterboxContract, shape: tuple[int, int]) -> float:
    """Median of TIMES inferences, letterbox included, of one frame of (height, width), in milliseconds."""
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        write_onnx(network.eval(), contract, graph, {})
        backend = load_backend("openvino", graph, cores(), contract, shape)
        took = []
        for _ in range(WARM + TIMES):
            began = time.perf_counter()
            backend.infer(frame)
            took.append(time.perf_counter() - began)
    return 1e3 * statistics.median(took[WARM:])
