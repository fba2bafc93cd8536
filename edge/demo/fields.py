"""Random fields in a picture: smooth ones, for mottling and uneven light, and the grain of a sensor.

Fields are float64, so that a rounding of the processor never reaches a grey level.
"""

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float64]


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Plane:
    """A field around 0 with deviations of about 1 that changes over `cell` pixels: `float64 [H, W]`."""
    rows, columns = (max(2, round(length / cell) + 2) for length in shape)
    coarse = rng.standard_normal((rows, columns))
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float64)


def grain(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Plane:
    """Independent noise with the deviation `sigma`: `float64` of the given shape."""
    return sigma * rng.standard_normal(shape)


def levels(plane: Plane) -> npt.NDArray[np.uint8]:
    """Values 0..255 as grey levels, `uint8`, rounded and clipped."""
    return np.ascontiguousarray(np.clip(np.rint(plane), 0, 255).astype(np.uint8))
