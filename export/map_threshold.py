"""The map threshold, from which value on a map cell belongs to a defect: chosen on the maps of one artifact."""

from collections.abc import Callable, Iterator

import numpy as np

from edge.backends import Backend
from edge.bundle import MapThreshold
from edge.errors import DataError
from edge.frame import Frame
from edge.photographs.photograph import Photograph, read_labelled, read_photograph
from edge.report.heat import Floats, map_in_frame
from edge.terminal.progress import Stage
from export.source import Subject
from train.report.overlap import coverage, levels_of

MOST = 200
"""Most photographs whose maps are used, spread evenly over the list."""

QUANTILE = 0.95
"""Without masks: the share of good photographs whose largest map value stays below the threshold."""


def choose_map_threshold(subject: Subject, backend: Backend, stage: Stage) -> MapThreshold | None:
    """Choose the map threshold on the validation photographs.

    If bad photographs have ground truth, it is the map value with the best Dice over all their pixels together,
    otherwise the `QUANTILE` of the largest map values of the good photographs. None if `backend` gives no map, or if
    there are no such photographs.
    """
    photographs = subject.photographs("val")
    return _by_masks(subject, backend, photographs, stage) or _by_good(subject, backend, photographs, stage)


def _by_masks(subject: Subject, backend: Backend, photographs: list[Photograph], stage: Stage) -> MapThreshold | None:
    marked = _marked(backend, photographs, stage)
    if not marked:
        return None
    levels = levels_of(heat for heat, _ in marked)
    assert subject.data is not None, "photographs lie in a folder"
    dice = _pooled_dice(subject, marked, levels)
    best = int(dice.argmax())
    return MapThreshold(
        value=float(levels[best]),
        strategy="best Dice over the pixels of all the photographs together",
        artifact=backend.name,
        data=f"validation photographs in {subject.data.name}/: {len(marked)} bad with ground truth",
        dice=float(dice[best]),
    )


def dice_at(subject: Subject, backend: Backend, level: float, stage: Stage) -> float:
    """Dice of an artifact's maps at `level`, over the same pixels that `choose_map_threshold` uses."""
    marked = _marked(backend, subject.photographs("val"), stage)
    return float(_pooled_dice(subject, marked, np.array([level]))[0])


def _marked(backend: Backend, photographs: list[Photograph], stage: Stage) -> list[tuple[Floats, Frame]]:
    """Map and ground truth of each bad photograph that has both."""
    with_mask = _spread([p for p in photographs if p.is_bad and p.mask is not None])
    return [
        (heat, truth)
        for frame, truth in _truths(with_mask, stage("maps of photographs with masks", len(with_mask)))
        if (heat := backend.infer(frame).map) is not None
    ]


def _pooled_dice(subject: Subject, marked: list[tuple[Floats, Frame]], levels: Floats) -> Floats:
    contract = subject.contract
    seen = coverage(((map_in_frame(heat, contract, *truth.shape), truth) for heat, truth in marked), levels)
    return np.asarray(2 * seen.both.sum(axis=0) / (seen.found.sum(axis=0) + seen.true.sum()), np.float32)


def _by_good(subject: Subject, backend: Backend, photographs: list[Photograph], stage: Stage) -> MapThreshold | None:
    good, largest = _spread([p for p in photographs if not p.is_bad]), []
    tick = stage("map threshold by good photographs", len(good))
    for photograph in good:
        heat = backend.infer(read_photograph(photograph)).map
        tick()
        if heat is None:
            return None
        largest.append(float(heat.max()))
    if not largest:
        return None
    assert subject.data is not None, "photographs lie in a folder"
    return MapThreshold(
        value=float(np.quantile(largest, QUANTILE)),
        strategy=f"quantile {QUANTILE:g} of the largest map value of a photograph",
        artifact=backend.name,
        data=f"validation photographs in {subject.data.name}/: {len(largest)} good",
        dice=None,
    )


def _truths(photographs: list[Photograph], tick: Callable[[], None]) -> Iterator[tuple[Frame, Frame]]:
    """Frame and ground truth of each photograph whose mask can be read and is not empty."""
    for photograph in photographs:
        tick()
        try:
            frame, truth = read_labelled(photograph)
        except DataError:
            continue
        if truth is not None and truth.any():
            yield frame, truth


def _spread(photographs: list[Photograph]) -> list[Photograph]:
    return photographs[:: max(1, -(-len(photographs) // MOST))]
