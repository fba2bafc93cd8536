"""A clock drawn into a picture, so that the age of a frame can be read from its pixels.

Two rows of BITS blocks at the top, the number's highest bit first: white for 1 and black for 0, with the inverse row
below, so that a picture without a clock, or with a damaged one, never yields a time.
"""

import time

import numpy as np
import numpy.typing as npt

BITS, BLOCK = 32, 16
"""Bits of the number, and the side of a bit's block in pixels: large enough to survive a video codec."""

MODULUS = 2**BITS

HEIGHT, WIDTH = 2 * BLOCK, BITS * BLOCK
"""Pixels that a clock covers, from the top left corner."""

BLACK, WHITE = 16, 235
LEAST_CONTRAST = 100
"""Smallest difference in grey levels between a block and its inverse; below it the bit is unreadable."""

Pixels = npt.NDArray[np.uint8]


def now_us() -> int:
    """The number to draw: microseconds of the monotonic clock modulo MODULUS, which is more than an hour."""
    return int(time.monotonic_ns() // 1000 % MODULUS)


def draw(frame: Pixels, number: int) -> None:
    """Draw a number below MODULUS into a picture `uint8 [height, width]` or `[height, width, channels]`, in place.

    Raises ValueError if the picture is smaller than HEIGHT and WIDTH.
    """
    if frame.shape[0] < HEIGHT or frame.shape[1] < WIDTH:
        raise ValueError(f"a clock takes {WIDTH}×{HEIGHT} pixels, the frame has {frame.shape[1]}×{frame.shape[0]}")
    bits = number >> np.arange(BITS - 1, -1, -1) & 1
    row = np.where(np.repeat(bits, BLOCK) == 1, WHITE, BLACK).astype(np.uint8)
    row = row.reshape(-1, *[1] * (frame.ndim - 2))
    frame[:BLOCK, :WIDTH] = row
    frame[BLOCK:HEIGHT, :WIDTH] = WHITE + BLACK - row


def read(frame: Pixels) -> int | None:
    """The number in a picture `uint8 [height, width, 3]`; None if no number is readable."""
    centres = frame[BLOCK // 2 : HEIGHT : BLOCK, BLOCK // 2 : WIDTH : BLOCK].astype(np.float64).mean(axis=2)
    if centres.shape != (2, BITS):
        return None
    difference = centres[0] - centres[1]
    if np.abs(difference).min() < LEAST_CONTRAST:
        return None
    return int("".join("1" if bit else "0" for bit in difference > 0), 2)
