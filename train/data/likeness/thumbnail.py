"""Small grey pictures of photographs, on which photographs are compared."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

SIDE = 256
"""A photograph of more than SIDE² pixels is reduced to as many; its proportions are kept."""

MEMORY = 512 << 20
"""Bytes that the thumbnails of a data folder take at most; those of more photographs are smaller."""

SHORTEST = 4
"""Shortest side of a reduced picture, pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """A grey picture uint8 [h, w] of a photograph, and its pixels per pixel of the photograph, at most 1."""

    grey: Grey
    scale: float


def thumbnail(frame: npt.NDArray[np.uint8], count: int = 1) -> Thumbnail:
    """The thumbnail of a frame uint8 [H, W, 3], one of `count`."""
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    small = reduced(grey, min(SIDE, int(np.sqrt(MEMORY / count))))
    return Thumbnail(small, side_of(small) / side_of(grey))


def side_of(picture: Grey | Plane) -> float:
    """Side of a square of as many pixels as the picture has."""
    return float(np.sqrt(picture.size))


def reduced(grey: Grey, side: float) -> Grey:
    """A picture with about side² pixels, antialiased; the picture itself if it has no more."""
    return grey if side >= side_of(grey) else resized(grey, side)


def resized(grey: Grey, side: float) -> Grey:
    """A picture with about side² pixels, of the same proportions."""
    scale = side / side_of(grey)
    height, width = (max(SHORTEST, round(length * scale)) for length in grey.shape)
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, (width, height), interpolation=smoothing), np.uint8)


def normalised(grey: Grey, deviation: float) -> Plane:
    """A picture without local mean and local contrast: marks and edges count, exposure and light do not.

    `deviation` is the standard deviation of the blur for the local mean, in pixels; contrast is taken over twice of it.
    """
    plane = grey.astype(np.float32)
    detail = plane - blurred(plane, deviation)
    return np.asarray(detail / np.sqrt(blurred(detail * detail, 2 * deviation) + 1), np.float32)


def blurred(plane: Plane, deviation: float) -> Plane:
    """A picture after a Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), deviation, borderType=cv2.BORDER_REFLECT), np.float32)
