"""The weights of a letterbox's resize along one axis: one definition for training and for the runtimes.

The filter is PIL's triangle, or two pixels for `bilinear`. With blocks of k > 1 pixels it is applied to block means
instead of pixels; a short block at the end of the axis is weighted by its number of pixels.
"""

import numpy as np
import numpy.typing as npt

from edge.letterbox.contract import LetterboxContract


def block_side(frame_height: int, frame_width: int, contract: LetterboxContract) -> int:
    """Side k, in pixels, of the square blocks that are averaged first; 1 means no averaging."""
    return max(1, max(frame_height, frame_width) // contract.side) if contract.filter == "box" else 1


def two_taps(length: int, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The filter `bilinear`: output pixel i is `(1 - share[i])·x[low[i]] + share[i]·x[high[i]]` of `length` pixels.

    These are the two pixels around (i + ½)·length/size - ½, as in cv2.INTER_LINEAR. Returns low, high, share, each
    [size].
    """
    place = np.maximum(0, (2 * np.arange(size, dtype=np.int64) + 1) * length - size)  # in units of 1 / (2·size)
    low = place // (2 * size)
    share = ((place - low * 2 * size) / (2 * size)).astype(np.float32)
    return low, np.minimum(low + 1, length - 1), share


def resize_weights(length: int, size: int, block: int) -> npt.NDArray[np.float32]:
    """Weights `float32 [size, ceil(length / block)]` that map the block means of `length` pixels to `size` pixels.

    A block mean is the sum over its pixels, with pixels beyond the end as 0, divided by `block`. Output pixel i weighs
    block b with `1 - |b + ½ - (i + ½)·r| / max(1, r)`, r = length / (size·block), clipped at zero and normalised.
    Numerator and denominator are multiplied by 2·size·block, so that both are integers.
    """
    blocks = -(-length // block)
    b, i = np.arange(blocks, dtype=np.int64), np.arange(size, dtype=np.int64)[:, None]
    distance = np.abs((2 * b + 1) * (size * block) - (2 * i + 1) * length)
    weights = np.maximum(0.0, 1.0 - distance / (2 * max(size * block, length)))
    filled = np.minimum(block, length - b * block) / block
    total: npt.NDArray[np.float64] = (weights * filled).sum(axis=1, keepdims=True)
    return np.asarray(weights / total, np.float32)
