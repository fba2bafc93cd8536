"""What is watched: the features of the pictures, the scores of good parts, and the share of rejects."""

from collections.abc import Callable
from math import expm1
from typing import NamedTuple

from edge.pictures.features import RESOLUTION

BRIGHTNESS, SCORE, REJECTS = "brightness", "score of good parts", "reject rate"

SMALLEST_SHIFT = 0.75
"""A mean that moved by less than this is no alarm, in standard deviations of a part in the reference."""

SMALLEST_LIGHT = 0.06
"""The same of the brightness, as a share of it, if that is less: where parts differ a lot, a lamp still matters."""

SMALLEST_RISE, LEAST_SHARE = 0.5, 0.001
"""The same of the reject rate: a share of the rate in the reference, which counts as the second of these at least."""

LAMP = "check lamp, exposure and aperture"
COLOUR = "check lamp and white balance, and whether another material runs"
LENS = "check focus and lens, and whether another material runs"
SCORES = "look at the last pictures of goods and rejects, and whether another material runs"
REJECTED = "look at the last rejects: are they bad?"


class Feature(NamedTuple):
    """A feature that is watched.

    `resolution` is the smallest difference that matters of one part; `remedy` is what to do when the mean has moved;
    `shown` puts a mean into words.
    """

    resolution: float
    remedy: str
    shown: Callable[[float], str]


def _levels(value: float) -> str:
    return f"{value:.1f} grey levels"


def _log_levels(value: float) -> str:
    return f"{expm1(value):.2f} grey levels"


def _area(value: float) -> str:
    return f"{100 * max(0.0, value) ** 2:.2f} % of the picture"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _picture_feature(name: str) -> Feature:
    resolution = RESOLUTION[name]
    if name == BRIGHTNESS:
        return Feature(resolution, LAMP, _levels)
    if name in ("blue", "red"):
        return Feature(resolution, COLOUR, _levels)
    if name == "colourfulness":
        return Feature(resolution, COLOUR, _log_levels)
    return Feature(resolution, LENS, _area if name == "edges" else _log_levels)


CAUSES = (BRIGHTNESS, "blue", "red", "colourfulness")
"""Features that are named before others that moved about as much: a weaker lamp also lowers contrast and texture, and
another colour of the light also changes the scores."""

LEFT_OUT = ("dark area", "bright area")
"""Features of pictures that are not watched: on most lines only a few parts have such areas, so that their mean jumps;
brightness says the same of a lamp."""

FEATURES: dict[str, Feature] = {
    **{
        name: _picture_feature(name)
        for name in [*CAUSES, *(name for name in RESOLUTION if name not in CAUSES)]
        if name not in LEFT_OUT
    },
    SCORE: Feature(0.0, SCORES, _number),
    REJECTS: Feature(0.0, REJECTED, _share),
}
"""In the order in which they are named."""
