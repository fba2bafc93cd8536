"""tinygrad on the CPU, compiled once by its TinyJit."""

import os

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "tinygrad"
REQUIRES = (*HOST, "tinygrad==0.14.0")


def load(setup: Setup) -> Infer:
    """The network in `OnnxRunner`."""
    os.environ.setdefault("DEV", "CPU")
    os.environ.setdefault("CPU_COUNT", str(setup.threads))
    from tinygrad import Tensor, TinyJit
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(setup.network)
    run = TinyJit(lambda picture: runner({"image": picture})["score"].realize())
    return letterboxed(setup, lambda blob: float(run(Tensor(blob).realize()).numpy().ravel()[0]))
