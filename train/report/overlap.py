"""How well the map covers the true defects: Dice and IoU, at a level of the map chosen on validation."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.report.heat import Floats, Frame

LEVELS = 64
"""How many levels of the map are tried: so many quantiles of its values on the validation photographs."""

RESAMPLES = 2000
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """P photographs with ground truth at K levels of the map, in pixels of the frame.

    `found` reach the level and `both` are true defects besides, float64 [P, K]; `true` are the defects and `frame`
    all pixels, float64 [P, 1].
    """

    both: Counts
    found: Counts
    true: Counts
    frame: Counts

    @property
    def dice(self) -> Counts:
        """Dice of each photograph at each level, [P, K]; see `edge.evaluation.dice`."""
        return 2 * self.both / (self.found + self.true)

    @property
    def iou(self) -> Counts:
        """IoU of each photograph at each level, [P, K]; see `edge.evaluation.iou`."""
        return self.both / (self.found + self.true - self.both)


@dataclass(frozen=True)
class Overlap:
    """Mean Dice and IoU over `photographs` with ground truth, at `level`; the interval is that of the Dice.

    `whole` is the Dice of a map that marks the whole frame.
    """

    level: float
    photographs: int
    dice: float
    low: float
    high: float
    iou: float
    whole: float


def levels_of(heats: Iterable[Floats]) -> Floats:
    """The levels worth trying: quantiles of all values, more of them towards the hot end."""
    values = np.concatenate([heat.ravel() for heat in heats])
    return np.unique(np.quantile(values, 1 - np.geomspace(1e-4, 0.9, LEVELS))).astype(np.float32)


def coverage(pairs: Iterable[tuple[Floats, Frame]], levels: Floats) -> Coverage:
    """Count pixels of maps in frame coordinates against their truths (uint8, above 127 is defect) at every level."""
    rows = [_pixels(heat, truth > 127, levels) for heat, truth in pairs]
    both, found = (np.array([row[index] for row in rows], np.float64) for index in (0, 1))
    true, frame = (np.array([[row[index]] for row in rows], np.float64) for index in (2, 3))
    return Coverage(both, found, true, frame)


def best_level(dice: Counts) -> int:
    """Which of the levels has the highest mean Dice."""
    return int(dice.mean(axis=0).argmax())


def overlap(seen: Coverage, level: float, index: int, parts: tuple[str, ...] | None) -> Overlap:
    """Dice and IoU at the level of that index; the interval by a bootstrap that draws whole parts."""
    dice = seen.dice[:, index]
    names = np.arange(len(dice)) if parts is None else np.unique(np.asarray(parts), return_inverse=True)[1]
    sums, sizes = np.bincount(names, dice), np.bincount(names)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    iou, whole = float(seen.iou[:, index].mean()), float((2 * seen.true / (seen.frame + seen.true)).mean())
    return Overlap(level, len(dice), float(dice.mean()), float(low), float(high), iou, whole)


def _pixels(heat: Floats, truth: npt.NDArray[np.bool_], levels: Floats) -> tuple[Counts, Counts, int, int]:
    def reaching(values: Floats) -> Counts:
        below = np.searchsorted(np.sort(values), levels, side="left")
        return (values.size - below).astype(np.float64)

    return reaching(heat[truth]), reaching(heat.ravel()), int(truth.sum()), truth.size
