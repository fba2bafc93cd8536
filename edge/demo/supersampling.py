"""Shapes in small pictures: drawn several times as large, then averaged."""

import cv2
import numpy as np

from edge.demo.fields import Plane
from edge.demo.stamp import Pixels

SCALE = 4
"""Pixels of the drawing along each side of a pixel of the picture."""

_BITS = 4


def band(shape: tuple[int, int], centre: tuple[float, float], half: tuple[float, float], angle: float = 0.0) -> Pixels:
    """A filled ellipse of a picture of `shape` (height, width), drawn large: `uint8 [SCALE H, SCALE W]`, 0 or 255.

    `centre` and the half axes `half` are (x, y) in pixels of the picture, `angle` is in degrees, clockwise.
    """
    plane = np.zeros((shape[0] * SCALE, shape[1] * SCALE), np.uint8)
    unit = SCALE * (1 << _BITS)
    axes = max(1, round(half[0] * unit)), max(1, round(half[1] * unit))
    middle = round(centre[0] * unit), round(centre[1] * unit)
    cv2.ellipse(plane, middle, axes, angle, 0, 360, 255, cv2.FILLED, cv2.LINE_8, _BITS)
    return plane


def rough_ellipse(
    shape: tuple[int, int],
    centre: tuple[float, float],
    half: tuple[float, float],
    roughness: float,
    rng: np.random.Generator,
) -> Pixels:
    """As `band`, upright, with an outline that wanders by about `roughness` pixels."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    knots = rng.normal(0, roughness, 24)
    wander = np.interp(angle, np.linspace(0, 2 * np.pi, 25), [*knots, knots[0]])
    points = np.stack([(half[0] + wander) * np.cos(angle), (half[1] + wander) * np.sin(angle)], axis=1) + centre
    plane = np.zeros((shape[0] * SCALE, shape[1] * SCALE), np.uint8)
    cv2.fillPoly(plane, [np.rint(points * SCALE * (1 << _BITS)).astype(np.int32)], 255, cv2.LINE_8, _BITS)
    return plane


def shrunk(drawing: Pixels) -> Plane:
    """Coverage of each pixel of the picture by a drawing `uint8 [SCALE H, SCALE W]`: `float64 [H, W]`, 0..1."""
    rows, columns = drawing.shape[0] // SCALE, drawing.shape[1] // SCALE
    blocks = drawing.reshape(rows, SCALE, columns, SCALE)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.int64) / (255.0 * SCALE * SCALE))
