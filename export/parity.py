"""Parity of what a bundle answers: do PyTorch, ONNX Runtime and OpenVINO give the same scores, maps and verdicts?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from edge.backends import Backend
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


def reference(subject: Subject, frame: Frame) -> tuple[float, npt.NDArray[np.float32] | None]:
    """Score and map float32 [h, w] that the network itself gives a frame, letterboxed by the code that trains."""
    image, mask = letterboxed(frame, subject.contract)
    with torch.inference_mode():
        score, where = subject.network(image[None], mask[None])
    return float(score[0]), None if where is None else where[0].numpy()


def compare(
    subject: Subject,
    backends: Iterable[Backend],
    frames: Iterable[tuple[str, Frame]],
    tolerance: float,
    tick: Callable[[], None],
) -> dict[str, Agreement]:
    """Run each frame through PyTorch and every backend; answers by the backend's name.

    Raises ParityError at the first frame where a score or any value of a map is further off than `tolerance`.
    """
    agreements = {backend.name: Agreement(backend.name) for backend in backends}
    for name, frame in frames:
        score, where = reference(subject, frame)
        for backend in backends:
            output = backend.infer(frame)
            if (where is None) != (output.map is None):
                raise ParityError(
                    f"{backend.name}: the map is in one of {subject.reference} and the artifact; no bundle"
                )
            off = abs(output.score - score)
            map_off = 0.0 if where is None or output.map is None else float(np.abs(output.map - where).max())
            if not (off <= tolerance and map_off <= tolerance):  # a NaN is no agreement
                raise ParityError(
                    f"{backend.name} differs from {subject.reference} on {name}: score {output.score:.6g} against "
                    f"{score:.6g}, map {map_off:.2g} off, allowed {tolerance:.2g}; no bundle was written"
                )
            _note(agreements[backend.name], name, output.score, score, map_off)
        tick()
    return agreements


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


def nearest_threshold(scores: Sequence[float], rejected: Sequence[bool], own: float) -> float:
    """The threshold for `scores` that turns the fewest of the verdicts `rejected`: `own` unless another turns fewer.

    Where scores lie close together, the least difference lets the best of a strategy's measure jump from one end of
    them to the other; a verdict that PyTorch gives is worth more than that.
    """
    values, verdicts = np.asarray(scores, np.float64), np.asarray(rejected, bool)
    levels = np.unique(values)
    cuts = [own, *(levels[:-1] + np.diff(levels) / 2)]
    turned = [int(((values >= cut) != verdicts).sum()) for cut in cuts]
    return float(cuts[int(np.argmin(turned))])


def _note(agreement: Agreement, frame: str, score: float, expected: float, map_off: float) -> None:
    off = abs(score - expected)
    agreement.scores.append(score)
    agreement.expected.append(expected)
    if max(off, map_off) >= max(agreement.largest_score_difference, agreement.largest_map_difference):
        agreement.worst_frame = frame
    agreement.largest_score_difference = max(agreement.largest_score_difference, off)
    agreement.largest_map_difference = max(agreement.largest_map_difference, map_off)
