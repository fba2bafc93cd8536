"""The letterbox on the host as users write it, with OpenCV and with PIL. Needs only edge's arithmetic."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Frame
from edge.letterbox.geometry import Letterbox, letterbox

Blob = npt.NDArray[np.float32]


def opencv_letterbox(
    shape: tuple[int, int], side: int, mean: Sequence[float], std: Sequence[float], fill: int = 0
) -> Callable[[Frame], Blob]:
    """Well-written OpenCV: the frame is reduced before it becomes float, and every buffer is allocated once.

    From a frame uint8 [H, W, 3] BGR of `shape` (height, width) to float32 [1, 3, S, S] RGB, normalised; the next call
    overwrites the result. The transposed copy writes the planes of NCHW in RGB order; normalisation works in place.
    `cv2.dnn.blobFromImage` does the same steps but supports only one deviation for all channels, and resizes without
    keeping the aspect ratio.
    """
    box = letterbox(*shape, side)
    padded = np.full((side, side, 3), fill, np.uint8)
    inside = padded[box.top : box.top + box.height, box.left : box.left + box.width]
    small = np.empty((box.height, box.width, 3), np.uint8)
    scaled = np.empty((side, side, 3), np.float32)
    blob = np.empty((1, 3, side, side), np.float32)
    factor, shift = (np.array(v, np.float32) for v in _affine(mean, std))

    def run(frame: Frame) -> Blob:
        cv2.resize(frame, (box.width, box.height), dst=small, interpolation=cv2.INTER_AREA)
        inside[:] = small
        np.multiply(padded, factor, out=scaled, casting="unsafe")
        np.add(scaled, shift, out=scaled)
        blob[0] = scaled.transpose(2, 0, 1)[::-1]
        return blob

    return run


def pil_letterbox(
    shape: tuple[int, int], side: int, mean: Sequence[float], std: Sequence[float], fill: int = 0
) -> Callable[[Frame], Blob]:
    """PIL as in training scripts: the same frame and result except for PIL's rounding to whole grey levels."""
    from PIL import Image

    box: Letterbox = letterbox(*shape, side)
    about: Any = [np.array(v, np.float32) for v in (mean, std)]

    def run(frame: Frame) -> Blob:
        picture = Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
        canvas = Image.new("RGB", (side, side), (fill,) * 3)
        canvas.paste(picture.resize((box.width, box.height), Image.Resampling.BILINEAR), (box.left, box.top))
        levels = np.asarray(canvas, np.float32) / 255
        return np.ascontiguousarray(((levels - about[0]) / about[1]).transpose(2, 0, 1)[None])

    return run


def _affine(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """Factor and offset of a BGR value."""
    pairs = list(zip(mean, std, strict=True))[::-1]
    return [1 / (255 * one) for _, one in pairs], [-middle / one for middle, one in pairs]
