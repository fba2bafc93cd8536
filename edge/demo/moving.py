"""The demo line as a free-running camera sees it: the belt and its parts travel through the view.

>>> belt = MovingBelt(seed=0, size=(360, 640), rate=30)
>>> view = belt.view(60)
>>> view.frame.shape, [(part.code, round(part.x)) for part in view.parts]
((360, 640, 3), [('A000000', 580)])
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.belt import lay_belt
from edge.demo.camera import mount_camera
from edge.demo.design import draw_design, plate_width
from edge.demo.line import DemoLine
from edge.demo.part import draw_part
from edge.demo.stamp import Pixels, overlap
from edge.demo.truth import DemoPart, Stream, Truth, random_stream

STRIP = 6
"""Length of the soiled belt in frames, after which it repeats."""

LEAD = 0.6
"""Distance of the first part's centre from the view at frame 0, in frame widths: the view begins empty."""

REMEMBERED = 8
"""Number of cached part pictures; no more parts than this are in view."""


@dataclass(frozen=True)
class PartInView:
    """A part that is at least partly visible: its number, its code and truth, and its centre in pixels of the frame."""

    index: int
    code: str
    truth: Truth
    x: float
    y: float


@dataclass(frozen=True)
class View:
    """One frame, `uint8 [H, W, 3]` BGR, and the parts on it, in the order of the line."""

    frame: Pixels
    parts: tuple[PartInView, ...]


@dataclass(frozen=True)
class _Sprite:
    """A drawn part: its `colour`, the visibility `seen` of the belt, both `uint8 [H, w, 3]`; its centre `x`, `y`."""

    colour: Pixels
    seen: Pixels
    x: float
    y: float


class MovingBelt:
    """Parts one after another on a belt that runs from left to right; frames can be rendered in any order.

    `size` is (height, width) in pixels, `speed` in frame widths per second, `rate` in frames per second. Parts lie
    `pitch` frame widths apart, each displaced by up to half of `jitter` times the pitch either way, and are turned and
    shifted as on the demo line. Everything moves by whole pixels, so that a part is drawn once. `parts` is the number
    of parts, None without end.

    Raises ValueError in the cases of DemoLine, for a pitch below one plate, or a speed, rate or jitter out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        size: tuple[int, int] = (720, 1280),
        rate: float = 30.0,
        speed: float = 0.75,
        pitch: float = 1.2,
        jitter: float = 0.1,
        defect_rate: float = 0.2,
        parts: int | None = None,
    ) -> None:
        self._line = DemoLine(seed, size, defect_rate)
        plate = plate_width(size)
        if not 0 < speed < rate:
            raise ValueError(f"speed {speed:g}: must be more than 0 frame widths a second, and less than the rate")
        if not 0 <= jitter < 1 or not pitch * (1 - jitter) * size[1] >= plate:
            raise ValueError(
                f"pitch {pitch:g}, jitter {jitter:g}: parts would lie on each other; a part is {plate / size[1]:.2f} "
                "frame widths long"
            )
        self.seed, self.size, self.rate, self.speed = seed, size, rate, speed
        self.pitch, self.jitter, self.parts = pitch, jitter, parts
        self._design = draw_design(plate)
        self._camera = mount_camera(size)
        self._strip = _soiled_strip(seed, size)
        self._sprites: OrderedDict[int, _Sprite] = OrderedDict()

    def view(self, number: int) -> View:
        """Frame `number`, from 0."""
        travelled = self.travelled(number)
        frame = self._lay_belt(travelled)
        parts = []
        for index in self._in_view(travelled):
            sprite = self._sprite(index)
            left = self.place(index) + travelled - round(sprite.x)
            if _put(frame, sprite, left):
                part = self._line.part(index)
                parts.append(PartInView(index, part.code, part.truth, left + sprite.x, sprite.y))
        self._camera.expose(frame, self.seed, number)
        return View(frame, tuple(parts))

    def part(self, index: int) -> DemoPart:
        """The part with this number, from 0: its code and its truth."""
        return self._line.part(index)

    def alone(self, index: int, number: int) -> Pixels:
        """One part alone in the middle of the frame, `uint8 [H, W, 3]`, in the light of frame `number`: the ideal
        picture for its inspection.
        """
        frame = self._lay_belt(self.size[1] // 2 - self.place(index))
        sprite = self._sprite(index)
        _put(frame, sprite, self.size[1] // 2 - round(sprite.x))
        self._camera.expose(frame, self.seed, number)
        return frame

    def travelled(self, number: int) -> int:
        """Distance that the belt has run at frame `number`, in whole pixels."""
        return round(self.speed * self.size[1] * number / self.rate)

    def place(self, index: int) -> int:
        """Position of a part's centre at frame 0, in pixels from the view's left border; far to the left, negative."""
        aside = random_stream(self.seed, index, Stream.PLACE).uniform(-0.5, 0.5) * self.jitter
        return -round(self.size[1] * (LEAD + self.pitch * (index + aside)))

    def frames(self) -> int | None:
        """Number of frames until the last part has left the view; None if there is no last part."""
        if self.parts is None:
            return None
        way = (LEAD + self.pitch * (self.parts - 1 + self.jitter / 2) + 1.5) * self.size[1]
        return ceil(way * self.rate / (self.speed * self.size[1]))

    def _in_view(self, travelled: int) -> range:
        """Numbers of the parts that may be visible."""
        width, reach = self.size[1], self._design.width
        pitch = self.pitch * width
        last = floor((travelled + reach - LEAD * width) / pitch + 1)
        first = floor((travelled - width - reach - LEAD * width) / pitch - 1)
        end = last + 1 if self.parts is None else min(self.parts, last + 1)
        return range(max(0, first), max(0, end))

    def _lay_belt(self, travelled: int) -> Pixels:
        length, width = self._strip.shape[1], self.size[1]
        start = -travelled % length
        first = min(width, length - start)
        frame = np.empty((*self.size, 3), np.uint8)
        frame[:, :first] = self._strip[:, start : start + first]
        frame[:, first:] = self._strip[:, : width - first]
        return frame

    def _sprite(self, index: int) -> _Sprite:
        if index not in self._sprites:
            while len(self._sprites) >= REMEMBERED:
                self._sprites.popitem(last=False)
            self._sprites[index] = self._draw(index)
        return self._sprites[index]

    def _draw(self, index: int) -> _Sprite:
        """The part, turned and shifted across the belt, drawn over the height of the frame."""
        pixels = draw_part(self._design, self._line.part(index), self.seed).pixels
        pose = self._line.pose(index)
        rows, columns = pixels.shape[:2]
        corners = np.array([[-1, -1, 1], [columns, -1, 1], [-1, rows, 1], [columns, rows, 1]], np.float64) @ pose.T
        (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
        top, bottom = max(0, int(top)), min(self.size[0], int(bottom))
        local: npt.NDArray[np.float64] = pose - np.array([[0, 0, left], [0, 0, top]])
        shape = int(right - left), bottom - top
        landed = cv2.warpAffine(pixels, local, shape, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 255))
        x, y = pose @ np.array([(columns - 1) / 2, (rows - 1) / 2, 1])
        colour = np.asarray(cv2.cvtColor(landed, cv2.COLOR_BGRA2BGR), np.uint8)
        seen = np.asarray(cv2.cvtColor(cv2.extractChannel(landed, 3), cv2.COLOR_GRAY2BGR), np.uint8)
        canvas = _Sprite(colour, seen, float(x - left), float(y))
        return _padded(canvas, top, self.size[0])


def _padded(sprite: _Sprite, top: int, height: int) -> _Sprite:
    """The sprite padded to the height of the frame, with its first row at row `top`."""
    below = height - top - sprite.colour.shape[0]
    colour = np.pad(sprite.colour, ((top, below), (0, 0), (0, 0)))
    seen = np.pad(sprite.seen, ((top, below), (0, 0), (0, 0)), constant_values=255)
    return _Sprite(colour, seen, sprite.x, sprite.y)


def _put(frame: Pixels, sprite: _Sprite, left: int) -> bool:
    """Draw a part onto the belt, in place, from column `left` on. False if no pixel of it is visible."""
    windows = overlap(frame.shape, sprite.colour.shape, left, 0)
    if windows is None:
        return False
    window = frame[windows[0]]
    cv2.multiply(window, sprite.seen[windows[1]], dst=window, scale=1 / 255)
    cv2.add(window, sprite.colour[windows[1]], dst=window)
    return True


def _soiled_strip(seed: int, size: tuple[int, int]) -> Pixels:
    """STRIP frames of soiled belt, `uint8 [H, STRIP·W, 3]`."""
    belt = lay_belt(size)
    strip = np.empty((size[0], STRIP * size[1], 3), np.uint8)
    rng = random_stream(seed, 0, Stream.BELT)
    for turn in range(STRIP):
        belt.view((turn % 2) / 2 + 1e-9, strip[:, turn * size[1] : (turn + 1) * size[1]])
    for _ in range(STRIP):
        belt.soil(strip, rng)
    return strip
