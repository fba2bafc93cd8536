"""Small pictures added to a larger one, clipped at its edges."""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Window = tuple[slice, slice]


def overlap(shape: tuple[int, ...], stamp_shape: tuple[int, ...], x: int, y: int) -> tuple[Window, Window] | None:
    """The overlap of a picture and a stamp with its top left corner at (x, y): (window of picture, window of stamp).

    `shape` and `stamp_shape` begin with (height, width), in pixels. None without an overlap.
    """
    top, left = max(0, y), max(0, x)
    bottom, right = min(shape[0], y + stamp_shape[0]), min(shape[1], x + stamp_shape[1])
    if top >= bottom or left >= right:
        return None
    picture = slice(top, bottom), slice(left, right)
    stamp = slice(top - y, bottom - y), slice(left - x, right - x)
    return picture, stamp


def darken(picture: Pixels, stamp: Pixels, x: int, y: int) -> None:
    """Subtract `stamp` `uint8 [h, w, c]` from `picture` `uint8 [H, W, c]` in place, stopping at black."""
    windows = overlap(picture.shape, stamp.shape, x, y)
    if windows:
        cv2.subtract(picture[windows[0]], stamp[windows[1]], dst=picture[windows[0]])


def brighten(picture: Pixels, stamp: Pixels, x: int, y: int) -> None:
    """Add `stamp` `uint8 [h, w, c]` to `picture` `uint8 [H, W, c]` in place, stopping at white."""
    windows = overlap(picture.shape, stamp.shape, x, y)
    if windows:
        cv2.add(picture[windows[0]], stamp[windows[1]], dst=picture[windows[0]])


def cloud(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """A soft irregular blot, `float32 [side, side]` in 0..1, zero towards its edges, for stains and smudges."""
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    stretch, angle = rng.uniform(1.0, 2.2), rng.uniform(0, np.pi)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = (y * np.cos(angle) - x * np.sin(angle)) * stretch
    lumps = cv2.resize(rng.random((7, 7), dtype=np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    radius = np.sqrt(u * u + v * v) + 0.7 * (lumps - 0.5)
    return np.asarray(np.clip((0.75 - radius) / 0.45, 0.0, 1.0) * np.clip(0.4 + lumps, 0, 1), np.float32)
