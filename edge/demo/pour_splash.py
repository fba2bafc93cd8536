"""A splash of metal over a mould's rim: bright, flecked, with white, yellow and blue-green highlights."""

from dataclasses import dataclass

import numpy as np

from edge.demo.fields import Plane, smooth_field
from edge.demo.stamp import Pixels
from edge.demo.supersampling import band, shrunk
from edge.demo.truth import Strength

WHITE, YELLOW, TEAL = (0.97, 0.98, 0.97), (0.50, 0.90, 0.93), (0.80, 0.86, 0.46)
"""BGR of the highlights, values 0..1; metal that is already dull is `DULL`."""

DULL = (0.56, 0.64, 0.55)


@dataclass(frozen=True)
class Kind:
    """`body` is the radius of the splash in pixels, `opacity` that of its dull metal, `flecks` the number of
    highlights, `fleck` their radius in pixels, and `glow` their largest opacity.
    """

    body: tuple[float, float]
    opacity: tuple[float, float]
    flecks: tuple[int, int]
    fleck: tuple[float, float]
    glow: tuple[float, float]


SPLASHES: dict[Strength, Kind] = {
    "faint": Kind((2.0, 4.0), (0.15, 0.4), (2, 5), (0.35, 0.75), (0.2, 0.45)),
    "medium": Kind((4.5, 8.5), (0.4, 0.8), (11, 22), (0.5, 1.1), (0.5, 0.95)),
    "strong": Kind((6.0, 12.0), (0.5, 0.95), (18, 34), (0.5, 1.3), (0.6, 1.0)),
}

MASKED = 0.12
"""Smallest coverage by the splash of a pixel of its mask."""


@dataclass(frozen=True)
class Splash:
    """`cover` is the share of each pixel that the splash covers, `float64 [H, W]`; `colour` `float64 [H, W, 3]` BGR."""

    cover: Plane
    colour: Plane
    mask: Pixels


def draw_splash(
    strength: Strength,
    shape: tuple[int, int],
    centre: tuple[float, float],
    rim: tuple[float, float],
    rng: np.random.Generator,
) -> Splash:
    """Draw a splash across the rim, an ellipse with the half axes `rim` (x, y) around `centre`, in pixels."""
    kind = SPLASHES[strength]
    angle = rng.uniform(np.radians(200), np.radians(340))
    reach = rng.uniform(0.6, 1.05)
    x, y = centre[0] + reach * rim[0] * np.cos(angle), centre[1] + reach * rim[1] * np.sin(angle)
    body = rng.uniform(*kind.body)
    cover = np.zeros(shape)
    colour = np.broadcast_to(np.array(DULL), (*shape, 3)).copy()
    for _ in range(4):
        aside = rng.normal(0, 0.45 * body, 2) * (1, 0.6)
        blot = band(shape, (x + aside[0], y + aside[1]), (body * rng.uniform(0.4, 0.8), body * rng.uniform(0.25, 0.5)))
        cover = np.maximum(cover, shrunk(blot))
    cover *= rng.uniform(*kind.opacity) * np.clip(0.8 + 0.35 * smooth_field(rng, shape, 2.5), 0.2, 1)
    for _ in range(int(rng.integers(*kind.flecks, endpoint=True))):
        _add_fleck(cover, colour, kind, (x, y), body, rng)
    mask = np.where(cover >= min(MASKED, 0.5 * float(cover.max())), 255, 0).astype(np.uint8)
    return Splash(cover, colour, mask)


def _add_fleck(
    cover: Plane, colour: Plane, kind: Kind, centre: tuple[float, float], body: float, rng: np.random.Generator
) -> None:
    """Add one highlight, drawn out away from the splash's centre, in place."""
    shape = cover.shape[0], cover.shape[1]
    direction, distance = rng.uniform(0, 2 * np.pi), body * abs(rng.normal(0, 0.75))
    place = centre[0] + distance * np.cos(direction), centre[1] + 0.6 * distance * np.sin(direction)
    size = rng.uniform(*kind.fleck)
    drawn = shrunk(band(shape, place, (size * rng.uniform(1, 2.6), size), float(np.degrees(direction))))
    share = drawn * rng.uniform(*kind.glow)
    tint = np.array((WHITE, YELLOW, TEAL)[rng.choice(3, p=(0.5, 0.25, 0.25))])
    total = cover + share * (1 - cover)
    colour += (share / np.maximum(total, 1e-6))[..., None] * (tint - colour)
    cover[:] = total
