"""The line of codes: grey crops around a printed code, good or with a scratch through the print.

>>> line = CodesLine(seed=0)
>>> photograph = line.render(7)
>>> photograph.frame.shape, photograph.part.code, photograph.part.truth
((120, 273, 3), 'GRR-000007', 'bad')
>>> [str(defect) for defect in photograph.part.defects]
['scratch/strong']
"""

from dataclasses import dataclass

import cv2
import numpy as np

from edge.demo.bold_letters import CHARACTERS
from edge.demo.code_print import Placement, draw_outlines, draw_part_edge, draw_print, place_code
from edge.demo.code_scratch import Scratch, draw_scratch
from edge.demo.fields import Plane, grain, levels, smooth_field
from edge.demo.rendered_line import DemoFrame, RenderedLine
from edge.demo.stamp import Pixels
from edge.demo.truth import DemoPart, Stream, Strength, plan_one_defect, random_stream

STRENGTHS: dict[Strength, float] = {"faint": 0.025, "medium": 0.475, "strong": 0.5}
"""Share of each strength among the bad parts."""

GROUND, GREY_GROUND = (222.0, 246.0), (150.0, 205.0)
INK, FADED_INK = (26.0, 66.0), (92.0, 140.0)
"""Grey levels of the part's surface and of the print."""

GREY_GROUND_RATE, FADED_RATE, SHADE_RATE, BLUR_RATE = 0.14, 0.12, 0.2, 0.15
PART_EDGE_RATE, OUTLINES_RATE = 0.65, 0.6
FIBRE_RATE, NICK_RATE, SPECKLED_RATE, PALE_BAND_RATE = 0.05, 0.05, 0.12, 0.05
"""Shares of the parts, good and bad, that have this; the last four resemble a scratch."""

NOISE_SIGMA = 1.8
"""Deviation of the sensor's noise, grey levels."""


@dataclass
class _Scene:
    """A crop that is being drawn, in grey levels and shares: `ground`, `ink` level, `cover` of the ink 0..1."""

    ground: Plane
    cover: Plane
    ink: float


class CodesLine(RenderedLine):
    """Crops around printed codes, each with its own size and angle; see `RenderedLine`."""

    is_grey = True

    def __init__(self, seed: int = 0, defect_rate: float = 0.2) -> None:
        super().__init__(seed, defect_rate)

    def _plan(self, index: int) -> DemoPart:
        rng = random_stream(self.seed, index, Stream.PLACE)
        text = "".join(rng.choice(list(CHARACTERS), 3 if rng.random() < 0.4 else 4))
        code = f"{text}-{index:06d}"
        return plan_one_defect(self.seed, index, self.defect_rate, code, "scratch", STRENGTHS)

    def photograph(self, part: DemoPart) -> DemoFrame:
        """The photograph of a given part; its code begins with the text that is printed."""
        placement, print_ = self._printed(part)
        rng = random_stream(self.seed, part.index, Stream.PART)
        scene = _draw_scene(placement, print_, rng)
        for scratch in self._scratches(part, placement, print_):
            scene.cover *= 1 - scratch.removed
            scene.ground += 5 * scratch.removed
        _draw_surroundings(scene, placement, random_stream(self.seed, part.index, Stream.BELT))
        picture = scene.ground + (scene.ink - scene.ground) * scene.cover
        grey = _expose(picture, random_stream(self.seed, part.index, Stream.CAMERA))
        return DemoFrame(np.asarray(cv2.merge([grey, grey, grey]), np.uint8), part)

    def mask_of(self, part: DemoPart) -> Pixels:
        """Outline of the scratch of a given part in its photograph: `uint8 [H, W]`, 0 or 255."""
        placement, print_ = self._printed(part)
        mask = np.zeros(placement.shape, np.uint8)
        for scratch in self._scratches(part, placement, print_):
            mask |= scratch.mask
        return mask

    def _printed(self, part: DemoPart) -> tuple[Placement, Pixels]:
        text = part.code.partition("-")[0]
        placement = place_code(text, random_stream(self.seed, part.index, Stream.POSE))
        return placement, draw_print(placement)

    def _scratches(self, part: DemoPart, placement: Placement, print_: Pixels) -> list[Scratch]:
        rng = random_stream(self.seed, part.index, Stream.DEFECT)
        return [draw_scratch(defect.strength, placement, print_, rng) for defect in part.defects]


def _draw_scene(placement: Placement, print_: Pixels, rng: np.random.Generator) -> _Scene:
    """The matt ground and the ink on it, with the unevenness of both."""
    shape = placement.shape
    ground = rng.uniform(*(GREY_GROUND if rng.random() < GREY_GROUND_RATE else GROUND))
    texture = 2.6 * smooth_field(rng, shape, 26) + 1.6 * smooth_field(rng, shape, 3)
    is_faded = rng.random() < FADED_RATE
    ink = min(rng.uniform(*(FADED_INK if is_faded else INK)), ground - 65)
    soft = cv2.GaussianBlur(print_, (0, 0), 1.1).astype(np.float64) / 255
    ragged = smooth_field(rng, shape, 2.2) * (0.13 if is_faded else 0.09)
    cover = np.clip((soft + ragged - 0.5) * 2.4 + 0.5, 0, 1)
    cover *= 1 - np.clip(0.03 + 0.03 * smooth_field(rng, shape, 14), 0, 0.3) * (2 if is_faded else 1)
    scene = _Scene(ground + texture, cover, float(ink))
    _imitate_scratches(scene, placement, rng)
    return scene


def _imitate_scratches(scene: _Scene, placement: Placement, rng: np.random.Generator) -> None:
    """What good parts have, too, and what is no scratch: pinholes, a nick, a pale band, a fibre."""
    for _ in range(int(rng.integers(18, 45) if rng.random() < SPECKLED_RATE else rng.integers(0, 7))):
        _spot(scene.cover, placement, rng, rng.uniform(0.5, 1.3), rng.uniform(0.3, 0.95))
    if rng.random() < NICK_RATE:
        _line(scene.cover, placement, rng, rng.uniform(4, 11), rng.uniform(1.0, 2.4), rng.uniform(0.4, 1.0))
    if rng.random() < PALE_BAND_RATE:
        _line(scene.cover, placement, rng, 400, rng.uniform(16, 34), rng.uniform(0.1, 0.22), blur=6)
    if rng.random() < FIBRE_RATE:
        drawn = np.ones(placement.shape)
        _line(drawn, placement, rng, rng.uniform(40, 130), rng.uniform(1.0, 1.8), rng.uniform(0.3, 0.6))
        scene.ground -= (1 - drawn) * (scene.ground - scene.ink)


def _spot(plane: Plane, placement: Placement, rng: np.random.Generator, radius: float, depth: float) -> None:
    """Make one small round place of a plane lighter by the share `depth`, in place."""
    u, v = rng.uniform(-0.5, 0.5, 2) * (placement.width, placement.height)
    ((x, y),) = np.rint(placement.to_crop(np.array([(u, v)])) * 16).astype(int)
    spot = np.zeros(placement.shape, np.uint8)
    cv2.circle(spot, (int(x), int(y)), round(16 * radius), 255, cv2.FILLED, cv2.LINE_AA, 4)
    left, top, width, height = cv2.boundingRect(spot)
    window = slice(top, top + height), slice(left, left + width)
    plane[window] *= 1 - depth * spot[window] / 255


def _line(
    plane: Plane,
    placement: Placement,
    rng: np.random.Generator,
    length: float,
    breadth: float,
    depth: float,
    blur: float = 0.0,
) -> None:
    """Make a straight line of a plane lighter by the share `depth`, in place; `length` and `breadth` in pixels."""
    centre = rng.uniform(-0.45, 0.45, 2) * (placement.width, placement.height)
    angle = rng.uniform(0, np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = [
        centre + along * length / 2 * end + across * breadth / 2 * side
        for end, side in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    drawn = np.zeros(placement.shape, np.uint8)
    points = np.rint(placement.to_crop(np.array(corners)) * 16).astype(np.int32)
    cv2.fillPoly(drawn, [points], 255, cv2.LINE_AA, 4)
    soft = np.asarray(cv2.GaussianBlur(drawn, (0, 0), blur), np.uint8) if blur else drawn
    plane *= 1 - depth * soft.astype(np.float64) / 255


def _draw_surroundings(scene: _Scene, placement: Placement, rng: np.random.Generator) -> None:
    """Add other print and the dark edge of the part to the ground, in place."""
    if rng.random() < OUTLINES_RATE:
        lines = draw_outlines(placement, rng).astype(np.float64) / 255
        scene.ground -= lines * rng.uniform(22, 95)
    if rng.random() < PART_EDGE_RATE:
        beyond, bevel = (
            cv2.GaussianBlur(plane, (0, 0), 1.6).astype(np.float64) / 255 for plane in draw_part_edge(placement, rng)
        )
        scene.ground *= 1 - bevel * rng.uniform(0.15, 0.5)
        dark = rng.uniform(22, 58) + 1.5 * smooth_field(rng, placement.shape, 5)
        scene.ground += beyond * (dark - scene.ground)


def _expose(picture: Plane, rng: np.random.Generator) -> Pixels:
    """The photograph of a scene in grey levels: uneven light, blur, noise; `uint8 [H, W]`."""
    rows, columns = picture.shape
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)
    slope_x, slope_y = rng.normal(0, 0.025, 2)
    light = 1 + slope_x * x + slope_y * y
    if rng.random() < SHADE_RATE:
        angle, depth, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.42), rng.uniform(-0.1, 0.7)
        beyond = np.clip((x * np.cos(angle) + y * np.sin(angle) - reach) / 0.7, 0, 1)
        light = light * (1 - depth * beyond * beyond * (3 - 2 * beyond))
    sigma = rng.uniform(1.7, 2.9) if rng.random() < BLUR_RATE else rng.uniform(0.6, 1.1)
    seen = cv2.GaussianBlur(levels(picture * light), (0, 0), sigma).astype(np.float64)
    return levels(seen + grain(rng, picture.shape, NOISE_SIGMA))
