"""Conversion of 9- to 16-bit samples, from industrial cameras and 16-bit archives, to 8 bits."""

from typing import TYPE_CHECKING, Any

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of converters. A picture of one of these depths has samples too large for the next lower depth."""

BRIGHT_SHARE = 0.001
"""Fraction of the samples that proves an unstated depth of a picture: fewer may be hot pixels or an overlay."""


def to_8_bits(samples: "npt.NDArray[np.uint16]", bits: int | None) -> "npt.NDArray[np.uint8]":
    """The upper 8 of `bits` significant bits, which lie in the low bits of each sample; any shape.

    This is also the conversion of a camera's Mono10 and Mono12. With `bits` None a picture counts as 16 bits if at
    least BRIGHT_SHARE of its samples need more than 14. Raises DataError, with only the reason, if they do not, if a
    sample exceeds `bits`, or if no sample needs more than the next lower depth: a picture read with too many bits is
    nearly black.
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
