"""Parity: do PyTorch, ONNX Runtime and OpenVINO say the same of the same frames?"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from edge.backends import Backend
from edge.errors import EdgeError
from export.subject import Subject
from train.letterbox import letterboxed

Frame = npt.NDArray[np.uint8]

HARD_SIZES = (
    (16, 16),
    (16, 4096),
    (4096, 16),
    (31, 33),
    (200, 299),
    (299, 299),
    (480, 640),
    (720, 1280),
    (1281, 733),
    (1080, 1920),
    (2048, 2448),
)
"""(height, width) of the noise frames: both orientations, up- and downscaling, odd sizes, floats off by one."""


class ParityError(EdgeError):
    """An artifact does not say what PyTorch says; there is no bundle."""


@dataclass
class Agreement:
    """What one artifact said of the frames so far: its scores, in order, and the largest differences from PyTorch."""

    backend: str
    scores: list[float] = field(default_factory=list)
    largest_score_difference: float = 0.0
    largest_map_difference: float = 0.0
    worst_frame: str = ""


def reference(subject: Subject, frame: Frame) -> tuple[float, npt.NDArray[np.float32] | None]:
    """Score and map float32 [h, w] that PyTorch gives a frame, by the code that trained the network."""
    image, mask = letterboxed(frame, subject.contract)
    with torch.inference_mode():
        score, where = subject.network(image[None], mask[None])
    return float(score[0]), None if where is None else where[0].numpy()


def hard_frames() -> Iterator[tuple[str, Frame]]:
    """Frames made to break a letterbox: noise of every awkward size, one-pixel lines, a checkerboard, black, white."""
    rng = np.random.default_rng(7)
    for height, width in HARD_SIZES:
        yield f"noise {width}×{height}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = np.indices((720, 1280))
    patterns = {
        "vertical lines": columns % 9 == 0,
        "horizontal lines": rows % 7 == 0,
        "checkerboard": (rows + columns) % 2 == 0,
        "black": rows < 0,
        "white": rows >= 0,
    }
    for name, pattern in patterns.items():
        yield name, np.repeat((pattern * 255).astype(np.uint8)[:, :, None], 3, axis=2)


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
                raise ParityError(f"{backend.name}: the map is in PyTorch or in the artifact, not in both; no bundle")
            off = abs(output.score - score)
            map_off = 0.0 if where is None or output.map is None else float(np.abs(output.map - where).max())
            if not max(off, map_off) <= tolerance:
                raise ParityError(
                    f"{backend.name} differs from PyTorch on {name}: score {output.score:.6g} against {score:.6g}, "
                    f"map {map_off:.2g} off, allowed {tolerance:.2g}; no bundle was written"
                )
            _note(agreements[backend.name], name, output.score, off, map_off)
        tick()
    return agreements


def largest_spread(agreements: dict[str, Agreement]) -> float:
    """The largest difference of one frame's score between any two of PyTorch and the artifacts that were compared."""
    from_pytorch = max(agreement.largest_score_difference for agreement in agreements.values())
    each = np.array([agreement.scores for agreement in agreements.values()])
    return max(from_pytorch, float(np.ptp(each, axis=0).max(initial=0.0)))


def _note(agreement: Agreement, frame: str, score: float, off: float, map_off: float) -> None:
    agreement.scores.append(score)
    if max(off, map_off) >= max(agreement.largest_score_difference, agreement.largest_map_difference):
        agreement.worst_frame = frame
    agreement.largest_score_difference = max(agreement.largest_score_difference, off)
    agreement.largest_map_difference = max(agreement.largest_map_difference, map_off)
