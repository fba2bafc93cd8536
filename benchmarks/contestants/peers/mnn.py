"""Alibaba's MNN."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "MNN"
REQUIRES = (*HOST, "mnn==3.6.1")


def load(setup: Setup) -> Infer:
    """Convert and load, at high precision: float32."""
    import MNN

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "network.mnn")
        convert = [str(Path(sys.executable).with_name("mnnconvert")), "-f", "ONNX", "--bizCode", "edge"]
        subprocess.run([*convert, "--modelFile", setup.network, "--MNNModel", file], check=True, stdout=2)
        config = {"precision": "high", "backend": "CPU", "numThread": setup.threads}
        manager = MNN.nn.create_runtime_manager((config,))
        network = MNN.nn.load_module_from_file(file, ["image"], ["score"], runtime_manager=manager)

    def infer(blob: object) -> float:
        picture = MNN.expr.const(blob, [1, 3, setup.side, setup.side], MNN.expr.NCHW)
        return float(network.forward([picture])[0].read().ravel()[0])

    return letterboxed(setup, infer)
