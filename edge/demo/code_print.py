"""The geometry of a printed code in its crop, and what of the part is seen beside it."""

from dataclasses import dataclass

import cv2
import numpy as np

from edge.demo.bold_letters import CHARACTERS, GAP, Contours, Points, fill, letter_outlines, letter_width, text_width
from edge.demo.stamp import Pixels

WIDTHS, HEIGHTS = (240.0, 285.0), (68.0, 98.0)
"""Width of the text and cap height, pixels; a text takes the largest cap height that keeps both."""

MARGIN = (8.0, 13.0)
"""Room around the code in its crop, pixels."""

UPRIGHT_RATE = 0.4
"""Share of the codes that stand upright or upside down, give or take a few degrees; the others at any angle."""


@dataclass(frozen=True)
class Placement:
    """Where a code stands in its crop.

    `height` is the cap height, `width` the width of the text, both in pixels; `angle` is in radians, clockwise. The
    code's own coordinates are pixels from its centre, u along the text and v down.
    """

    text: str
    height: float
    width: float
    angle: float
    centre: tuple[float, float]
    shape: tuple[int, int]

    def to_crop(self, points: Points) -> Points:
        """Points [n, 2] of the code's own coordinates in pixels of the crop."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]) + self.centre)

    def letters(self) -> list[tuple[float, Contours]]:
        """For each letter its left side in the code's own coordinates, and its polygons in pixels of the crop."""
        left, placed = -self.width / 2, []
        for character in self.text:
            outlines = letter_outlines(character)
            corner = (left, -self.height / 2)
            placed.append((left, tuple(self.to_crop(points * self.height + corner) for points in outlines)))
            left += (letter_width(character) + GAP) * self.height
        return placed


def place_code(text: str, rng: np.random.Generator) -> Placement:
    """Choose the size and the angle of a code, and the crop around it."""
    height = float(np.clip(rng.uniform(*WIDTHS) / text_width(text), *HEIGHTS)) * rng.uniform(0.94, 1)
    width = text_width(text) * height
    if rng.random() < UPRIGHT_RATE:
        angle = np.radians(180 * rng.integers(2) + np.clip(rng.normal(0, 2.5), -7, 7))
    else:
        angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = abs(np.cos(angle)), abs(np.sin(angle))
    margin, aside = rng.uniform(*MARGIN), rng.uniform(-3, 3, 2)
    columns = round(width * cosine + height * sine + 2 * margin)
    rows = round(width * sine + height * cosine + 2 * margin)
    centre = (float(columns / 2 + aside[0]), float(rows / 2 + aside[1]))
    return Placement(text, float(height), float(width), float(angle), centre, (rows, columns))


def draw_print(placement: Placement) -> Pixels:
    """The inked area of a code in its crop, `uint8 [H, W]`, 0..255."""
    plane = np.zeros(placement.shape, np.uint8)
    for _, polygons in placement.letters():
        fill(plane, polygons)
    return plane


def draw_part_edge(placement: Placement, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """What lies beyond the edge of the part, and the bevel along it: two planes `uint8 [H, W]`, 0..255.

    The edge is an arc beside the code, mostly below it, and often outside the crop.
    """
    is_below = rng.random() < 0.7
    away = placement.height / 2 + rng.uniform(13, 55) if is_below else placement.width / 2 + rng.uniform(10, 34)
    turn = np.radians(90 * (1 if is_below else 0) + 180 * rng.integers(2) + rng.normal(0, 4))
    radius, bevel = rng.uniform(260, 1600), rng.uniform(3, 11)
    spread = np.linspace(-0.75, 0.75, 80) * min(1.0, 700 / radius)
    return tuple(  # type: ignore[return-value]
        _beyond(placement, turn, away + offset, radius, spread) for offset in (bevel, 0.0)
    )


def _beyond(placement: Placement, turn: float, away: float, radius: float, spread: Points) -> Pixels:
    """The area outside an arc at the distance `away` from the code's centre in the direction `turn`."""
    arc = np.stack([away + radius * (np.cos(spread) - 1), radius * np.sin(spread)], axis=1)
    far = np.array([(arc[-1, 0] + 900, arc[-1, 1] + 900), (arc[0, 0] + 900, arc[0, 1] - 900)])
    outline = np.concatenate([arc, [(arc[-1, 0], arc[-1, 1] + 900)], far, [(arc[0, 0], arc[0, 1] - 900)]])
    cosine, sine = np.cos(turn), np.sin(turn)
    plane = np.zeros(placement.shape, np.uint8)
    fill(plane, (placement.to_crop(outline @ np.array([[cosine, sine], [-sine, cosine]])),))
    return plane


def draw_outlines(placement: Placement, rng: np.random.Generator) -> Pixels:
    """Fine outlines of other print beside the code, `uint8 [H, W]`, 0..255: hollow letters in a row, or a frame."""
    plane = np.zeros(placement.shape, np.uint8)
    side = 1 if rng.random() < 0.5 else -1
    gap = placement.height / 2 + rng.uniform(10, 26)
    if rng.random() < 0.65:
        height = placement.height * rng.uniform(0.4, 1.1)
        left = -placement.width * rng.uniform(0.3, 0.8)
        for character in "".join(rng.choice(list(CHARACTERS), 8)):
            corner = (left, gap if side > 0 else -gap - height)
            fill(plane, tuple(placement.to_crop(points * height + corner) for points in letter_outlines(character)))
            left += (letter_width(character) + 1.6 * GAP) * height
        return np.asarray(plane - cv2.erode(plane, np.ones((3, 3), np.uint8)), np.uint8)
    corners = np.array([(-0.8, 1.0), (0.8, 1.0), (0.8, 2.0), (-0.8, 2.0)]) * (placement.width, side * gap)
    polygon = np.rint(placement.to_crop(corners + rng.normal(0, 6, 2)) * 16).astype(np.int32)
    for inset in range(int(rng.integers(1, 3))):
        cv2.polylines(plane, [polygon + 16 * 7 * inset], True, 255, 1, cv2.LINE_AA, 4)
    return plane
