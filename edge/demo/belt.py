"""The belt: an endless loop of woven rubber between two rails, and the dirt on it."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.stamp import Pixels, brighten, cloud, darken
from edge.demo.truth import Stream, random_stream

RUBBER = (64.0, 82.0, 60.0)
"""BGR grey levels of the belt under neutral light."""

RAIL = 0.055
"""Height of each rail as a fraction of the frame's height."""

LOOP = 2
"""Length of the belt's loop in frames."""

STAINS = 8


class Belt:
    """The belt as the camera sees it, for one frame size (height, width). The same belt for every seed."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._unit = min(size) / 720
        rng = random_stream(0, 1, Stream.LINE)
        self._loop = _draw_loop(rng, size, self._unit)
        self._stains = [_draw_stain(rng, min(size)) for _ in range(STAINS)]

    def view(self, offset: float, out: Pixels) -> None:
        """Copy the visible window of the belt into `out` `uint8 [H, W, 3]`; `offset` 0..1 is the belt's position."""
        length, width = self._loop.shape[1], self.size[1]
        start = int(offset * length) % length
        first = min(width, length - start)
        out[:, :first] = self._loop[:, start : start + first]
        out[:, first:] = self._loop[:, : width - first]

    def soil(self, frame: Pixels, rng: np.random.Generator) -> None:
        """Add harmless dirt, in place: stains, scrapes, crumbs."""
        height, width = frame.shape[:2]
        for _ in range(rng.integers(0, 5)):
            stain = self._stains[rng.integers(len(self._stains))]
            put = darken if rng.random() < 0.6 else brighten
            put(
                frame,
                stain,
                int(rng.integers(width)) - stain.shape[1] // 2,
                int(rng.integers(height)) - stain.shape[0] // 2,
            )
        for _ in range(rng.integers(0, 5)):
            self._scrape(frame, rng)
        for _ in range(rng.integers(2, 18)):
            centre = int(rng.integers(width)), int(rng.integers(height))
            radius = max(1, round(16 * self._unit * rng.uniform(0.8, 3.0)))
            grey = int(rng.integers(25, 170))
            centre_16 = centre[0] * 16, centre[1] * 16
            cv2.circle(frame, centre_16, radius, (grey, grey, grey), cv2.FILLED, cv2.LINE_AA, shift=4)

    def _scrape(self, frame: Pixels, rng: np.random.Generator) -> None:
        height, width = frame.shape[:2]
        start = rng.uniform((0, 0), (width, height))
        angle, length = rng.normal(0, 0.5), rng.uniform(0.04, 0.25) * min(self.size)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        lift = rng.uniform(12, 45)
        colour = [level + lift for level in RUBBER]
        thickness = max(1, round(self._unit * rng.uniform(1, 3)))
        first, last = (int(start[0]), int(start[1])), (int(end[0]), int(end[1]))
        cv2.line(frame, first, last, colour, thickness, cv2.LINE_AA)


@lru_cache(maxsize=2)
def lay_belt(size: tuple[int, int]) -> Belt:
    """The belt for frames of `size` (height, width): drawn once, then cached."""
    return Belt(size)


def _draw_loop(rng: np.random.Generator, size: tuple[int, int], unit: float) -> Pixels:
    """The whole loop, `uint8 [H, LOOP·W, 3]`; its right end continues at its left end."""
    height, length = size[0], LOOP * size[1]
    x, y = np.arange(length, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    threads = max(1, round(length / max(2.0, 7 * unit)))
    phase = 2 * np.pi * threads / length
    weave = 3.0 * np.sin(phase * (x + y)) * np.sin(phase * (x - y))
    grain = _wrapped_noise(rng, (height, length), max(0.5, 1.1 * unit)) * 4.0
    wear = _wrapped_noise(rng, (height, length), 42 * unit) * 4.0
    streaks = cv2.blur(rng.normal(0, 1, (height, 1)).astype(np.float32), (1, max(1, round(5 * unit)))) * 2.5
    relief = np.asarray(weave + grain + wear + streaks, np.float32)
    loop = np.empty((height, length, 3), np.uint8)
    rail = _rail_profile(height)
    for channel, level in enumerate(RUBBER):
        belt = np.where(np.isnan(rail), level + relief, rail + 0.5 * grain)
        loop[..., channel] = np.clip(belt, 0, 255)
    return loop


def _rail_profile(height: int) -> npt.NDArray[np.float32]:
    """Grey levels of the rails from top to bottom, `float32 [H, 1]`; NaN on the belt."""
    profile = np.full((height, 1), np.nan, np.float32)
    rows = round(RAIL * height)
    for row in range(rows):
        depth = row / rows
        level = 104 + 46 * np.exp(-(((depth - 0.35) / 0.18) ** 2)) if depth < 0.82 else 22
        profile[row] = level
        profile[height - 1 - row] = 0.8 * level
    return profile


def _wrapped_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> npt.NDArray[np.float32]:
    """Smooth noise of unit deviation that wraps around horizontally; coarse noise is drawn small, then scaled."""
    step = max(1, int(sigma / 3))
    rows, columns = max(2, shape[0] // step), max(2, shape[1] // step)
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    room = min(columns, int(4 * sigma / step) + 2)
    wide = np.concatenate([noise[:, -room:], noise, noise[:, :room]], axis=1)
    smooth = np.asarray(cv2.GaussianBlur(wide, (0, 0), sigma / step), np.float32)
    smooth /= smooth.std() + 1e-6
    column_step = shape[1] / columns
    map_x = (np.arange(shape[1], dtype=np.float32) + 0.5) / column_step - 0.5 + room
    map_y = (np.arange(shape[0], dtype=np.float32) + 0.5) * rows / shape[0] - 0.5
    if step == 1:
        return np.asarray(smooth[:, room : room + columns], np.float32)
    grid_x, grid_y = np.meshgrid(map_x, map_y)
    return np.asarray(cv2.remap(smooth, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _draw_stain(rng: np.random.Generator, frame_side: int) -> Pixels:
    side = max(3, round(rng.uniform(0.06, 0.22) * frame_side))
    plane = np.rint(rng.uniform(10, 26) * cloud(rng, side)).astype(np.uint8)
    return np.ascontiguousarray(np.dstack([plane, plane, plane]))
