"""Ways from a frame to a score, one file each, each run in a process of its own, where need be of its own Python.

A module has `load(setup)`, which gives a function from a frame uint8 [H, W, 3] BGR to its score. One that users install
beside this project says in `REQUIRES` what pip is to install for it, and in `TITLE` what it is. Nothing here imports
more of edge than its arithmetic, `ours` excepted: a contestant's Python has numpy, OpenCV and what it requires.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge.frame import Frame

Infer = Callable[[Frame], float]

HOST = ("numpy==2.4.6", "opencv-python-headless==5.0.0.93")
"""What a contestant that is given letterboxed pictures needs for the letterbox."""


@dataclass(frozen=True)
class Setup:
    """What a contestant is to run, and on what.

    `frames` is a .npy file, uint8 [N, H, W, 3]; `network` an ONNX file, `image` float32 [1, 3, S, S] → `score` [1] (and
    `map`), whose letterbox has `side` S, `mean`, `std` and `fill`; `bundle` the whole, for who can run it.
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
