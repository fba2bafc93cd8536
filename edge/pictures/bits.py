"""Samples of 9 to 16 bits made 8, as industrial cameras and archives of 16 bits hold them."""

from typing import TYPE_CHECKING, Any

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEPTHS = (8, 10, 12, 14, 16)
"""Depths of converters. A picture of one of them has samples that the depth below it could not hold."""

BRIGHT_SHARE = 0.001
"""Share of samples that prove the depth of a picture of which nobody says it: fewer may be hot pixels or an overlay."""


def to_8_bits(samples: "npt.NDArray[np.uint16]", bits: int | None) -> "npt.NDArray[np.uint8]":
    """The upper 8 of `bits` significant bits, which lie in the low bits of each sample; any shape.

    This is also what a camera's Mono10 and Mono12 become. With `bits` None a picture counts as 16 bits if at least
    BRIGHT_SHARE of its samples need more than 14. Raises DataError, with the reason alone, if they do not, if a sample
    exceeds the `bits` told, or if none of them needs more than the depth below: a picture of fewer bits read by
    mistake as one of more is nearly black.
    """
    import numpy as np

    depth = bits or 16
    lower = DEPTHS[DEPTHS.index(depth) - 1]
    brightest, needed = int(samples.max(initial=0)), 1 if bits else max(1, int(samples.size * BRIGHT_SHARE))
    if brightest >> depth:
        raise DataError(f"holds a sample of {brightest}, more than {bits} bits can hold; say bits 16 or what it has")
    if int(np.count_nonzero(samples >= 1 << lower)) < needed:
        remedy = "lighten it, or say" if bits else "say"
        raise DataError(
            f"is stored in 16 bits a sample and too dark for {depth}: it looks like {max(1, brightest.bit_length())} "
            f"bits; {remedy} which with bits 10, 12, 14 or 16"
        )
    shifted: npt.NDArray[Any] = samples >> (depth - 8)
    return shifted.astype(np.uint8)
