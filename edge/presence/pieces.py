"""What lies on the belt in one frame: stretches of columns that are not belt."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BRIDGED = 2
"""Columns of belt, at most, between two pieces of one part."""

BESIDE = 4
"""Columns beside a piece that may still show something of it, as its shadow."""


@dataclass(frozen=True)
class Piece:
    """What is seen of a part, in cells along the belt: from `low` to `high`, None where the frame's border cuts it."""

    low: float | None
    high: float | None

    @property
    def centre(self) -> float | None:
        """Its middle, if the whole of it is seen."""
        return None if self.low is None or self.high is None else (self.low + self.high) / 2


def find_pieces(foreign: npt.NDArray[np.float32], smallest: float) -> list[Piece]:
    """The pieces, from low to high, in the share of each column that is not belt, `float32 [columns]`.

    What is shorter or narrower than `smallest`, a share of the frame, is dirt and left out.
    """
    columns = len(foreign)
    pieces = []
    for low, high in _runs(foreign >= smallest / 2):
        if high - low >= smallest * columns and foreign[low:high].max() >= smallest:
            pieces.append(Piece(None if low <= 0 else float(low), None if high >= columns else float(high)))
    return pieces


def clear_belt(foreign: npt.NDArray[np.float32], smallest: float) -> npt.NDArray[np.bool_]:
    """Columns, `bool [columns]`, that show belt alone: nothing foreign on them nor just beside them."""
    taken = foreign >= smallest / 2
    beside = taken.copy()
    for side in range(1, BESIDE + 1):
        beside[side:] |= taken[:-side]
        beside[:-side] |= taken[side:]
    return ~beside


def _runs(present: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches (first, last + 1) of columns, those joined that are near each other."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    joined: list[tuple[int, int]] = []
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and low - joined[-1][1] <= BRIDGED:
            low = joined.pop()[0]
        joined.append((low, high))
    return joined
