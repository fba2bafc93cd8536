"""PIL's letterbox, then DenseNet-121 in eager PyTorch, as in an experiment. Its weights are random, which takes the
same time; its scores are meaningless.
"""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.torch_eager import eager

SIDE = 224


def load(setup: Setup) -> Infer:
    """At the side at which the project's own recipe trains it."""
    from train.models.densenet121 import DenseNet121

    return eager(setup, DenseNet121(), SIDE)
