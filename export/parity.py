"""Parity of what a bundle answers: do PyTorch, ONNX Runtime and OpenVINO give the same scores, maps and verdicts?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge.backends import Output
from export.inside import Frame, ParityError
from export.subject import Subject
from train.letterbox import letterboxed


@dataclass
class Agreement:
    """Scores that one artifact gave the frames so far and that PyTorch expected, and the largest differences."""

    backend: str
    scores: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    largest_score_difference: float = 0.0
    largest_map_difference: float = 0.0
    worst_frame: str = ""

    def enter(self, frame: str, score: float, expected: float, map_off: float) -> None:
        """Add a frame: both scores, and the largest difference of the maps."""
        off = abs(score - expected)
        self.scores.append(score)
        self.expected.append(expected)
        if max(off, map_off) >= max(self.largest_score_difference, self.largest_map_difference):
            self.worst_frame = frame
        self.largest_score_difference = max(self.largest_score_difference, off)
        self.largest_map_difference = max(self.largest_map_difference, map_off)


Answer = tuple[float, npt.NDArray[np.float32] | None]
"""A score, and a map float32 [h, w] where there is one."""


def reference(subject: Subject, frame: Frame) -> Answer:
    """What the network itself answers to a frame, letterboxed by the code that trains."""
    with torch.inference_mode():
        return answer(subject, *letterboxed(frame, subject.contract))


def answer(subject: Subject, image: Tensor, mask: Tensor) -> Answer:
    """What the network answers to one letterboxed picture, float32 [C, S, S], and its mask [1, S, S]."""
    score, where = subject.network(image[None], mask[None])
    return float(score[0]), None if where is None else where[0].numpy()


def compare(agreement: Agreement, frame: str, output: Output, expected: Answer, reference: str, allowed: float) -> None:
    """Enter what an artifact said of the frame of that name, and what the `reference` had said.

    Raises ParityError if the score or any value of the map is further off than `allowed`, or than that share of the
    score or of the map's largest value where they are more than 1: float32 has so many digits and no more.
    """
    score, where = expected
    if not math.isfinite(score):
        raise ParityError(f"{reference} scores {frame} {score:g}, which is no number; no bundle was written")
    if (where is None) != (output.map is None):
        raise ParityError(f"{agreement.backend}: the map is in one of {reference} and the artifact; no bundle")
    map_off = 0.0 if where is None or output.map is None else float(np.abs(output.map - where).max())
    largest = 0.0 if where is None else float(np.abs(where).max())
    score_allowed, map_allowed = (allowed * max(1.0, abs(value)) for value in (score, largest))
    if not (abs(output.score - score) <= score_allowed and map_off <= map_allowed):  # a NaN is no agreement
        raise ParityError(
            f"{agreement.backend} differs from {reference} on {frame}: score {output.score:.6g} against "
            f"{score:.6g}, allowed {score_allowed:.3g} off; map {map_off:.3g} off, allowed {map_allowed:.3g}; "
            "no bundle was written"
        )
    agreement.enter(frame, output.score, score, map_off)


def largest_spread(agreements: dict[str, Agreement]) -> float:
    """The largest difference of one frame's score between any two of PyTorch and the artifacts that were compared."""
    from_pytorch = max(agreement.largest_score_difference for agreement in agreements.values())
    each = np.array([agreement.scores for agreement in agreements.values()])
    return max(from_pytorch, float(np.ptp(each, axis=0).max(initial=0.0)))


def compare_verdicts(
    agreement: Agreement, frames: Sequence[str], expected: float, threshold: float, band: float
) -> list[str]:
    """The frames that the artifact judges otherwise at `threshold` than PyTorch at `expected`.

    Raises ParityError if PyTorch's own score of one of them is further than `band` from PyTorch's threshold.
    """
    flips = [
        (name, score, said)
        for name, score, said in zip(frames, agreement.scores, agreement.expected, strict=True)
        if (score >= threshold) != (said >= expected)
    ]
    for name, score, said in flips:
        if not abs(said - expected) <= band:
            raise ParityError(
                f"{agreement.backend} turns the verdict of {name}: score {score:.6g}, threshold {threshold:.6g}, "
                f"expected {said:.6g} and {expected:.6g}; no bundle was written"
            )
    return [name for name, _, _ in flips]


def nearest_threshold(scores: Sequence[float], rejected: Sequence[bool], *tried: float) -> float:
    """The threshold for `scores` that turns the fewest of the verdicts `rejected`: of several, the first of `tried`.

    Where scores lie close together, the least difference lets the best of a strategy's measure jump from one end of
    them to the other; a verdict that PyTorch gives is worth more than that.
    """
    values, verdicts = np.asarray(scores, np.float64), np.asarray(rejected, bool)
    levels = np.unique(values)
    cuts = [*tried, *(levels[:-1] + np.diff(levels) / 2)]
    turned = [int(((values >= cut) != verdicts).sum()) for cut in cuts]
    return float(cuts[int(np.argmin(turned))])
