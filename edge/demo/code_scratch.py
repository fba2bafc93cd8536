"""A scratch through a printed code: a thin line that takes the ink off, in three strengths."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.bold_letters import Points
from edge.demo.code_print import Placement
from edge.demo.fields import Plane, smooth_field
from edge.demo.stamp import Pixels
from edge.demo.truth import Strength


@dataclass(frozen=True)
class Kind:
    """`breadth` in pixels; `opacity` is the share of the ink that is gone, 0..1; number of `letters` crossed."""

    breadth: tuple[float, float]
    opacity: tuple[float, float]
    letters: tuple[int, int]


SCRATCHES: dict[Strength, Kind] = {
    "faint": Kind((2.0, 3.5), (0.11, 0.2), (1, 1)),
    "medium": Kind((2.0, 5.0), (0.35, 0.85), (2, 3)),
    "strong": Kind((3.0, 8.0), (0.8, 1.0), (2, 4)),
}

TORN_RATE = 0.35
"""Share of the medium and strong scratches that are torn into flecks."""

_BITS = 4


@dataclass(frozen=True)
class Scratch:
    """`removed` is the share of the ink that is gone, `float64 [H, W]`, 0..1; `mask` is its outline, 0 or 255."""

    removed: Plane
    mask: Pixels


def draw_scratch(strength: Strength, placement: Placement, print_: Pixels, rng: np.random.Generator) -> Scratch:
    """Draw a scratch that crosses the print `uint8 [H, W]`."""
    kind = SCRATCHES[strength]
    breadth, opacity = rng.uniform(*kind.breadth), rng.uniform(*kind.opacity)
    path = max((_path(kind, placement, rng) for _ in range(6)), key=lambda path: _ink_under(print_, path))
    breadths = breadth * _uneven(rng, len(path))
    body = _stroke(placement.shape, path, breadths)
    mask = _stroke(placement.shape, path, breadths + 2)
    removed = body.astype(np.float64) / 255 * opacity * _pressure(rng, placement.shape)
    if strength != "faint" and rng.random() < TORN_RATE:
        torn = smooth_field(rng, placement.shape, rng.uniform(2.5, 5.0)) + rng.uniform(-0.25, 0.45)
        removed *= np.clip(3 * torn + 0.5, 0, 1)
    return Scratch(removed, np.where(mask > 127, 255, 0).astype(np.uint8))


def _path(kind: Kind, placement: Placement, rng: np.random.Generator) -> Points:
    """A slightly bent line across so many letters, in pixels of the crop: `float64 [n, 2]`."""
    letters, height = placement.letters(), placement.height
    count = min(len(letters), int(rng.integers(kind.letters[0], kind.letters[1], endpoint=True)))
    first = int(rng.integers(len(letters) - count + 1))
    left = letters[first][0]
    right = letters[first + count][0] if first + count < len(letters) else placement.width / 2
    if count == 1:
        inside = 0.12 * (right - left)
        u = np.array([left + inside, right - inside])
    else:
        reach = 0.3 * height
        u = np.array([left + rng.uniform(-0.05, 0.5) * reach, right - rng.uniform(-0.05, 0.5) * reach])
    v = rng.uniform(-0.46, 0.46, 2) * height
    along = np.linspace(0, 1, 16)
    sag = rng.normal(0, 0.035) * np.hypot(np.ptp(u), np.ptp(v)) * 4 * along * (1 - along)
    points = np.stack([u[0] + np.ptp(u) * along, v[0] + (v[1] - v[0]) * along + sag], axis=1)
    return placement.to_crop(points)


def _ink_under(print_: Pixels, path: Points) -> float:
    x = np.clip(np.rint(path[:, 0]).astype(int), 0, print_.shape[1] - 1)
    y = np.clip(np.rint(path[:, 1]).astype(int), 0, print_.shape[0] - 1)
    return float(np.mean(print_[y, x] > 127))


def _uneven(rng: np.random.Generator, count: int) -> Points:
    """Breadth at each of `count` points along a scratch as a share of its largest: thinner towards both ends."""
    along = np.linspace(0, 1, count)
    knots = np.array([rng.uniform(0.3, 0.7), *rng.uniform(0.65, 1, 5), rng.uniform(0.3, 0.7)])
    return np.asarray(np.interp(along, np.linspace(0, 1, 7), knots))


def _stroke(shape: tuple[int, int], path: Points, breadths: Points) -> npt.NDArray[np.uint8]:
    """A line with flat ends and a breadth at each point of `path`, pixels: `uint8 [H, W]`, antialiased."""
    step = np.gradient(path, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.hypot(*step.T)[:, None] + 1e-9)
    aside = normal * breadths[:, None] / 2
    outline = np.concatenate([path + aside, (path - aside)[::-1]])
    plane = np.zeros(shape, np.uint8)
    cv2.fillPoly(plane, [np.rint(outline * (1 << _BITS)).astype(np.int32)], 255, cv2.LINE_AA, _BITS)
    return plane


def _pressure(rng: np.random.Generator, shape: tuple[int, int]) -> Plane:
    """How hard the tool pressed at each place, 0.4..1: uneven over some twenty pixels."""
    return np.asarray(np.clip(0.85 + 0.2 * smooth_field(rng, shape, 20), 0.4, 1))
