"""Samples of 9 to 16 bits made 8, as industrial cameras and archives of 16 bits hold them."""

from typing import TYPE_CHECKING, Any

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FEWER_BITS = 14
"""Bits of the finest converter that is stored in 16 without filling them. A sample that needs more fills them."""


def to_8_bits(samples: "npt.NDArray[np.uint16]", bits: int | None) -> "npt.NDArray[np.uint8]":
    """The upper 8 of `bits` significant bits, which lie in the low bits of each sample; any shape.

    This is also what a camera's Mono10 and Mono12 become. With `bits` None a picture counts as 16 bits if its
    brightest sample proves that they are used, which takes 2**14 or more. Raises DataError, with the reason alone, if
    it does not, or if a sample exceeds the `bits` told.
    """
    import numpy as np

    brightest = int(samples.max(initial=0))
    if bits is None:
        if brightest < 1 << FEWER_BITS:
            raise DataError(
                f"is stored in 16 bits a sample, of which it uses {max(1, brightest.bit_length())}: a picture of fewer "
                "bits, or a dark one; say which with bits 10, 12, 14 or 16"
            )
        bits = 16
    if brightest >> bits:
        raise DataError(f"holds a sample of {brightest}, more than {bits} bits can hold; say bits 16 or what it has")
    shifted: npt.NDArray[Any] = samples >> (bits - 8)
    return shifted.astype(np.uint8)
