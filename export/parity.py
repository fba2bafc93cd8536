"""Parity: comparison of the scores, maps and verdicts of PyTorch, ONNX Runtime and OpenVINO."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge.backends import Output
from edge.bundle.tolerance import Bounds, ValueRange
from edge.frame import Frame
from export.activations import ParityError
from export.source import Subject
from train.letterbox import letterboxed

KIND_TOLERANCE = 1e-3
"""Largest difference of a probability of a kind between PyTorch and a float32 artifact."""


@dataclass
class Agreement:
    """Results of one artifact on the frames compared so far: its `scores`, PyTorch's scores (`expected`), and `maps`.

    `maps` has for each frame the lowest and highest cell of PyTorch's map, and the largest difference of a cell; None
    without a map. `kinds` has for each frame the number of PyTorch's most probable kind, and the largest difference of
    a probability; None without kinds.
    """

    backend: str
    frames: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    maps: list[tuple[float, float, float] | None] = field(default_factory=list)
    kinds: list[tuple[int, float] | None] = field(default_factory=list)

    @property
    def largest_score_difference(self) -> float:
        """Largest difference of a score over all frames; 0 without frames."""
        return max((abs(one - other) for one, other in zip(self.scores, self.expected, strict=True)), default=0.0)

    @property
    def largest_map_difference(self) -> float:
        """Largest difference of a map cell over all frames; 0 without maps."""
        return max((one[2] for one in self.maps if one), default=0.0)

    @property
    def largest_kind_difference(self) -> float | None:
        """Largest difference of a probability of a kind over all frames; None without kinds."""
        return max((one[1] for one in self.kinds if one), default=None)

    def score_shares(self, bounds: Bounds) -> list[float]:
        """For each frame the difference of the score, divided by the difference allowed for that score."""
        return [
            abs(score - said) / (bounds.score_tolerance * bounds.score_growth(said))
            for score, said in zip(self.scores, self.expected, strict=True)
        ]

    def map_shares(self, bounds: Bounds) -> list[float]:
        """For each frame the largest difference of a map cell, divided by the difference allowed for that map; 0
        without a map.
        """
        return [
            0.0 if one is None else one[2] / (bounds.map_tolerance * bounds.map_growth(*one[:2])) for one in self.maps
        ]

    def worst_frame(self, bounds: Bounds) -> str:
        """Name of the frame with the largest value of `score_shares` or `map_shares`; "" without frames."""
        shares = np.maximum(self.score_shares(bounds), self.map_shares(bounds))
        return self.frames[int(shares.argmax())] if self.frames else ""


class Answer(NamedTuple):
    """A score, a map float32 [h, w] or None, and probabilities of kinds float32 [kinds] or None."""

    score: float
    map: npt.NDArray[np.float32] | None
    kinds: npt.NDArray[np.float32] | None = None


def reference(subject: Subject, frame: Frame) -> Answer:
    """The network's own score, map and kinds for a frame, letterboxed by the code of the training."""
    with torch.inference_mode():
        return answer(subject, *letterboxed(frame, subject.contract))


def answer(subject: Subject, image: Tensor, mask: Tensor) -> Answer:
    """The network's answer for one letterboxed picture, float32 [C, S, S], with its mask [1, S, S]."""
    score, where, *kinds = subject.network(image[None], mask[None])
    return Answer(float(score[0]), None if where is None else where[0].numpy(), kinds[0].numpy() if kinds else None)


def compare(agreement: Agreement, frame: str, output: Output, expected: Answer, reference: str) -> None:
    """Add the frame with this name: the artifact's `output`, and the `expected` answer of the `reference`.

    Raises ParityError if a number is not finite, or if only one of the two has a map or kinds.
    """
    score, where, kinds = Answer(*expected)
    if not math.isfinite(score):
        raise ParityError(f"{reference} scores {frame} {score:g}, which is no number; no bundle was written")
    if (where is None) != (output.map is None):
        raise ParityError(f"{agreement.backend}: the map is in one of {reference} and the artifact; no bundle")
    if (kinds is None) != (output.kinds is None):
        raise ParityError(f"{agreement.backend}: the kinds are in one of {reference} and the artifact; no bundle")
    of_map, of_kinds = None, None
    if where is not None and output.map is not None:
        of_map = float(where.min()), float(where.max()), float(np.abs(output.map - where).max())
    if kinds is not None and output.kinds is not None:
        of_kinds = int(kinds.argmax()), float(np.abs(output.kinds - kinds).max())
    if not (math.isfinite(output.score) and np.isfinite(of_map or 0.0).all() and np.isfinite(of_kinds or 0.0).all()):
        raise ParityError(
            f"{agreement.backend} differs from {reference} on {frame}: a score, a cell of the map or a kind is no "
            "number; no bundle was written"
        )
    agreement.frames.append(frame)
    agreement.scores.append(output.score)
    agreement.expected.append(score)
    agreement.maps.append(of_map)
    agreement.kinds.append(of_kinds)


def bounds_around(agreement: Agreement, tolerance: float) -> Bounds:
    """The bounds of scores and maps: the share `tolerance` of the spread of PyTorch's values on these frames, at least
    one.
    """
    cells = [value for one in agreement.maps if one for value in one[:2]]
    bounds = Bounds.share(tolerance, ValueRange.of(agreement.expected), ValueRange.of(cells) if cells else None)
    return replace(bounds, kind_tolerance=KIND_TOLERANCE) if any(agreement.kinds) else bounds


def check_agreement(agreement: Agreement, bounds: Bounds, reference: str) -> None:
    """Raise ParityError, naming the worst frame, if the difference of a score, map or kind exceeds `bounds`."""
    for frame, of_kinds in zip(agreement.frames, agreement.kinds, strict=True):
        if of_kinds is not None and not of_kinds[1] <= (bounds.kind_tolerance or 0.0):
            raise ParityError(
                f"{agreement.backend} differs from {reference} on {frame}: a probability of a kind {of_kinds[1]:.3g} "
                f"off, allowed {bounds.kind_tolerance:.3g}; no bundle was written"
            )
    for shares, what in ((agreement.score_shares(bounds), "score"), (agreement.map_shares(bounds), "map")):
        worst = int(np.argmax(shares)) if shares else 0
        if not shares or shares[worst] <= 1:
            continue
        score, said, of_map = agreement.scores[worst], agreement.expected[worst], agreement.maps[worst]
        off = abs(score - said) if what == "score" or of_map is None else of_map[2]
        said_of_it = f"score {score:.6g} against {said:.6g}, " if what == "score" else "map "
        raise ParityError(
            f"{agreement.backend} differs from {reference} on {agreement.frames[worst]}: {said_of_it}{off:.3g} off, "
            f"allowed {off / shares[worst]:.3g}; no bundle was written"
        )


def margin_of(agreements: dict[str, Agreement], bounds: Bounds, threshold: float) -> float:
    """Largest difference of one frame's score between any two of PyTorch and the artifacts, scaled to `threshold`.

    Rounding grows with scores beyond the range of the validation scores. A difference is therefore divided by the
    growth of the bounds at its score, and multiplied by the growth at `threshold`.
    """
    compared = list(agreements.values())
    each = np.array([compared[0].expected, *(agreement.scores for agreement in compared)])
    growth = np.array([bounds.score_growth(score) for score in compared[0].expected])
    return float((np.ptp(each, axis=0) / growth).max(initial=0.0)) * bounds.score_growth(threshold)


def compare_verdicts(
    agreement: Agreement, frames: Sequence[str], expected: float, threshold: float, band: float
) -> list[str]:
    """Names of the frames on which the artifact's verdict at `threshold` differs from PyTorch's verdict at `expected`.

    Raises ParityError if the difference of PyTorch's score of such a frame from `expected` exceeds `band`.
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
