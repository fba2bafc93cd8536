"""The code on a part, as an industrial ink-jet printer sets it: dots in a 5×7 matrix.

The letters are drawn here, not by OpenCV, whose fonts differ between versions.
"""

import cv2
import numpy as np

from edge.demo.stamp import Pixels

_MATRIX = {
    "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "##### ...#. ..#.. ...#. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. .#... .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ...#. .##..",
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "B": "####. #...# #...# ####. #...# #...# ####.",
    "C": ".###. #...# #.... #.... #.... #...# .###.",
    "D": "###.. #..#. #...# #...# #...# #..#. ###..",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "G": ".###. #...# #.... #.### #...# #...# .####",
    "H": "#...# #...# #...# ##### #...# #...# #...#",
}

CELL_COLUMNS, CELL_ROWS = 6, 7
"""Dots of one character's cell, the gap after it included."""

_DOT = 16
"""Pixels of a dot's pitch in the drawing from which the letters are scaled down."""


def glyph(character: str, width: int, height: int) -> Pixels:
    """The ink of one of 0-9 and A-H, `uint8 [height, width]`, 0 to 255. Raises KeyError for others."""
    drawing = np.zeros((CELL_ROWS * _DOT, CELL_COLUMNS * _DOT), np.uint8)
    for row, dots in enumerate(_MATRIX[character].split()):
        for column, dot in enumerate(dots):
            if dot == "#":
                centre = (column * _DOT + _DOT // 2, row * _DOT + _DOT // 2)
                cv2.circle(drawing, centre, int(0.46 * _DOT), 255, cv2.FILLED)
    return np.asarray(cv2.resize(drawing, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def glyphs(width: int, height: int) -> dict[str, Pixels]:
    """Every character that a code can have, drawn once at one size."""
    return {character: glyph(character, width, height) for character in _MATRIX}
