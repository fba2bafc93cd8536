"""Overlap of a network's map with the masks, in two conventions: over bad photographs, and over all photographs."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.results.beside import Measurement
from edge.frame import Frame
from edge.photographs.photograph import Photograph, read_photograph, read_truth
from edge.report.heat import Floats, map_in_frame
from edge.terminal.progress import SILENT, Stage
from train.report.overlap import Counts, Coverage, best_level, coverage, levels_of
from train.run import Run
from train.score import scores_and_maps

WHAT = "masks"


class Convention(Measurement):
    """Mean Dice and IoU at the `level` of the map that has the highest mean Dice on validation."""

    level: float
    dice: float
    iou: float


class MaskFigures(Measurement):
    """The overlap on test photographs.

    `plain` is over the bad ones. `counted` is over all of them, and a photograph without a defect whose map reaches the
    level nowhere counts 1. `nothing` is the Dice of `counted` for a map that reaches its level nowhere.
    """

    bad: int
    photographs: int
    plain: Convention
    counted: Convention
    nothing: float


def measure_masks(run: Run, stage: Stage = SILENT.begin) -> MaskFigures | None:
    """Compare the maps of all validation and test photographs with their masks.

    A bad photograph without a mask is left out. None if the network has no map, or one of the splits has no masks.
    Raises DataError if a photograph or a mask cannot be read.
    """
    splits = {split: [one for one in run.photographs(split) if not one.is_bad or one.mask] for split in ("val", "test")}
    if not all(any(one.is_bad for one in members) for members in splits.values()):
        return None
    few = [one for one in splits["val"] if one.is_bad]
    advance = stage("levels of the map", len(few))
    found = [cells for _, cells in scores_and_maps(run.network, run.contract, few, advance) if cells is not None]
    if not found:
        return None
    levels = levels_of(found)
    seen = {split: coverage(_pairs(run, members, split, stage), levels) for split, members in splits.items()}
    bad = {split: np.array([one.is_bad for one in members]) for split, members in splits.items()}
    of_bad = best_level(counted_dice(seen["val"])[bad["val"]])
    of_all = best_level(counted_dice(seen["val"]))
    test, is_bad = seen["test"], bad["test"]
    return MaskFigures(
        bad=int(is_bad.sum()),
        photographs=len(is_bad),
        plain=Convention(
            level=float(levels[of_bad]),
            dice=float(counted_dice(test)[is_bad, of_bad].mean()),
            iou=float(counted_iou(test)[is_bad, of_bad].mean()),
        ),
        counted=Convention(
            level=float(levels[of_all]),
            dice=float(counted_dice(test)[:, of_all].mean()),
            iou=float(counted_iou(test)[:, of_all].mean()),
        ),
        nothing=float((test.true[:, 0] == 0).mean()),
    )


def counted_dice(seen: Coverage) -> Counts:
    """Dice of each photograph at each level, [P, K]; 1 where neither a pixel is found nor one is defect."""
    return _or_one(2 * seen.both, seen.found + seen.true)


def counted_iou(seen: Coverage) -> Counts:
    """IoU of each photograph at each level, [P, K]; 1 where neither a pixel is found nor one is defect."""
    return _or_one(seen.both, seen.found + seen.true - seen.both)


def _or_one(above: Counts, below: Counts) -> Counts:
    return np.divide(above, below, out=np.ones_like(above), where=below > 0)


def _pairs(run: Run, photographs: Sequence[Photograph], split: str, stage: Stage) -> Iterator[tuple[Floats, Frame]]:
    """The map of each photograph in frame coordinates, and its truth, which is empty for a good one."""
    advance = stage(f"comparing maps with masks, {split}", len(photographs))
    maps = scores_and_maps(run.network, run.contract, photographs, advance)
    for photograph, (_, cells) in zip(photographs, maps, strict=True):
        truth = read_truth(photograph) if photograph.is_bad else None
        truth = np.zeros(read_photograph(photograph).shape[:2], np.uint8) if truth is None else truth
        assert cells is not None
        yield map_in_frame(cells, run.contract, *truth.shape), truth
