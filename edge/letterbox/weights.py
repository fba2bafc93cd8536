"""The weights of a letterbox's resize along one axis: one definition for training and for the runtimes.

The filter is the triangle of PIL, or two pixels for `bilinear`. With blocks of k > 1 pixels it runs over block means
instead of pixels; a short block at the end of the axis counts by the pixels it has.
"""

import numpy as np
import numpy.typing as npt

from edge.letterbox.contract import LetterboxContract


def block_side(frame_height: int, frame_width: int, contract: LetterboxContract) -> int:
    """Side k of the square blocks that are averaged first, in pixels; 1 averages nothing."""
    return max(1, max(frame_height, frame_width) // contract.side) if contract.filter == "box" else 1


def two_taps(length: int, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The filter `bilinear`: pixel i of `size` is `(1 - share[i])·x[low[i]] + share[i]·x[high[i]]` of `length` pixels.

    That is two of them around (i + ½)·length/size - ½, as cv2.INTER_LINEAR takes them; all three are [size].
    """
    place = np.maximum(0, (2 * np.arange(size, dtype=np.int64) + 1) * length - size)  # in parts of 2·size
    low = place // (2 * size)
    share = ((place - low * 2 * size) / (2 * size)).astype(np.float32)
    return low, np.minimum(low + 1, length - 1), share


def resize_weights(length: int, size: int, block: int) -> npt.NDArray[np.float32]:
    """Weights `float32 [size, ceil(length / block)]` that make `size` pixels of the block means of `length` pixels.

    A block mean is the sum over its pixels, those beyond the end counted as 0, divided by `block`. Output pixel i
    takes block b with `1 - |b + ½ - (i + ½)·r| / max(1, r)`, r = length / (size·block), cut at zero and normalised.
    Numerator and denominator are multiplied by 2·size·block, so that both are integers.
    """
    blocks = -(-length // block)
    b, i = np.arange(blocks, dtype=np.int64), np.arange(size, dtype=np.int64)[:, None]
    distance = np.abs((2 * b + 1) * (size * block) - (2 * i + 1) * length)
    weights = np.maximum(0.0, 1.0 - distance / (2 * max(size * block, length)))
    filled = np.minimum(block, length - b * block) / block
    total: npt.NDArray[np.float64] = (weights * filled).sum(axis=1, keepdims=True)
    return np.asarray(weights / total, np.float32)
