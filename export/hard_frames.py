"""Hard frames: synthetic frames that expose faults of a letterbox or of the network behind it."""

from collections.abc import Iterator

import numpy as np

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract

HARD_SIZES = (
    (16, 16),
    (16, 4096),
    (4096, 16),
    (31, 33),
    (200, 299),
    (299, 299),
    (480, 640),
    (720, 1280),
    (1281, 733),
    (1080, 1920),
    (2048, 2448),
)
"""(height, width) of the noise frames: both orientations, up- and downscaling, odd sizes, floats off by one."""


def hard_frames(contract: LetterboxContract) -> Iterator[tuple[str, Frame]]:
    """Names and frames that expose faults of a letterbox: noise of difficult sizes, one-pixel lines, checkerboards,
    black, white.

    If the contract has a region, each frame is large enough to contain it.
    """
    rng = np.random.default_rng(7)
    for height, width in dict.fromkeys(contract.holding(*size) for size in HARD_SIZES):
        yield f"noise {width}×{height}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    for about, shape in (("landscape", (720, 1280)), ("portrait", (1280, 720))):
        rows, columns = np.indices(contract.holding(*shape))
        patterns = {
            "vertical lines": columns % 9 == 0,
            "horizontal lines": rows % 7 == 0,
            "checkerboard": (rows + columns) % 2 == 0,
            "black": rows < 0,
            "white": rows >= 0,
        }
        for name, pattern in patterns.items():
            yield f"{name}, {about}", np.repeat((pattern * 255).astype(np.uint8)[:, :, None], 3, axis=2)
