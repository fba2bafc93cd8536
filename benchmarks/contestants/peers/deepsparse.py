"""Neural Magic's DeepSparse, community edition, no longer developed."""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "DeepSparse"
REQUIRES = ("deepsparse==1.8.0", "opencv-python-headless==4.11.0.86")


def load(setup: Setup) -> Infer:
    """The engine for batches of one."""
    from deepsparse import Engine

    engine = Engine(setup.network, batch_size=1, num_cores=setup.threads)
    at = engine.output_names.index("score")
    return letterboxed(setup, lambda blob: float(engine.run([blob], val_inp=False)[at].ravel()[0]))
