"""No inference: one copy of the frame, the lower bound of memory accesses."""

import numpy as np

from benchmarks.contestants import Infer, Setup
from edge.frame import Frame


def load(setup: Setup) -> Infer:
    """Copy each frame to the same place; the score is always 0."""
    there = np.zeros((*setup.shape, 3), np.uint8)

    def infer(frame: Frame) -> float:
        np.copyto(there, frame)
        return 0.0

    return infer
