"""The code on a part as an industrial ink-jet printer prints it: dots in a 5×7 matrix.

OpenCV's fonts are not used, because they differ between versions.
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
"""Dots of one character's cell, including the gap after it."""

_DOT = 16
"""Pitch of the dots, in pixels, in the drawing from which the letters are scaled down."""


def glyph(character: str, width: int, height: int) -> Pixels:
    """The ink of a character (0-9, A-H), `uint8 [height, width]`, 0 to 255. Raises KeyError for other characters."""
    drawing = np.zeros((CELL_ROWS * _DOT, CELL_COLUMNS * _DOT), np.uint8)
    for row, dots in enumerate(_MATRIX[character].split()):
        for column, dot in enumerate(dots):
            if dot == "#":
                centre = (column * _DOT + _DOT // 2, row * _DOT + _DOT // 2)
                cv2.circle(drawing, centre, int(0.46 * _DOT), 255, cv2.FILLED)
    return np.asarray(cv2.resize(drawing, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def glyphs(width: int, height: int) -> dict[str, Pixels]:
    """Every character that a code can contain, drawn at one size (pixels of one cell)."""
    return {character: glyph(character, width, height) for character in _MATRIX}
