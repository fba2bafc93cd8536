"""Bold sans-serif capitals and digits as polygons, for a code that is printed by a plate or a pad.

A font file of the system, or a font of OpenCV, would differ between machines. Lengths are in cap heights, x to the
right from the left side of the letter and y down from its top.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.stamp import Pixels

Points = npt.NDArray[np.float64]
Contours = tuple[Points, ...]

STEM, BAR = 0.245, 0.19
"""Thickness of upright and of level strokes."""

ROUNDNESS = 2.5
"""Exponent of the superellipse of round strokes; 2 is an ellipse."""

GAP = 0.10
"""Distance between two letters."""

_SUBPIXEL_BITS = 4


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _shape(*corners: tuple[float, float]) -> Points:
    return np.array(corners)


def _ring(centre: tuple[float, float], reach: tuple[float, float], start: int, end: int) -> Points:
    """A round stroke from angle `start` to `end`, degrees, from the right by way of the bottom; `reach` is outside."""
    angle = np.radians(np.linspace(start, end, max(8, abs(end - start) // 9)))
    cosine, sine = np.cos(angle), np.sin(angle)
    round_x = np.sign(cosine) * np.abs(cosine) ** (2 / ROUNDNESS)
    round_y = np.sign(sine) * np.abs(sine) ** (2 / ROUNDNESS)
    outer = np.stack([round_x * reach[0], round_y * reach[1]], axis=1)
    inner = np.stack([round_x * (reach[0] - STEM), round_y * (reach[1] - BAR)], axis=1)
    return np.concatenate([outer, inner[::-1]]) + centre


def _mirrored(width: float, points: Points) -> Points:
    return np.array([width, 0.0]) + points * (-1.0, 1.0)


def _turned(width: float, contours: Contours) -> Contours:
    return tuple(np.array([width, 1.0]) - points for points in contours)


def _stem(height: float = 1.0) -> Points:
    return _box(0, 0, STEM, height)


_SIX: Contours = (_ring((0.38, 0.67), (0.38, 0.33), 0, 360), _ring((0.38, 0.5), (0.38, 0.5), 90, 318))
_LETTER_P: Contours = (
    _stem(),
    _ring((0.37, 0.315), (0.38, 0.315), -90, 90),
    _box(0.2, 0, 0.4, BAR),
    _box(0.2, 0.42, 0.4, 0.63),
)
_LETTER_C = _ring((0.4, 0.5), (0.4, 0.5), 42, 318)
_LEG = _shape((0, 0), (0.29, 0), (0.54, 1), (0.28, 1))
_FORK = _shape((0, 0), (0.31, 0), (0.545, 0.5), (0.545, 0.6), (0.275, 0.6))
_VALLEY = _shape((0, 0), (0.3, 0), (0.56, 0.78), (0.56, 0.98), (0.4, 0.98))
_DOWNHILL = _shape((0, 0), (0.31, 0), (0.8, 1), (0.49, 1))

_LETTERS: dict[str, tuple[float, Contours]] = {
    "0": (0.76, (_ring((0.38, 0.5), (0.38, 0.5), 0, 360),)),
    "1": (0.48, (_shape((0.24, 0), (0.48, 0), (0.48, 1), (0.21, 1), (0.21, 0.33), (0, 0.42), (0, 0.19)),)),
    "2": (
        0.74,
        (
            _ring((0.37, 0.31), (0.37, 0.31), 182, 375),
            _shape((0.74, 0.31), (0.72, 0.42), (0.36, 0.81), (0, 1), (0, 0.79), (0.45, 0.36)),
            _box(0, 1 - BAR, 0.74, 1),
        ),
    ),
    "3": (
        0.74,
        (
            _ring((0.35, 0.3), (0.36, 0.3), -155, 90),
            _ring((0.35, 0.7), (0.39, 0.3), -90, 155),
            _box(0.22, 0.4, 0.4, 0.6),
        ),
    ),
    "4": (
        0.78,
        (
            _box(0.39, 0, 0.39 + STEM, 1),
            _box(0, 0.6, 0.78, 0.6 + BAR),
            _shape((0.39, 0), (0.6, 0), (0.26, 0.62), (0.26, 0.8), (0, 0.8), (0, 0.58)),
        ),
    ),
    "5": (
        0.74,
        (
            _box(0.08, 0, 0.69, BAR),
            _shape((0.08, 0), (0.33, 0), (0.29, 0.5), (0.04, 0.54)),
            _ring((0.35, 0.67), (0.39, 0.33), -140, 155),
        ),
    ),
    "6": (0.76, _SIX),
    "7": (0.7, (_box(0, 0, 0.7, BAR), _shape((0.42, 0.1), (0.7, 0.1), (0.7, 0.21), (0.41, 1), (0.11, 1)))),
    "8": (0.78, (_ring((0.39, 0.29), (0.36, 0.29), 0, 360), _ring((0.39, 0.7), (0.39, 0.3), 0, 360))),
    "9": (0.76, _turned(0.76, _SIX)),
    "A": (
        0.86,
        (
            _shape((0.29, 0), (0.57, 0), (0.27, 1), (0, 1)),
            _shape((0.29, 0), (0.57, 0), (0.86, 1), (0.59, 1)),
            _box(0.2, 0.6, 0.66, 0.79),
        ),
    ),
    "B": (
        0.76,
        (
            _stem(),
            _ring((0.34, 0.29), (0.37, 0.29), -90, 90),
            _ring((0.36, 0.7), (0.4, 0.3), -90, 90),
            _box(0.2, 0, 0.38, BAR),
            _box(0.2, 0.4, 0.38, 0.6),
            _box(0.2, 1 - BAR, 0.38, 1),
        ),
    ),
    "C": (0.76, (_LETTER_C,)),
    "D": (
        0.78,
        (
            _stem(),
            _ring((0.33, 0.5), (0.45, 0.5), -90, 90),
            _box(0.2, 0, 0.36, BAR),
            _box(0.2, 1 - BAR, 0.36, 1),
        ),
    ),
    "E": (0.66, (_stem(), _box(0, 0, 0.66, BAR), _box(0, 0.395, 0.61, 0.605), _box(0, 1 - BAR, 0.66, 1))),
    "F": (0.64, (_stem(), _box(0, 0, 0.64, BAR), _box(0, 0.41, 0.58, 0.62))),
    "G": (0.8, (_LETTER_C, _box(0.44, 0.47, 0.8, 0.66), _box(0.58, 0.47, 0.8, 0.88))),
    "H": (0.78, (_stem(), _box(0.78 - STEM, 0, 0.78, 1), _box(0.2, 0.39, 0.6, 0.61))),
    "J": (0.64, (_box(0.64 - STEM, 0, 0.64, 0.68), _ring((0.32, 0.66), (0.32, 0.34), -4, 172))),
    "K": (
        0.82,
        (
            _stem(),
            _shape((0.49, 0), (0.81, 0), (0.45, 0.44), (0.24, 0.7), (0.24, 0.33)),
            _shape((0.28, 0.46), (0.5, 0.32), (0.84, 1), (0.52, 1)),
        ),
    ),
    "L": (0.64, (_stem(), _box(0, 1 - BAR, 0.64, 1))),
    "M": (
        0.96,
        (
            _box(0, 0, 0.24, 1),
            _box(0.72, 0, 0.96, 1),
            _VALLEY,
            _mirrored(0.96, _VALLEY),
        ),
    ),
    "N": (0.8, (_stem(), _box(0.8 - STEM, 0, 0.8, 1), _shape((0, 0), (0.28, 0), (0.8, 1), (0.52, 1)))),
    "P": (0.75, _LETTER_P),
    "R": (0.79, (*_LETTER_P, _shape((0.29, 0.55), (0.56, 0.5), (0.81, 1), (0.5, 1)))),
    "S": (0.74, (_ring((0.37, 0.3), (0.36, 0.3), 90, 335), _ring((0.37, 0.7), (0.37, 0.3), -90, 155))),
    "T": (0.74, (_box(0, 0, 0.74, BAR), _box(0.37 - STEM / 2, 0, 0.37 + STEM / 2, 1))),
    "U": (
        0.78,
        (_box(0, 0, STEM, 0.63), _box(0.78 - STEM, 0, 0.78, 0.63), _ring((0.39, 0.6), (0.39, 0.4), -4, 184)),
    ),
    "V": (
        0.82,
        (_LEG, _mirrored(0.82, _LEG)),
    ),
    "X": (0.8, (_DOWNHILL, _mirrored(0.8, _DOWNHILL))),
    "Y": (
        0.82,
        (
            _FORK,
            _mirrored(0.82, _FORK),
            _box(0.275, 0.5, 0.545, 1),
        ),
    ),
    "Z": (
        0.72,
        (
            _box(0, 0, 0.71, BAR),
            _box(0, 1 - BAR, 0.72, 1),
            _shape((0.36, 0.1), (0.71, 0.1), (0.71, BAR), (0.35, 0.9), (0, 0.9), (0, 1 - BAR)),
        ),
    ),
}

CHARACTERS = "".join(_LETTERS)
"""The characters that can be drawn: the digits, and the capitals that no digit resembles."""


def letter_width(character: str) -> float:
    """Width of a character (one of `CHARACTERS`) in cap heights. Raises KeyError for another one."""
    return _LETTERS[character][0]


def letter_outlines(character: str) -> Contours:
    """The strokes of a character, each a closed polygon `float64 [n, 2]`, in cap heights; they overlap."""
    return _LETTERS[character][1]


def fill(plane: Pixels, polygons: Contours) -> None:
    """Draw polygons in pixels, with antialiased edges, as 255 into a plane `uint8 [H, W]`, in place."""
    for points in polygons:
        fixed = np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(plane, [fixed], 255, cv2.LINE_AA, _SUBPIXEL_BITS)


def text_width(text: str) -> float:
    """Width of a text, with the gaps between its letters, in cap heights."""
    return sum(letter_width(character) for character in text) + GAP * (len(text) - 1)
