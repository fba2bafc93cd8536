"""Sonos' tract, in Rust; always one thread."""

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "tract (one thread)"
REQUIRES = (*HOST, "tract==0.23.9")


def load(setup: Setup) -> Infer:
    """The optimised, runnable model."""
    import tract

    runnable = tract.onnx().load(setup.network).into_model().into_runnable()
    return letterboxed(setup, lambda blob: float(runnable.run([blob])[0].to_numpy().ravel()[0]))
