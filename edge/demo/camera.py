"""The camera and the lamp over the belt: light that drifts from part to part, vignetting, sensor noise."""

from functools import lru_cache

import cv2
import numpy as np

from edge.demo.stamp import Pixels
from edge.demo.truth import Stream, random_stream

NOISE_SIGMA = 2.4
"""Standard deviation of the sensor's noise, grey levels."""

BRIGHTEST = 230
"""Value of the light map that leaves grey levels unchanged; the lamp's centre is slightly brighter."""

_NOISE_BANK = 4_000_037
"""Number of noise samples drawn once; a larger frame repeats them with a shift between its rows."""

_NOISE_SHIFTS = 1 << 16
_WANDER = 0.06
"""Largest displacement of the lamp's centre, as a fraction of the frame's size."""


class Camera:
    """Turns a scene into a photograph, for one frame size (height, width). The same camera for every seed."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        rng = random_stream(0, 2, Stream.LINE)
        self._room = int(_WANDER * size[0]) + 1, int(_WANDER * size[1]) + 1
        self._light = _draw_light(size, self._room)
        self._noise = _draw_noise(rng, 3 * size[0] * size[1] + _NOISE_SHIFTS)

    def expose(self, scene: Pixels, seed: int, index: int) -> None:
        """Apply the light at part `index` to the scene `uint8 [H, W, 3]` and add noise, in place."""
        rng = random_stream(seed, index, Stream.CAMERA)
        gain, right, down = _drift(seed, index)
        top = round(self._room[0] * (1 + down))
        left = round(self._room[1] * (1 + right))
        light = self._light[top : top + self.size[0], left : left + self.size[1]]
        flicker = rng.normal(0, 0.012)
        cv2.multiply(scene, light, dst=scene, scale=gain * (1 + flicker) / BRIGHTEST)
        above, below = rng.integers(_NOISE_SHIFTS, size=2)
        flat = scene.reshape(-1)
        cv2.add(flat, self._noise[above : above + flat.size], dst=flat)
        cv2.subtract(flat, self._noise[below : below + flat.size], dst=flat)


@lru_cache(maxsize=2)
def mount_camera(size: tuple[int, int]) -> Camera:
    """The camera for frames of `size` (height, width): its noise is drawn once, then cached."""
    return Camera(size)


def _drift(seed: int, index: int) -> tuple[float, float, float]:
    """Brightness around 1 and the lamp's displacement (right, down) in -1..1; all vary slowly with part `index`."""
    phases = random_stream(seed, 0, Stream.LINE).uniform(0, 2 * np.pi, 4)
    periods = np.array([733.0, 97.0, 1201.0, 877.0])
    slow, quick, right, down = np.sin(2 * np.pi * index / periods + phases)
    return float(1 + 0.09 * slow + 0.035 * quick), float(right), float(down)


def _draw_light(size: tuple[int, int], room: tuple[int, int]) -> Pixels:
    """Light around BRIGHTEST, `uint8 [h, w, 3]`, slightly larger than the frame, darker in the corners."""
    rows, columns = size[0] + 2 * room[0] + 1, size[1] + 2 * room[1] + 1
    y = (np.arange(rows, dtype=np.float32)[:, None] - rows / 2) / max(size)
    x = (np.arange(columns, dtype=np.float32) - columns / 2) / max(size)
    falloff = 1 / (1 + 0.62 * (x * x + y * y)) ** 2 * (1 - 0.10 * x - 0.06 * y)
    tint = np.array([0.97, 1.0, 1.015], np.float32)
    light = 1.03 * BRIGHTEST * falloff[..., None] * tint
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _draw_noise(rng: np.random.Generator, samples: int) -> Pixels:
    """Noise around 6 grey levels; the difference of two windows of it has the deviation NOISE_SIGMA."""
    bank = rng.standard_normal(min(samples, _NOISE_BANK), dtype=np.float32)
    levels = np.clip(np.rint(bank * (NOISE_SIGMA / np.sqrt(2)) + 6), 0, 12).astype(np.uint8)
    return np.resize(levels, samples)
