"""Placement of text in a drawing, complete and covering as little as possible of the drawing."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

CHARACTER, RISE, FALL = 8.0, 12.0, 4.0
"""Text metrics of the page: largest width of a character, height above and depth below the baseline."""

CLEAR = 6.0
"""Clearance between text and the centre of a dot or a line."""

Point = tuple[float, float]


class Place(NamedTuple):
    """Start (anchor "start") or end ("end") of a text, and its baseline."""

    x: float
    y: float
    anchor: str


def freest(text: str, places: Sequence[Place], drawn: Sequence[Point], within: tuple[float, float]) -> Place:
    """The place at which the text covers the fewest of the points, the first of several.

    `within` are the left and right end of the drawing: places at which the text would be cut off are a last resort.
    """

    def cost(place: Place) -> tuple[bool, int]:
        left, right = _ends(place, text)
        top, bottom = place.y - RISE - CLEAR, place.y + FALL + CLEAR
        hit = sum(left - CLEAR < x < right + CLEAR and top < y < bottom for x, y in drawn)
        return left < within[0] or right > within[1], hit

    return min(places, key=cost)


def covered(text: str, place: Place) -> list[Point]:
    """Points of the drawing that the text covers."""
    left, right = _ends(place, text)
    return along([(left, place.y), (right, place.y)])


def along(corners: Iterable[Point], step: float = 4.0) -> list[Point]:
    """Points on a line through these corners, so dense that no text fits between them."""
    corners, found = list(corners), []
    for (x1, y1), (x2, y2) in pairwise(corners):
        steps = max(1, round(max(abs(x2 - x1), abs(y2 - y1)) / step))
        found += [(x1 + (x2 - x1) * n / steps, y1 + (y2 - y1) * n / steps) for n in range(steps)]
    return found + corners[-1:]


def _ends(place: Place, text: str) -> tuple[float, float]:
    width = CHARACTER * len(text)
    return (place.x, place.x + width) if place.anchor == "start" else (place.x - width, place.x)
