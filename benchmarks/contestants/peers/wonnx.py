"""wonnx, on WebGPU."""

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "wonnx"
REQUIRES = (*HOST, "wonnx==0.5.1")


def load(setup: Setup) -> Infer:
    """On the first available adapter."""
    import wonnx

    session = wonnx.Session.from_path(setup.network)
    return letterboxed(setup, lambda blob: float(session.run({"image": blob.ravel().tolist()})["score"][0]))
