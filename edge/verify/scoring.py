"""Scores of labelled photographs by every artifact of a bundle, overlap with the ground truth, and latencies."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.backends import Backend
from edge.bundle.input_distance import InputDistance
from edge.errors import DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.accounting import LeftOut
from edge.photographs.listing import read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.photograph import Photograph, read_labelled
from edge.photographs.survey import SurveyRecord, survey
from edge.report.heat import Floats, map_in_frame

USUAL_SPLIT = "test"
LEVEL = 0.5
"""Value from which a map's pixel counts as a defect, if maps are probabilities and the bundle has no map threshold."""

Advance = Callable[[], None]


@dataclass(frozen=True)
class Chosen:
    """The photographs to judge, good first, and the other files in the folder.

    `split` is None if the folders have no splits.
    """

    folder: Path
    layout: str
    split: str | None
    photographs: list[Photograph]
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the folder, and of the split."""
        return self.folder.name if self.split is None else f"{self.folder.name}, split {self.split}"


@dataclass(frozen=True)
class Seen:
    """One photograph and, by artifact, its score, the latency in milliseconds, and Dice and IoU of the map.

    `overlaps` is empty if the photograph has no ground truth, or the truth has no defect. `distance` is that from the
    training photographs; None if the bundle has no statistics of them.
    """

    photograph: Photograph
    scores: dict[str, float] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    overlaps: dict[str, tuple[float, float]] = field(default_factory=dict)
    distance: float | None = None


def choose_photographs(
    data: Path, split: str | None, masks: MaskMeaning | None = None, bits: int | None = None
) -> Chosen:
    """The photographs of one split, by default "test"; all photographs if the folders have no splits.

    `masks` is the meaning of masks; None derives it from all masks in the folder. `bits` is the number of significant
    bits of 16-bit photographs. Raises DataError with a one-line message if there are no photographs.
    """
    listing = read_listing(data, masks, bits)
    there = listing.splits
    if not there:
        raise DataError(f"{data}: its folders hold no photographs")
    layout = listing.said.partition(": ")[0]
    if "" in there:
        if split is not None:
            raise DataError(f"{data} has no splits, so there is no {split!r}: leave out --split")
        return Chosen(data, layout, None, there[""], listing.left_out)
    wanted = split or USUAL_SPLIT
    if wanted not in there:
        have = ", ".join(f"{name} ({len(members)})" for name, members in there.items())
        raise DataError(f"{data}: split {wanted!r} holds no photographs; there are {have}: give one with --split")
    return Chosen(data, layout, wanted, there[wanted], listing.left_out)


def survey_chosen(chosen: Chosen, contract: LetterboxContract, advance: Advance = lambda: None) -> SurveyRecord:
    """Read every chosen photograph and mask. Raises DataError that names the unusable ones."""
    found = survey(chosen.photographs, contract, left_out=chosen.left_out, advance=advance)
    return found.record({chosen.split or "": chosen.photographs})


def check_photographs(
    photographs: Sequence[Photograph], contract: LetterboxContract, advance: Advance = lambda: None
) -> None:
    """Decode every photograph and mask. Raises DataError that names the unusable ones."""
    survey(photographs, contract, advance=advance)


def look(
    backends: Mapping[str, Backend],
    photographs: Sequence[Photograph],
    contract: LetterboxContract,
    level: float | None,
    advance: Advance = lambda: None,
    comparison: InputDistance | None = None,
) -> list[Seen]:
    """Score each photograph with every artifact in turn, so that a slowdown of the machine affects them all.

    `level` is the value from which a map counts as a defect; None does not compare maps. `comparison` measures the
    distance from the training photographs. The first frame of each size
    is inferred once before it is timed, because a runtime prepares itself for a new size.
    """
    seen, sizes = [], set()
    for photograph in photographs:
        frame, truth = read_labelled(photograph)
        one = Seen(photograph, distance=comparison.measure_frame(frame).distance if comparison else None)
        for name, backend in backends.items():
            if frame.shape not in sizes:
                backend.infer(frame)
            began = time.perf_counter_ns()
            output = backend.infer(frame)
            one.ms[name] = (time.perf_counter_ns() - began) / 1e6
            one.scores[name] = output.score
            if level is not None and output.map is not None and truth is not None and truth.any():
                one.overlaps[name] = _overlap(output.map, truth, contract, level)
        sizes.add(frame.shape)
        seen.append(one)
        advance()
    return seen


def _overlap(cells: Floats, truth: Frame, contract: LetterboxContract, level: float) -> tuple[float, float]:
    """Dice and IoU in frame coordinates; the truth must contain a defect."""
    from edge.evaluation.metrics import dice, iou

    found = map_in_frame(cells, contract, *truth.shape) >= level
    return dice(found, truth > 0) or 0.0, iou(found, truth > 0) or 0.0
