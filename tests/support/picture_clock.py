"""A clock drawn into pictures as black and white blocks, from which the age of a frame can be read.

Needs only the standard library, because the system's Python draws the clock too.
"""

import time
from typing import Any

BITS, BLOCK = 32, 16
MODULUS = 2**BITS


def now_ms() -> int:
    """The present time of the drawn clock: milliseconds of the machine's monotonic clock, modulo MODULUS."""
    return time.monotonic_ns() // 1_000_000 % MODULUS


def drawn(background: bytes, width: int) -> bytes:
    """A planar YUV picture with the clock, at least 512 pixels wide: at the top a row of blocks, highest bit first,
    then the inverted blocks.

    `background` is the picture without the clock.
    """
    moment = now_ms()
    bits = [moment >> (BITS - 1 - n) & 1 for n in range(BITS)]
    rows = []
    for is_opposite in (False, True):
        row = b"".join(bytes([235 if bit != is_opposite else 16]) * BLOCK for bit in bits)
        rows.append((row + bytes([128]) * (width - len(row))) * BLOCK)
    top = b"".join(rows)
    return top + background[len(top) :]


def shown_ms(frame: Any) -> int:
    """The time of the clock in a frame `uint8 [height, width, 3]`."""
    shown = 0
    for n in range(BITS):
        bit, opposite = (frame[row, BLOCK * n + BLOCK // 2].mean() for row in (BLOCK // 2, BLOCK + BLOCK // 2))
        assert abs(bit - opposite) > 100, "the picture's clock cannot be read"
        shown = shown << 1 | (bit > opposite)
    return int(shown)


def age_ms(frame: Any) -> int:
    """Milliseconds since the clock in this frame was drawn."""
    return (now_ms() - shown_ms(frame)) % MODULUS
