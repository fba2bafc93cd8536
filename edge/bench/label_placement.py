"""Where words of a drawing stand so that they are whole and lie on as little as possible of what is drawn."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

CHARACTER, RISE, FALL = 8.0, 12.0, 4.0
"""Of a text of the page: how wide a character is at the most, how far it reaches above its line and below."""

CLEAR = 6.0
"""Between words and the middle of a dot or a line."""

Point = tuple[float, float]


class Place(NamedTuple):
    """Where words begin (anchor "start") or end ("end"), and on which line."""

    x: float
    y: float
    anchor: str


def freest(text: str, places: Sequence[Place], drawn: Sequence[Point], within: tuple[float, float]) -> Place:
    """Of these places the one at which the words lie on the fewest of the points, the first of several.

    `within` are the left and the right end of the drawing: a place at which words would be cut is taken last.
    """

    def cost(place: Place) -> tuple[bool, int]:
        left, right = _ends(place, text)
        top, bottom = place.y - RISE - CLEAR, place.y + FALL + CLEAR
        hit = sum(left - CLEAR < x < right + CLEAR and top < y < bottom for x, y in drawn)
        return left < within[0] or right > within[1], hit

    return min(places, key=cost)


def covered(text: str, place: Place) -> list[Point]:
    """Points of the place that these words take."""
    left, right = _ends(place, text)
    return along([(left, place.y), (right, place.y)])


def along(corners: Iterable[Point], step: float = 4.0) -> list[Point]:
    """Points on a line through these corners, so close to each other that no words fit between them."""
    corners, found = list(corners), []
    for (x1, y1), (x2, y2) in pairwise(corners):
        steps = max(1, round(max(abs(x2 - x1), abs(y2 - y1)) / step))
        found += [(x1 + (x2 - x1) * n / steps, y1 + (y2 - y1) * n / steps) for n in range(steps)]
    return found + corners[-1:]


def _ends(place: Place, text: str) -> tuple[float, float]:
    width = CHARACTER * len(text)
    return (place.x, place.x + width) if place.anchor == "start" else (place.x - width, place.x)
