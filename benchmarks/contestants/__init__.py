"""Contestants: ways from a frame to a score, one file each, each run in its own process, if necessary its own Python.

A module has `load(setup)`, which returns a function from a frame uint8 [H, W, 3] BGR to its score. A peer that users
install beside this project lists pip's requirements in `REQUIRES`, and has a `TITLE`. Except `ours`, modules import
only edge's arithmetic: a contestant's Python has numpy, OpenCV and its requirements.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge.frame import Frame

Infer = Callable[[Frame], float]

HOST = ("numpy==2.4.6", "opencv-python-headless==5.0.0.93")
"""Requirements of the letterbox, for contestants that take letterboxed pictures."""


@dataclass(frozen=True)
class Setup:
    """The work of a contestant.

    `frames` is a .npy file, uint8 [N, H, W, 3]; `network` an ONNX file, `image` float32 [1, 3, S, S] → `score` [1] (and
    `map`), whose letterbox has `side` S, `mean`, `std` and `fill`; `bundle` the whole bundle, for contestants that can
    run it.
    """

    name: str
    frames: str
    network: str
    bundle: str
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: int
    threads: int
    shape: tuple[int, int]
