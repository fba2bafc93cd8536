"""Overlap of the map with the true defects: Dice and IoU, at a level of the map chosen on validation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from edge.report.heat import Floats, map_in_frame
from edge.terminal.progress import SILENT, Stage, counted_by
from train.data.photographs import Photograph, read_truth
from train.models import Network
from train.score import scores_and_maps

MOST = 200
"""Photographs of one split whose maps are compared with the ground truth, evenly spaced in the list."""

LEVELS = 64
"""Number of levels tried: quantiles of the map's values on the validation photographs."""

RESAMPLES = 2000
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """P photographs with ground truth at K levels of the map, in pixels of the frame.

    `found` are the pixels that reach the level, `both` those that are true defects too, float64 [P, K]; `true` are the
    defect pixels and `frame` all pixels, float64 [P, 1].
    """

    both: Counts
    found: Counts
    true: Counts
    frame: Counts

    @property
    def dice(self) -> Counts:
        """Dice of each photograph at each level, [P, K]; see `edge.evaluation.metrics.dice`."""
        return 2 * self.both / (self.found + self.true)

    @property
    def iou(self) -> Counts:
        """IoU of each photograph at each level, [P, K]; see `edge.evaluation.metrics.iou`."""
        return self.both / (self.found + self.true - self.both)


class Overlap(BaseModel):
    """Mean Dice and IoU over `photographs` with ground truth, at `level`; the interval is that of the Dice.

    `whole` is the Dice of a map that marks the whole frame.
    """

    model_config = ConfigDict(frozen=True)

    level: float
    photographs: int
    dice: float
    low: float
    high: float
    iou: float
    whole: float


def overlaps(
    network: Network,
    contract: LetterboxContract,
    splits: Mapping[str, Sequence[Photograph]],
    stage: Stage = SILENT.begin,
) -> dict[str, Overlap]:
    """Dice and IoU of each split with ground truth, at the level of the map that is best on "val".

    Empty if the network has no map or the validation photographs have no ground truth.
    """
    marked = {split: _marked(network, contract, photographs, stage) for split, photographs in splits.items()}
    if not marked.get("val"):
        return {}
    levels = levels_of(one.cells for one in marked["val"])
    counted = {
        split: coverage(
            (
                (_in_frame(one, contract), one.truth)
                for one in counted_by(stage, f"comparing maps with masks, {split}", members)
            ),
            levels,
        )
        for split, members in marked.items()
        if members
    }
    index = best_level(counted["val"].dice)
    return {
        split: overlap(seen, float(levels[index]), index, _part_names([one.photograph for one in marked[split]]))
        for split, seen in counted.items()
    }


def levels_of(heats: Iterable[Floats]) -> Floats:
    """The levels to try: quantiles of all values, denser towards high values."""
    values = np.concatenate([heat.ravel() for heat in heats])
    return np.unique(np.quantile(values, 1 - np.geomspace(1e-4, 0.9, LEVELS))).astype(np.float32)


def coverage(pairs: Iterable[tuple[Floats, Frame]], levels: Floats) -> Coverage:
    """Count pixels of maps in frame coordinates against their truths (uint8, above 127 is defect) at every level."""
    rows = [_pixels(heat, truth > 127, levels) for heat, truth in pairs]
    both, found = (np.array([row[index] for row in rows], np.float64) for index in (0, 1))
    true, frame = (np.array([[row[index]] for row in rows], np.float64) for index in (2, 3))
    return Coverage(both, found, true, frame)


def best_level(dice: Counts) -> int:
    """Index of the level with the highest mean Dice."""
    return int(dice.mean(axis=0).argmax())


def overlap(seen: Coverage, level: float, index: int, parts: tuple[str, ...] | None) -> Overlap:
    """Dice and IoU at the level with this index; the interval by a bootstrap over whole parts."""
    dice = seen.dice[:, index]
    names = np.arange(len(dice)) if parts is None else np.unique(np.asarray(parts), return_inverse=True)[1]
    sums, sizes = np.bincount(names, dice), np.bincount(names)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    iou, whole = float(seen.iou[:, index].mean()), float((2 * seen.true / (seen.frame + seen.true)).mean())
    return Overlap(
        level=level,
        photographs=len(dice),
        dice=float(dice.mean()),
        low=float(low),
        high=float(high),
        iou=iou,
        whole=whole,
    )


@dataclass(frozen=True)
class _Marked:
    """A bad photograph with its ground truth, uint8 [H, W], and the network's map in letterboxed coordinates."""

    photograph: Photograph
    truth: Frame
    cells: Floats


def _marked(
    network: Network, contract: LetterboxContract, photographs: Sequence[Photograph], stage: Stage
) -> list[_Marked]:
    """At most `MOST` photographs with a defect in their truth; none if the network has no map."""
    with_mask = [photograph for photograph in photographs if photograph.is_bad and photograph.mask]
    chosen = with_mask[:: max(1, -(-len(with_mask) // MOST))]
    known = [(photograph, truth) for photograph in chosen if (truth := _truth(photograph)) is not None]
    if not known:
        return []
    advance = stage("maps of photographs with masks", len(known))
    maps = scores_and_maps(network, contract, [photograph for photograph, _ in known], advance)
    return [
        _Marked(photograph, truth, cells)
        for (photograph, truth), (_, cells) in zip(known, maps, strict=True)
        if cells is not None
    ]


def _truth(photograph: Photograph) -> Frame | None:
    """The ground truth; None if it or the photograph is unreadable, their sizes differ, or it is empty."""
    try:
        truth, frame = read_truth(photograph), read_photograph(photograph)
    except DataError:
        return None
    return truth if truth is not None and truth.any() and truth.shape == frame.shape[:2] else None


def _in_frame(marked: _Marked, contract: LetterboxContract) -> Floats:
    return map_in_frame(marked.cells, contract, *marked.truth.shape)


def _part_names(photographs: Sequence[Photograph]) -> tuple[str, ...] | None:
    names = tuple(photograph.details.get("part", "") for photograph in photographs)
    return names if all(names) else None


def _pixels(heat: Floats, truth: npt.NDArray[np.bool_], levels: Floats) -> tuple[Counts, Counts, int, int]:
    def reaching(values: Floats) -> Counts:
        below = np.searchsorted(np.sort(values), levels, side="left")
        return (values.size - below).astype(np.float64)

    return reaching(heat[truth]), reaching(heat.ravel()), int(truth.sum()), truth.size
