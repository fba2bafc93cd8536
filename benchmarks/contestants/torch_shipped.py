"""PIL's letterbox, then the network of the shipped bundle in PyTorch, eager. Its weights are random, which costs the
same time; its scores mean nothing.
"""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.torch_eager import eager


def load(setup: Setup) -> Infer:
    """Of the side of the bundle."""
    from train.models.segmenter_small import SegmenterSmall

    return eager(setup, SegmenterSmall(), setup.side)
