"""Golden frames: frames with PyTorch's results, by which a station checks the bundle on its own machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from export.parity import Answer, reference
from export.source import Subject

GOLDEN_SIDE = 640
"""Longest side of a golden photograph, in pixels. Larger photographs are shrunk, which keeps the bundle small."""


@dataclass(frozen=True)
class Golden:
    """Golden frames, and PyTorch's score, map and kinds for each."""

    frames: list[Frame]
    answers: list[Answer]

    @property
    def map_size(self) -> tuple[int, int] | None:
        """(height, width) of the map; None without a map."""
        where = self.answers[0].map
        return None if where is None else (where.shape[0], where.shape[1])

    def save(self, path: Path) -> None:
        """Write the file that `Bundle.golden` reads."""
        arrays: dict[str, Any] = {"count": np.array(len(self.frames))}
        for i, (frame, answer) in enumerate(zip(self.frames, self.answers, strict=True)):
            arrays[f"frame_{i}"], arrays[f"score_{i}"] = frame, np.array(answer.score, np.float64)
            more = {f"map_{i}": answer.map, f"kind_{i}": answer.kinds}
            arrays |= {name: array for name, array in more.items() if array is not None}
        np.savez_compressed(path, **arrays)


def golden_frames(subject: Subject, may_carry_photographs: bool) -> Golden:
    """Golden frames of small photographs and noise. Drawn frames replace the photographs if there are none, or if the
    bundle may not contain photographs.
    """
    carries = may_carry_photographs and subject.photographs("val")
    frames = _photographs(subject) if carries else _drawn(subject.contract)
    return Golden(frames, [reference(subject, frame) for frame in frames])


def _drawn(contract: LetterboxContract) -> list[Frame]:
    """A smooth picture, the same with a scratch, and the noise of the golden frames."""
    rows, columns = np.indices(contract.holding(240, 360))
    smooth = 96 + 48 * np.sin(columns / 60) * np.cos(rows / 45)
    scratched = np.where(np.abs(rows - 40 - columns / 2) < 2, 30, smooth)
    drawn = [np.repeat(picture.astype(np.uint8)[:, :, None], 3, axis=2) for picture in (smooth, scratched)]
    return [*drawn, *_noise(contract)]


def _photographs(subject: Subject) -> list[Frame]:
    """A good and a bad validation photograph, shrunk, and the noise of the golden frames."""
    photographs = subject.photographs("val")
    firsts = [next((p for p in photographs if p.is_bad is bad), None) for bad in (False, True)]
    frames = [_small(read_photograph(p), subject.contract) for p in firsts if p is not None]
    return [*frames, *_noise(subject.contract)]


def _noise(contract: LetterboxContract) -> list[Frame]:
    """Noise frames of two sizes that are difficult for a letterbox: odd, and with different aspect ratios."""
    rng = np.random.default_rng(11)
    sizes = (contract.holding(*size) for size in ((299, 133), (97, 224)))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def _small(frame: Frame, contract: LetterboxContract) -> Frame:
    """The frame, shrunk to GOLDEN_SIDE; with a region unscaled, but cut off below and right of the region."""
    if contract.region is not None:
        return np.ascontiguousarray(frame[: contract.region.bottom, : contract.region.right])
    height, width = frame.shape[:2]
    factor = GOLDEN_SIDE / max(height, width)
    if factor >= 1:
        return frame
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
