"""What the demonstration line looks like, to features and model, as it is and with a fault that grows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.script import DEFAULT_BUNDLE, opened
from edge.backends import load_from
from edge.bundle.input_distance import InputFeatures
from edge.demo.line import DemoLine, lay_down
from edge.demo.part import PartPicture, draw_part
from edge.demo.rendered_line import DemoFrame
from edge.demo.truth import DemoPart, Stream, random_stream
from edge.errors import DataError

Floats = npt.NDArray[np.float64]

PERIOD = 733
"""Parts after which the light of the demonstration line has wandered up and down once."""

TINT = (0.80, 0.93, 1.04)
"""The other material: what its surface reflects of blue, green and red, compared with the line's aluminium."""

GRAIN = 5.0
"""Standard deviation of its grain, grey levels."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line: the share of `light` that is left, the sigma of a `blur` in pixels, another
    `material`.
    """

    light: float = 1.0
    blur: float = 0.0
    material: bool = False


class FaultyLine(DemoLine):
    """The demonstration line with a fault. The scene is darker or blurred before the camera adds its noise."""

    def __init__(self, fault: Fault, seed: int, size: tuple[int, int], defect_rate: float) -> None:
        super().__init__(seed, size, defect_rate)
        self._fault = fault

    def photograph(self, part: DemoPart) -> DemoFrame:
        """See `RenderedLine.photograph`."""
        frame = np.empty((*self.size, 3), np.uint8)
        rng = random_stream(self.seed, part.index, Stream.BELT)
        self._belt.view(rng.random(), frame)
        self._belt.soil(frame, rng)
        picture = draw_part(self._design, part, self.seed)
        lay_down(
            _of_other_material(picture, part.index) if self._fault.material else picture, self.pose(part.index), frame
        )
        if self._fault.blur:
            cv2.GaussianBlur(frame, (0, 0), self._fault.blur, dst=frame)
        if self._fault.light != 1:
            cv2.convertScaleAbs(frame, dst=frame, alpha=self._fault.light)
        self._camera.expose(frame, self.seed, part.index)
        return DemoFrame(frame, part)


def _of_other_material(picture: PartPicture, index: int) -> PartPicture:
    """The part in another colour and with a coarser grain."""
    pixels = picture.pixels.astype(np.float32)
    grain = np.random.default_rng(index).normal(0, GRAIN, pixels.shape[:2]).astype(np.float32)
    is_part = pixels[..., :3].max(axis=2) > 0
    pixels[..., :3] = pixels[..., :3] * TINT + (cv2.blur(grain, (3, 3)) * 3 * is_part)[..., None]
    return replace(picture, pixels=np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Seen:
    """Parts in order: features, float64 [parts, features], scores, float64 [parts], and the model's threshold."""

    features: Floats
    scores: Floats
    threshold: float

    @property
    def rejects(self) -> npt.NDArray[np.bool_]:
        """Which parts are rejected."""
        return self.scores >= self.threshold


class Eye:
    """Features and scores of the line's frames, with the demonstration bundle."""

    def __init__(self, seed: int, size: tuple[int, int], defect_rate: float) -> None:
        """`size` is (height, width) of the frames."""
        self._seed, self._size, self._defect_rate = seed, size, defect_rate
        bundle = opened(DEFAULT_BUNDLE)
        self._runtime = load_from(bundle, "openvino", 1, size)
        self._threshold = bundle.manifest.artifacts["openvino"].threshold.value
        self._features = InputFeatures(bundle.manifest.letterbox)

    def see(self, fault: Fault, parts: Sequence[int], step: Callable[[], None]) -> Seen:
        """Render and score these parts of the line with a fault."""
        line = FaultyLine(fault, self._seed, self._size, self._defect_rate)
        features, scores = [], []
        for index in parts:
            frame = line.render(index).frame
            features.append(self._features.features(self._features.copy_rows(frame)))
            scores.append(self._runtime.infer(frame).score)
            step()
        return Seen(np.array(features), np.array(scores), self._threshold)


@dataclass(frozen=True)
class Effect:
    """What a fault of one severity does, measured on the same parts with and without it.

    `features` is the mean shift of each feature, float64 [features]; `score` that of the scores of parts that are good
    both times, 0 if there are none; `rejects` and `rejects_before` are shares of parts.
    """

    severity: float
    features: Floats
    score: float
    rejects: float
    rejects_before: float


def effect(severity: float, before: Seen, after: Seen) -> Effect:
    """The effect between the same parts seen before and after. Raises DataError if their numbers differ."""
    if len(before.scores) != len(after.scores):
        raise DataError(f"{len(before.scores)} parts before, {len(after.scores)} after")
    goods = ~(before.rejects | after.rejects)
    return Effect(
        severity,
        (after.features - before.features).mean(axis=0),
        float((after.scores - before.scores)[goods].mean()) if goods.any() else 0.0,
        float(after.rejects.mean()),
        float(before.rejects.mean()),
    )


def effects(
    eye: Eye, base: Seen, faults: Sequence[tuple[float, Fault]], count: int, step: Callable[[], None]
) -> Iterator[Effect]:
    """The effect of each (severity, fault), on `count` of the parts in `base`, evenly spaced."""
    parts = np.linspace(0, len(base.scores), count, endpoint=False).astype(int).tolist()
    before = Seen(base.features[parts], base.scores[parts], base.threshold)
    for severity, fault in faults:
        yield effect(severity, before, eye.see(fault, parts, step))
