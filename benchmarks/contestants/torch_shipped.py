"""PIL's letterbox, then the network of the shipped bundle in eager PyTorch.

Its weights are random, which takes the same time; its scores are meaningless.
"""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.torch_eager import eager


def load(setup: Setup) -> Infer:
    """At the side of the bundle."""
    from train.models.segmenter_small import SegmenterSmall

    return eager(setup, SegmenterSmall(), setup.side)
