"""OpenCV's letterbox for contestants that take letterboxed pictures. Not a contestant itself."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Infer, Setup
from benchmarks.host import opencv_letterbox
from edge.frame import Frame


def letterboxed(setup: Setup, infer: Callable[[npt.NDArray[np.float32]], float]) -> Infer:
    """`infer`, which takes float32 [1, 3, S, S], after the letterbox of `setup`, with its number of threads."""
    cv2.setNumThreads(setup.threads)
    fit = opencv_letterbox(setup.shape, setup.side, setup.mean, setup.std, setup.fill)

    def whole(frame: Frame) -> float:
        return infer(fit(frame))

    return whole
