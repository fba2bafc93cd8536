"""The design of the part: a brushed aluminium plate with a turned brass boss, drawn once for each size.

Lengths are in units of the plate's width, x to the right and y down from the plate's centre.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.lettering import CELL_COLUMNS, CELL_ROWS, glyphs
from edge.demo.stamp import Pixels, cloud
from edge.demo.truth import Stream, random_stream

Plane = npt.NDArray[np.float32]

PLATE_HEIGHT = 0.70
CORNER_RADIUS = 0.055
HOLES = ((-0.43, -0.28), (0.43, -0.28), (-0.43, 0.28), (0.43, 0.28))
HOLE_RADIUS, COUNTERSINK_RADIUS = 0.026, 0.044
BOSS_CENTRE, BOSS_RADIUS, BORE_RADIUS = (-0.2, 0.0), 0.19, 0.075
FIELD_CENTRE, FIELD_HALF = (0.237, -0.10), (0.216, 0.062)
SLOT_CENTRES, SLOT_HALF = ((0.237, 0.075), (0.237, 0.17)), (0.17, 0.018)
CODE_LEFT, CODE_CENTRE_Y, CODE_DOT = 0.038, -0.10, 0.0096
MARGIN = 0.05
"""Room around the plate in its picture for the shadow."""

ALUMINIUM = (152.0, 149.0, 146.0)
BRASS = (92.0, 138.0, 158.0)
MATT_WHITE = (186.0, 188.0, 188.0)
"""BGR grey levels under neutral light."""

TEXTURE_MEAN = 24
"""Offset of the brushing texture: the picture is darker by this much, so that one addition brightens and darkens."""

BOSS_VARIANTS, SMUDGES = 8, 6


@dataclass(frozen=True)
class Design:
    """Everything about the part that all parts share.

    Pictures have four channels, `uint8 [h, w, 4]`: blue, green, red, and the visibility of the belt: 0 behind the
    plate, 255 far from it, in between in its shadow. `width` and `height` are those of the plate, `margin` is the room
    around it, in pixels.
    """

    width: int
    height: int
    margin: int
    blank: Pixels
    not_plate: Pixels
    """`uint8 [h, w, 4]`: subtracted last, so that nothing of the part remains outside its outline."""
    surface: Pixels
    """`uint8 [h, w]`: 255 on metal that can be scratched: the plate without its holes."""
    brushing: Pixels
    """`uint8 [h + slack, w + slack, 4]`: a window of it is the texture of a part."""
    reflection: Pixels
    """`uint8 [h, 3 w, 4]`: a window of it is the lamp's reflection on a part."""
    bosses: tuple[Pixels, ...]
    boss_cover: Pixels
    boss_corner: tuple[int, int]
    smudges: tuple[Pixels, ...]
    letters: dict[str, Pixels]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixel coordinates, in the part's picture, of a point in units of the plate's width."""
        return self.margin + (0.5 + x) * self.width, self.margin + self.height / 2 + y * self.width


def plate_width(size: tuple[int, int]) -> int:
    """Width of the plate in pixels on a frame of `size` (height, width)."""
    return max(4, round(0.68 * min(size[1], 1.35 * size[0])))


@lru_cache(maxsize=2)
def draw_design(width: int) -> Design:
    """Draw the part for a plate of `width` pixels: a few tenths of a second once, then cached."""
    rng = random_stream(0, 0, Stream.LINE)
    height = max(3, round(PLATE_HEIGHT * width))
    margin = int(np.ceil(MARGIN * width)) + 1
    x, y = _coordinates(width, height, margin)
    outside = _rounded_box(x, y, (0.0, 0.0), (0.5, PLATE_HEIGHT / 2), CORNER_RADIUS)
    cover = _inside(outside, width)
    bosses, boss_cover, boss_corner = _draw_bosses(rng, width, height, margin)
    blank = np.dstack([*_draw_plate(x, y, outside, width), _draw_visible_belt(cover, width)])
    return Design(
        width=width,
        height=height,
        margin=margin,
        blank=_levels(blank),
        not_plate=_four(_levels(255 * (1 - cover))),
        surface=_levels(255 * cover * _without_holes(x, y, width)),
        brushing=_draw_brushing(rng, x.shape, width),
        reflection=_draw_reflection(x.shape),
        bosses=bosses,
        boss_cover=boss_cover,
        boss_corner=boss_corner,
        smudges=tuple(_draw_smudge(rng, width) for _ in range(SMUDGES)),
        letters=glyphs(max(1, int(CELL_COLUMNS * CODE_DOT * width)), max(1, round(CELL_ROWS * CODE_DOT * width))),
    )


def _coordinates(width: int, height: int, margin: int) -> tuple[Plane, Plane]:
    x = (np.arange(-margin, width + margin, dtype=np.float32) + 0.5) / width - 0.5
    y = (np.arange(-margin, height + margin, dtype=np.float32) + 0.5 - height / 2) / width
    grid_x, grid_y = np.meshgrid(x, y)
    return np.asarray(grid_x, np.float32), np.asarray(grid_y, np.float32)


def _rounded_box(x: Plane, y: Plane, centre: tuple[float, float], half: tuple[float, float], radius: float) -> Plane:
    """Signed distance to a rounded box, negative inside."""
    u, v = np.abs(x - centre[0]) - half[0] + radius, np.abs(y - centre[1]) - half[1] + radius
    distance = np.hypot(np.maximum(u, 0), np.maximum(v, 0)) + np.minimum(np.maximum(u, v), 0) - radius
    return np.asarray(distance, np.float32)


def _circle(x: Plane, y: Plane, centre: tuple[float, float], radius: float) -> Plane:
    return np.asarray(np.hypot(x - centre[0], y - centre[1]) - radius, np.float32)


def _inside(distance: Plane, width: int) -> Plane:
    """Fraction of each pixel that lies inside, 0..1: the antialiased edge of a signed distance."""
    return np.asarray(np.clip(0.5 - distance * width, 0, 1), np.float32)


def _edge_light(distance: Plane) -> Plane:
    """Light on a bevel along an outline, with the lamp at the upper left: -1 in the shade to 1 in the light."""
    if min(distance.shape) < 2:
        return np.zeros_like(distance)
    slope_y, slope_x = np.gradient(distance)
    steepness = np.hypot(slope_x, slope_y) + 1e-9
    return np.asarray(-(0.55 * slope_x + 0.83 * slope_y) / steepness, np.float32)


def _band(distance: Plane, inner: float, outer: float, width: int) -> Plane:
    return _inside(distance - outer, width) * (1 - _inside(distance - inner, width))


def _draw_plate(x: Plane, y: Plane, outside: Plane, width: int) -> list[Plane]:
    """Blue, green and red of the plate without texture, darker by TEXTURE_MEAN."""
    chamfer = _edge_light(outside) * _band(outside, -0.014, 0.0, width) * 42
    field = _rounded_box(x, y, FIELD_CENTRE, FIELD_HALF, 0.012)
    shade = chamfer + _edge_light(field) * _band(field, -0.004, 0.004, width) * -34
    shade += 10 * (-x - y)
    metal = _inside(field, width)
    channels = [
        level + (white - level) * metal + shade - TEXTURE_MEAN
        for level, white in zip(ALUMINIUM, MATT_WHITE, strict=True)
    ]
    for centre in SLOT_CENTRES:
        slot = _rounded_box(x, y, centre, SLOT_HALF, 0.018)
        depth, rim = _inside(slot, width), _edge_light(slot) * _band(slot, -0.006, 0.004, width) * -38
        channels = [channel * (1 - 0.5 * depth) + rim for channel in channels]
    for centre in HOLES:
        hole = _circle(x, y, centre, HOLE_RADIUS)
        cone = _circle(x, y, centre, COUNTERSINK_RADIUS)
        rim = _edge_light(cone) * _band(cone, HOLE_RADIUS - COUNTERSINK_RADIUS, 0.0, width) * -46
        channels = [(channel + rim) * (1 - 0.93 * _inside(hole, width)) for channel in channels]
    return [np.asarray(channel, np.float32) for channel in channels]


def _without_holes(x: Plane, y: Plane, width: int) -> Plane:
    left = np.ones_like(x)
    for centre in HOLES:
        left *= 1 - _inside(_circle(x, y, centre, HOLE_RADIUS), width)
    left *= 1 - _inside(_circle(x, y, BOSS_CENTRE, BORE_RADIUS), width)
    return left


def _draw_visible_belt(cover: Plane, width: int) -> Plane:
    """255 where the belt is fully lit, less in the plate's shadow, 0 behind the plate."""
    shift = 0.012 * width
    moved = cv2.warpAffine(cover, np.array([[1, 0, shift], [0, 1, shift]], np.float64), cover.shape[::-1])
    shadow = cv2.GaussianBlur(moved, (0, 0), max(0.3, 0.011 * width))
    return np.asarray(255 * (1 - cover) * (1 - 0.62 * shadow), np.float32)


def _draw_brushing(rng: np.random.Generator, shape: tuple[int, ...], width: int) -> Pixels:
    """Fine lines along x, as a belt grinder leaves them, around TEXTURE_MEAN."""
    rows, columns = shape[0] + shape[0] // 2 + 8, shape[1] + shape[1] // 2 + 8
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    lines = cv2.blur(grain, (max(1, round(0.14 * width)), 1))
    strokes = cv2.blur(grain[::-1], (max(1, round(0.03 * width)), 1))
    texture = lines / (lines.std() + 1e-6) * 4.2 + strokes / (strokes.std() + 1e-6) * 3.0
    return _four(_levels(TEXTURE_MEAN + np.clip(texture, -20, 24)))


def _draw_reflection(shape: tuple[int, ...]) -> Pixels:
    """The lamp's reflection: one soft slanted band, three pictures wide, dark at both ends."""
    rows, columns = shape[0], 3 * shape[1]
    x, y = np.meshgrid(
        np.linspace(-1.5, 1.5, columns, dtype=np.float32), np.linspace(-0.5, 0.5, rows, dtype=np.float32)
    )
    distance = x + 0.45 * y
    gleam = 26 * np.exp(-((distance / 0.22) ** 2)) + 12 * np.exp(-(((distance - 0.4) / 0.06) ** 2))
    return _four(_levels(gleam))


def _draw_bosses(
    rng: np.random.Generator, width: int, height: int, margin: int
) -> tuple[tuple[Pixels, ...], Pixels, tuple[int, int]]:
    """The turned brass disc with reflections at several angles; its cover; its top left corner in the picture."""
    reach = int(np.ceil((BOSS_RADIUS + 0.012) * width)) + 1
    centre_x = margin + (0.5 + BOSS_CENTRE[0]) * width
    centre_y = margin + height / 2 + BOSS_CENTRE[1] * width
    left, top = int(centre_x) - reach, int(centre_y) - reach
    columns, rows = np.meshgrid(np.arange(2 * reach + 1, dtype=np.float32), np.arange(2 * reach + 1, dtype=np.float32))
    x = np.asarray((columns + 0.5 + left - centre_x) / width, np.float32)
    y = np.asarray((rows + 0.5 + top - centre_y) / width, np.float32)
    cover = _levels(255 * _inside(_circle(x, y, (0, 0), BOSS_RADIUS + 0.01), width))
    return tuple(_draw_boss(rng, x, y, width) for _ in range(BOSS_VARIANTS)), cover, (left, top)


def _draw_boss(rng: np.random.Generator, x: Plane, y: Plane, width: int) -> Pixels:
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    rings = np.interp(radius, np.linspace(0, 0.3, 400), rng.normal(0, 1, 400)).astype(np.float32)
    gleam = np.abs(np.cos(angle - rng.uniform(0, np.pi))) ** 10
    edge = _circle(x, y, (0, 0), BOSS_RADIUS)
    bore = _circle(x, y, (0, 0), BORE_RADIUS)
    shade = 6.0 * rings + 46 * gleam + _edge_light(edge) * _band(edge, -0.012, 0, width) * 40
    shade += _edge_light(bore) * _band(bore, 0.0, 0.01, width) * -40
    groove = 1 - 0.75 * _band(edge, 0.0, 0.009, width)
    hollow = 1 - 0.9 * _inside(bore, width)
    return _levels(np.dstack([*((level + shade) * groove * hollow for level in BRASS), np.zeros_like(x)]))


def _draw_smudge(rng: np.random.Generator, width: int) -> Pixels:
    side = max(3, round(rng.uniform(0.12, 0.34) * width))
    return _four(_levels(16 * cloud(rng, side)))


def _levels(plane: npt.NDArray[np.floating]) -> Pixels:
    return np.ascontiguousarray(np.clip(np.rint(plane), 0, 255).astype(np.uint8))


def _four(plane: Pixels) -> Pixels:
    """The grey plane as blue, green and red, with a fourth channel of zeros: `uint8 [h, w, 4]`."""
    return np.ascontiguousarray(np.dstack([plane, plane, plane, np.zeros_like(plane)]))
