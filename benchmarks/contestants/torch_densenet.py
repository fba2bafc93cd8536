"""PIL's letterbox, then DenseNet-121 in PyTorch, eager: how an experiment judges a photograph. Its weights are random,
which costs the same time; its scores mean nothing.
"""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.torch_eager import eager

SIDE = 224


def load(setup: Setup) -> Infer:
    """Of the side that the project's own recipe trains it at."""
    from train.models.densenet121 import DenseNet121

    return eager(setup, DenseNet121(), SIDE)
