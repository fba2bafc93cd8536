"""A clock drawn into a picture, so that the age of what a frame shows can be read off its pixels.

Two rows of BITS blocks on top, the number's highest bit first: white for 1 and black for 0, and below it the opposite,
so that a picture without a clock, or with a broken one, is never taken for a time.
"""

import time

import numpy as np
import numpy.typing as npt

BITS, BLOCK = 32, 16
"""Bits of the number, and the side of each one's block in pixels: large enough for a video codec."""

MODULUS = 2**BITS

HEIGHT, WIDTH = 2 * BLOCK, BITS * BLOCK
"""Pixels that a clock takes, from the top left corner on."""

BLACK, WHITE = 16, 235
LEAST_CONTRAST = 100
"""Two opposite blocks that differ by less are no bit."""

Pixels = npt.NDArray[np.uint8]


def now_us() -> int:
    """What is drawn: microseconds of the machine's monotonic clock, modulo MODULUS, which is more than an hour."""
    return int(time.monotonic_ns() // 1000 % MODULUS)


def draw(frame: Pixels, number: int) -> None:
    """Draw a number below MODULUS into a picture `uint8 [height, width]` or `[height, width, channels]`, in place.

    Raises ValueError if it is smaller than HEIGHT and WIDTH.
    """
    if frame.shape[0] < HEIGHT or frame.shape[1] < WIDTH:
        raise ValueError(f"a clock takes {WIDTH}×{HEIGHT} pixels, the frame has {frame.shape[1]}×{frame.shape[0]}")
    bits = number >> np.arange(BITS - 1, -1, -1) & 1
    row = np.where(np.repeat(bits, BLOCK) == 1, WHITE, BLACK).astype(np.uint8)
    row = row.reshape(-1, *[1] * (frame.ndim - 2))
    frame[:BLOCK, :WIDTH] = row
    frame[BLOCK:HEIGHT, :WIDTH] = WHITE + BLACK - row


def read(frame: Pixels) -> int | None:
    """The number in a picture `uint8 [height, width, 3]`; None if there is none that can be read."""
    centres = frame[BLOCK // 2 : HEIGHT : BLOCK, BLOCK // 2 : WIDTH : BLOCK].astype(np.float64).mean(axis=2)
    if centres.shape != (2, BITS):
        return None
    difference = centres[0] - centres[1]
    if np.abs(difference).min() < LEAST_CONTRAST:
        return None
    return int("".join("1" if bit else "0" for bit in difference > 0), 2)
