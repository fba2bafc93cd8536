"""Defects of a part: scratches, chips broken out of its edge, spilt metal, in three strengths."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.design import CORNER_RADIUS, FIELD_CENTRE, FIELD_HALF, PLATE_HEIGHT, Design
from edge.demo.stamp import Pixels
from edge.demo.truth import Defect, Strength

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scratch:
    """Length and breadth in units of the plate's width; `relief` in grey levels of the bright lip."""

    length: tuple[float, float]
    breadth: float
    relief: float


@dataclass(frozen=True)
class Spill:
    """Radius in units of the plate's width; `opacity` of the metal, 0..1; number of droplets around it."""

    radius: tuple[float, float]
    opacity: float
    droplets: tuple[int, int]


SCRATCHES: dict[Strength, Scratch] = {
    "faint": Scratch((0.16, 0.26), 0.0034, 42),
    "medium": Scratch((0.18, 0.34), 0.0046, 58),
    "strong": Scratch((0.24, 0.46), 0.0066, 95),
}
CHIP_RADII: dict[Strength, tuple[float, float]] = {
    "faint": (0.017, 0.021),
    "medium": (0.028, 0.038),
    "strong": (0.050, 0.075),
}
SPILLS: dict[Strength, Spill] = {
    "faint": Spill((0.012, 0.016), 0.65, (0, 0)),
    "medium": Spill((0.018, 0.025), 0.85, (0, 3)),
    "strong": Spill((0.032, 0.048), 1.0, (3, 8)),
}
_SUBPIXEL_BITS = 4


def draw_defect(
    defect: Defect, design: Design, rng: np.random.Generator, pixels: Pixels, not_plate: Pixels, mask: Pixels
) -> None:
    """Draw one defect into a part's picture, its outline and its mask, in place.

    `pixels` and `not_plate` are `uint8 [h, w, 4]`, `mask` `uint8 [h, w]`, as in `Design` and `PartPicture`.
    """
    if defect.kind == "scratch":
        _scratch(SCRATCHES[defect.strength], design, rng, pixels, mask)
    elif defect.kind == "chip":
        _chip(rng.uniform(*CHIP_RADII[defect.strength]), design, rng, pixels, not_plate, mask)
    else:
        _spill(SPILLS[defect.strength], design, rng, pixels, mask)


def _scratch(scratch: Scratch, design: Design, rng: np.random.Generator, pixels: Pixels, mask: Pixels) -> None:
    """A bright lip beside a dark furrow, slightly bent, across the brushing, on metal only."""
    breadth = scratch.breadth * design.width
    thickness = max(1, round(breadth))
    relief = scratch.relief * min(1.0, max(0.5, breadth))
    path = _scratch_path(scratch, design, rng)
    pressure = _pressure(rng, len(path) - 1)
    lip = _stroke(mask.shape, path, pressure, thickness)
    furrow = _stroke(mask.shape, path + _normal(path) * thickness, pressure, thickness)
    scratched = cv2.min(cv2.max(lip, furrow), design.surface)
    rows, columns = _bounds(scratched)
    metal = design.surface[rows, columns].astype(np.float32) / 255
    height = (lip[rows, columns] - 0.55 * furrow[rows, columns].astype(np.float32)) / 255
    _shift_levels(pixels[rows, columns], relief * height * metal)
    cv2.max(mask, _filled(scratched, 64), dst=mask)


def _scratch_path(scratch: Scratch, design: Design, rng: np.random.Generator) -> Points:
    """Points of a bent line, in pixels; of several tries the line with the largest share on metal."""
    tries = [_bent_line(scratch, design, rng) for _ in range(4)]
    return max(tries, key=lambda path: _share_on(design.surface, path))


def _bent_line(scratch: Scratch, design: Design, rng: np.random.Generator) -> Points:
    length = rng.uniform(*scratch.length) * design.width
    angle = rng.uniform(0.2, np.pi - 0.2)
    reach_x, reach_y = 0.5 - scratch.length[0] / 2.5, PLATE_HEIGHT / 2 - scratch.length[0] / 2.5
    centre_x, centre_y = design.place(rng.uniform(-reach_x, reach_x), rng.uniform(-reach_y, reach_y))
    along = np.linspace(-0.5, 0.5, 24)
    sag = np.clip(rng.normal(0, 0.05), -0.1, 0.1) * (0.25 - along**2) * 4
    x, y = along * length, sag * length
    return np.stack(
        [
            centre_x + x * np.cos(angle) - y * np.sin(angle),
            centre_y + x * np.sin(angle) + y * np.cos(angle),
        ],
        axis=1,
    )


def _share_on(surface: Pixels, path: Points) -> float:
    x = np.clip(path[:, 0].astype(int), 0, surface.shape[1] - 1)
    y = np.clip(path[:, 1].astype(int), 0, surface.shape[0] - 1)
    return float(np.mean(surface[y, x] > 127))


def _chip(
    radius: float, design: Design, rng: np.random.Generator, pixels: Pixels, not_plate: Pixels, mask: Pixels
) -> None:
    """A piece broken out of the edge: the belt shows through, behind a rough bright fracture rim."""
    centre = _point_on_outline(design, rng)
    ragged = _ragged_polygon(rng, max(1.2, radius * design.width))
    broken = _polygon(mask.shape, centre + ragged)
    missing = cv2.min(broken, _polygon(mask.shape, centre + 0.74 * ragged))
    rows, columns = _bounds(broken)
    plate = 255 - not_plate[rows, columns, 0]
    lost = cv2.min(broken[rows, columns], plate)
    fracture = rng.normal(128, 42, plate.shape)
    _blend(pixels[rows, columns], fracture, lost)
    window = pixels[rows, columns, 3]
    through = cv2.min(missing[rows, columns], plate)
    np.copyto(window, cv2.max(window, cv2.convertScaleAbs(through, alpha=0.66)))
    for channel in range(3):
        hole = not_plate[rows, columns, channel]
        np.copyto(hole, cv2.max(hole, through))
    np.copyto(mask[rows, columns], cv2.max(mask[rows, columns], _filled(lost)))


def _point_on_outline(design: Design, rng: np.random.Generator) -> Points:
    """A point of the plate's outline, on any side except the corners, in pixels."""
    half_x, half_y = 0.5 - 1.2 * CORNER_RADIUS, PLATE_HEIGHT / 2 - 1.2 * CORNER_RADIUS
    along = rng.uniform(-half_x - half_y, half_x + half_y)
    side = 1.0 if rng.random() < 0.5 else -1.0
    if abs(along) < half_x:
        return np.array(design.place(along, side * PLATE_HEIGHT / 2))
    return np.array(design.place(side * 0.5, (abs(along) - half_x) * 2 - half_y))


def _ragged_polygon(rng: np.random.Generator, radius: float) -> Points:
    corners = 15
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(-0.12, 0.12, corners)
    reach = radius * rng.uniform(0.78, 1.25, corners)
    return np.stack([reach * np.cos(angle) * rng.uniform(0.9, 1.4), reach * np.sin(angle)], axis=1)


def _spill(spill: Spill, design: Design, rng: np.random.Generator, pixels: Pixels, mask: Pixels) -> None:
    """Solidified metal: a bright smooth blob with a highlight and a dark line at its contact with the plate."""
    radius = rng.uniform(*spill.radius) * design.width
    centre = _point_off_the_field(design, rng)
    blob = _blob(rng, mask.shape, centre, max(1.0, radius), int(rng.integers(*spill.droplets, endpoint=True)))
    soft = max(0.4, 0.30 * radius)
    rows, columns = _bounds(blob, room=2 + int(2 * soft))
    drop = blob[rows, columns]
    height = cv2.GaussianBlur(drop.astype(np.float32) / 255, (0, 0), soft)
    slope_x, slope_y = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    light = (0.55 * slope_x + 0.83 * slope_y) * soft
    contact = np.asarray(cv2.dilate(drop, np.ones((3, 3), np.uint8)), np.float32) - drop
    _shift_levels(pixels[rows, columns], -0.26 * contact * spill.opacity)
    _blend(pixels[rows, columns], 216 + 55 * light, np.asarray(drop * spill.opacity, np.uint8))
    np.copyto(mask[rows, columns], cv2.max(mask[rows, columns], _filled(drop)))


def _point_off_the_field(design: Design, rng: np.random.Generator) -> Points:
    """A point on metal, in pixels; not on the white field, where bright metal would be invisible."""
    reach_x, reach_y = 0.5 - 0.06, PLATE_HEIGHT / 2 - 0.06
    for _ in range(64):
        x, y = rng.uniform((-reach_x, -reach_y), (reach_x, reach_y))
        beside_x = abs(x - FIELD_CENTRE[0]) - FIELD_HALF[0]
        beside_y = abs(y - FIELD_CENTRE[1]) - FIELD_HALF[1]
        point = np.array(design.place(x, y))
        if max(beside_x, beside_y) > 0.02 and _share_on(design.surface, point[None]) == 1:
            break
    return point


def _blob(rng: np.random.Generator, shape: tuple[int, ...], centre: Points, radius: float, droplets: int) -> Pixels:
    picture = np.zeros(shape, np.uint8)
    for _ in range(5):
        offset = rng.normal(0, 0.42 * radius, 2)
        _disc(picture, centre + offset, radius * rng.uniform(0.55, 0.85))
    for _ in range(droplets):
        angle, distance = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.6, 3.0)
        _disc(
            picture,
            centre + distance * np.array([np.cos(angle), np.sin(angle)]),
            radius * rng.uniform(0.08, 0.22),
        )
    return picture


def _fixed_point(points: Points) -> npt.NDArray[np.int32]:
    return np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _disc(picture: Pixels, centre: Points, radius: float) -> None:
    x, y = (int(value) for value in _fixed_point(centre))
    reach = max(8, round(radius * (1 << _SUBPIXEL_BITS)))
    cv2.circle(picture, (x, y), reach, 255, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _stroke(shape: tuple[int, ...], path: Points, pressure: Points, thickness: int) -> Pixels:
    """A line through `path`; the brightness (0..1) of each segment is the tool's pressure there."""
    picture = np.zeros(shape, np.uint8)
    corners = [(int(x), int(y)) for x, y in _fixed_point(path)]
    for start, end, level in zip(corners, corners[1:], pressure, strict=False):
        cv2.line(picture, start, end, round(255 * level), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return picture


def _polygon(shape: tuple[int, ...], points: Points) -> Pixels:
    picture = np.zeros(shape, np.uint8)
    cv2.fillPoly(picture, [_fixed_point(points)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return picture


def _normal(path: Points) -> Points:
    """The unit normal of a path's chord, `float64 [2]`."""
    direction = path[-1] - path[0]
    x, y = float(direction[0]), float(direction[1])
    return np.array([-y, x]) / (math.hypot(x, y) + 1e-9)


def _pressure(rng: np.random.Generator, stretches: int) -> Points:
    """The tool's pressure on each segment, 0.3..1: uneven, and lower towards both ends."""
    along = np.linspace(0, 1, stretches)
    uneven = np.interp(along, np.linspace(0, 1, 7), rng.uniform(0.62, 1.0, 7))
    ends = np.clip(0.45 + 5 * np.minimum(along, 1 - along), 0, 1)
    return np.asarray(uneven * ends)


def _bounds(picture: npt.NDArray[np.generic] | cv2.typing.MatLike, room: int = 1) -> tuple[slice, slice]:
    """The bounding window of all non-zero pixels, enlarged by `room` pixels."""
    x, y, width, height = cv2.boundingRect(np.asarray(picture, np.uint8))
    return slice(max(0, y - room), y + height + room), slice(max(0, x - room), x + width + room)


def _filled(coverage: npt.NDArray[np.generic] | cv2.typing.MatLike, enough: int = 128) -> Pixels:
    """0 or 255: 255 where the coverage is at least `enough` (of 255), or at least half of its maximum."""
    plane = np.asarray(coverage, np.uint8)
    peak = int(plane.max(initial=0))
    return np.where(plane >= max(1, min(enough, peak // 2)), 255, 0).astype(np.uint8)


def _shift_levels(window: Pixels, levels: npt.NDArray[np.floating]) -> None:
    """Add grey levels of either sign to blue, green and red, in place."""
    window[..., :3] = np.clip(window[..., :3] + levels[..., None], 0, 255).astype(np.uint8)


def _blend(
    window: Pixels, level: npt.NDArray[np.floating], cover: npt.NDArray[np.generic] | cv2.typing.MatLike
) -> None:
    """Blend a grey picture over blue, green and red with the weights `cover` (0..255), in place."""
    share = np.asarray(cover, np.float32)[..., None] / 255
    painted = window[..., :3] * (1 - share) + level[..., None] * share
    window[..., :3] = np.clip(painted, 0, 255).astype(np.uint8)
