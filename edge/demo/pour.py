"""The line of pours: small colour crops of a mould's mouth while metal is poured, good or with a splash.

>>> line = PourLine(seed=0)
>>> photograph = line.render(2)
>>> photograph.frame.shape, photograph.part.code, photograph.part.truth
((26, 47, 3), '000002', 'bad')
>>> [str(defect) for defect in photograph.part.defects]
['spill/medium']
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.fields import Plane, grain, levels, smooth_field
from edge.demo.pour_splash import Splash, draw_splash
from edge.demo.rendered_line import DemoFrame, RenderedLine
from edge.demo.stamp import Pixels
from edge.demo.supersampling import SCALE, band, rough_ellipse, shrunk
from edge.demo.truth import DemoPart, Stream, Strength, plan_one_defect, random_stream

STRENGTHS: dict[Strength, float] = {"faint": 0.025, "medium": 0.475, "strong": 0.5}
"""Share of each strength among the spills."""

WIDTHS, HEIGHTS = (45, 53), (23, 28)
"""Sides of a crop, pixels; both ends occur."""

MEAN_BGR = np.array([0.4621, 0.5342, 0.4234])
DEVIATION_BGR = np.array([0.0466, 0.0505, 0.0452])
"""Mean and deviation of each channel over the training photographs, of values 0..1, as the experiments had them."""

BASE_BGR, AMPLITUDE_BGR = np.array([0.4575, 0.5302, 0.4196]), np.array([0.0391, 0.0459, 0.0374])
"""Level of the ground and what one unit of a scene's brightness adds to it, so that the photographs, after the JPEG,
have `MEAN_BGR` and `DEVIATION_BGR`."""

NOZZLE_RATE, GLINTS_RATE, SKIN_RATE = 0.25, 0.2, 0.3
"""Shares of the parts, good and bad, with a nozzle's shadow, with small reflections, with a paler skin on the metal."""

ROUGHNESS = 0.55
"""How far the rim wanders from an ellipse, pixels."""

NOISE_SIGMA = 0.016
"""Deviation of the sensor's noise before the JPEG, of values 0..1."""

QUALITY = (68, 90)
"""JPEG quality of the camera's pictures."""

_BLOCK = 16
"""Side of a block of a JPEG with halved colour, pixels: crops are not aligned with the blocks."""


@dataclass(frozen=True)
class Light:
    """The light on a scene: gain and lift of each channel (BGR, of values 0..1), and how it falls off to one side."""

    gain: npt.NDArray[np.float64]
    lift: npt.NDArray[np.float64]
    slope: float


def light_of_shift(shift: float) -> Light:
    """The light of a part of the data: none of a shift is the light of the training photographs."""
    gain = 1 + shift * np.array([0.03, 0.06, 0.08])
    lift = shift * np.array([0.004, 0.010, 0.024])
    return Light(gain, lift, 0.25 * shift)


class PourLine(RenderedLine):
    """Crops of a mould's mouth, each with its own size; see `RenderedLine`.

    `shift` is how far the light differs from that of the training photographs: 0 not at all, 1 as in the test part of
    the experiments. Raises ValueError also for a shift outside 0..3.
    """

    suffix = ".png"

    def __init__(self, seed: int = 0, defect_rate: float = 0.2, shift: float = 0.0) -> None:
        super().__init__(seed, defect_rate)
        if not 0.0 <= shift <= 3.0:
            raise ValueError(f"shift {shift}: must be 0 to 3")
        self.shift = shift
        self._light = light_of_shift(shift)

    def _plan(self, index: int) -> DemoPart:
        return plan_one_defect(self.seed, index, self.defect_rate, f"{index:06d}", "spill", STRENGTHS)

    def photograph(self, part: DemoPart) -> DemoFrame:
        """The photograph of a given part."""
        mouth = _choose_mouth(random_stream(self.seed, part.index, Stream.POSE))
        scene = _draw_scene(mouth, random_stream(self.seed, part.index, Stream.PART))
        picture = BASE_BGR + AMPLITUDE_BGR * scene[..., None]
        picture += 0.004 * _tints(mouth.shape, random_stream(self.seed, part.index, Stream.BELT))
        for splash in self._splashes(part, mouth):
            picture += splash.cover[..., None] * (splash.colour - picture)
        frame = _expose(picture, self._light, random_stream(self.seed, part.index, Stream.CAMERA))
        return DemoFrame(frame, part)

    def mask_of(self, part: DemoPart) -> Pixels:
        """Mask of the splash of a given part in its photograph: `uint8 [H, W]`, 0 or 255."""
        mouth = _choose_mouth(random_stream(self.seed, part.index, Stream.POSE))
        mask = np.zeros(mouth.shape, np.uint8)
        for splash in self._splashes(part, mouth):
            mask |= splash.mask
        return mask

    def _splashes(self, part: DemoPart, mouth: "Mouth") -> list[Splash]:
        rng = random_stream(self.seed, part.index, Stream.DEFECT)
        rim = mouth.centre, ((mouth.outer[0] + mouth.inner[0]) / 2, (mouth.outer[1] + mouth.inner[1]) / 2)
        return [draw_splash(defect.strength, mouth.shape, *rim, rng) for defect in part.defects]


@dataclass(frozen=True)
class Mouth:
    """The mould's mouth in its crop: an elliptical rim between `outer` and `inner` half axes (x, y), in pixels."""

    shape: tuple[int, int]
    centre: tuple[float, float]
    outer: tuple[float, float]
    inner: tuple[float, float]


def _choose_mouth(rng: np.random.Generator) -> Mouth:
    columns = int(rng.integers(*WIDTHS, endpoint=True))
    rows = int(rng.integers(*HEIGHTS, endpoint=True))
    centre = columns / 2 + rng.normal(0, 1.5), rows * rng.uniform(0.86, 1.02)
    outer = columns * rng.uniform(0.40, 0.49), rows * rng.uniform(0.64, 0.83)
    thick = rng.uniform(2.8, 4.2)
    return Mouth((rows, columns), centre, outer, (outer[0] - thick * 1.25, outer[1] - thick))


def _draw_scene(mouth: Mouth, rng: np.random.Generator) -> Plane:
    """Brightness around 0 in units of `AMPLITUDE_BGR`, `float64 [H, W]`."""
    shape = mouth.shape
    inside = shrunk(rough_ellipse(shape, mouth.centre, mouth.inner, ROUGHNESS, rng))
    rim = np.clip(shrunk(rough_ellipse(shape, mouth.centre, mouth.outer, ROUGHNESS, rng)) - inside, 0, 1)
    lip = np.clip(shrunk(band(shape, mouth.centre, (mouth.outer[0] + 1.6, mouth.outer[1] + 1.4))) - rim - inside, 0, 1)
    down = np.linspace(-1, 1, shape[0])[:, None]
    scene = (
        0.15
        + rng.normal(0, 0.12)
        - 0.25 * down
        + 0.2 * smooth_field(rng, shape, 12)
        + 0.12 * smooth_field(rng, shape, 2.5)
    )
    scene = scene + lip * rng.uniform(0.2, 0.9)
    scene += rim * (rng.uniform(-2.5, -1.9) + 0.45 * smooth_field(rng, shape, 4) - scene)
    surface = (
        rng.uniform(0.55, 1.0) + 0.3 * down + 0.34 * smooth_field(rng, shape, 3) + 0.22 * smooth_field(rng, shape, 9)
    )
    scene += inside * (surface - scene)
    if rng.random() < SKIN_RATE:
        scene += inside * np.clip(smooth_field(rng, shape, 7) - 0.5, 0, 1) * rng.uniform(0.4, 1.1)
    if rng.random() < GLINTS_RATE:
        _add_glints(scene, rng)
    if rng.random() < NOZZLE_RATE:
        _hang_nozzle(scene, mouth, rng)
    contrast = np.exp(rng.normal(0, 0.09))
    return np.asarray(contrast * scene + rng.normal(0, 0.33))


def _add_glints(scene: Plane, rng: np.random.Generator) -> None:
    """Add small reflections, which resemble a faint splash, in place."""
    shape = scene.shape[0], scene.shape[1]
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform((2, shape[0] * 0.3), (shape[1] - 2, shape[0] - 1))
        spot = band(shape, (x, y), (rng.uniform(0.4, 1.2), rng.uniform(0.3, 0.7)))
        scene += shrunk(spot) * rng.uniform(1.0, 3.2)


def _hang_nozzle(scene: Plane, mouth: Mouth, rng: np.random.Generator) -> None:
    """Darken what a nozzle's blurred shadow covers, in place: a blunt wedge from above."""
    rows, columns = mouth.shape
    middle, half = mouth.centre[0] + rng.normal(0, 5), rng.uniform(2.5, 5.5)
    tip = rows * rng.uniform(0.2, 0.62)
    corners = [
        (middle - half * 1.3, -4),
        (middle + half * 1.3, -4),
        (middle + half * 0.7, tip),
        (middle - half * 0.7, tip),
    ]
    shadow = np.zeros((rows * SCALE, columns * SCALE), np.uint8)
    cv2.fillPoly(shadow, [np.rint(np.array(corners) * SCALE * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(shadow, (0, 0), SCALE * rng.uniform(0.7, 1.4))
    scene -= shrunk(np.asarray(soft, np.uint8)) * rng.uniform(0.6, 1.5)


def _tints(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Mottling that differs between the channels, deviation about 1: `float64 [H, W, 3]`."""
    return np.stack([smooth_field(rng, shape, 5) for _ in range(3)], axis=2)


def _expose(picture: Plane, light: Light, rng: np.random.Generator) -> Pixels:
    """The photograph of a scene `float64 [H, W, 3]`, values 0..1: light, lens, noise, JPEG; `uint8 [H, W, 3]`."""
    rows, columns = picture.shape[:2]
    across = np.linspace(-1, 1, columns)[None, :, None] * (1 if rng.random() < 0.5 else -1)
    lit = (picture - MEAN_BGR) * light.gain + MEAN_BGR + light.lift + light.slope * 0.05 * across
    seen = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.45, 0.75))
    noisy = levels(255 * (seen + grain(rng, seen.shape, NOISE_SIGMA)))
    above, left = rng.integers(_BLOCK, size=2)
    whole = cv2.copyMakeBorder(noisy, int(above), 0, int(left), 0, cv2.BORDER_REFLECT_101)
    _, stored = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITY, endpoint=True))])
    decoded = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[above : above + rows, left : left + columns])
