"""What lies on the belt in one frame: stretches of columns that are not belt."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BRIDGED = 2
"""Columns of belt, at most, between two pieces of one part."""

BESIDE = 4
"""Columns beside a piece that may still show something of it, as its shadow."""


INWARDS, OUTWARDS = 3, 8
"""Columns about the end of a part, as it is reckoned, in which it is looked for where its outline goes on."""


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
    runs = _runs(foreign >= smallest / 2)
    return [_piece(low, high, len(foreign)) for low, high in runs if _is_large(foreign[low:high], foreign, smallest)]


def split_pieces(
    pieces: list[Piece], foreign: npt.NDArray[np.float32], known: list[tuple[float, float]], smallest: float
) -> list[Piece]:
    """The pieces, those parted that dirt between two parts has joined.

    `known` are the ends at which parts lie that were seen whole. A piece that goes on beyond such an end is cut there
    if it has a waist there, less than half as broad as the part.
    """
    for low, high in known:
        for end, outwards in ((low, -1), (high, 1)):
            pieces = [one for piece in pieces for one in _split(piece, foreign, (low, high), end, outwards, smallest)]
    return pieces


def _split(
    piece: Piece,
    foreign: npt.NDArray[np.float32],
    part: tuple[float, float],
    end: float,
    outwards: int,
    smallest: float,
) -> list[Piece]:
    """The piece, or what of it lies on either side of a waist near this end of the part, if that is large enough."""
    columns = len(foreign)
    first = 0 if piece.low is None else int(piece.low)
    last = columns if piece.high is None else int(piece.high)
    inside = foreign[max(first, round(part[0])) : max(0, min(last, round(part[1])))]
    beyond = (first if outwards < 0 else last) - end
    if not len(inside) or beyond * outwards <= INWARDS:
        return [piece]
    near, far = round(end) - outwards * INWARDS, round(end) + outwards * OUTWARDS
    window = np.array([column for column in range(near, far, outwards) if first < column < last - 1], int)
    waist = int(window[np.argmin(foreign[window])]) if len(window) else first
    if not len(window) or foreign[waist] > np.median(inside) / 2:
        return [piece]
    sides = ((first, waist), (waist + 1, last))
    return [_piece(low, high, columns) for low, high in sides if _is_large(foreign[low:high], foreign, smallest)]


def _piece(low: int, high: int, columns: int) -> Piece:
    return Piece(None if low <= 0 else float(low), None if high >= columns else float(high))


def _is_large(run: npt.NDArray[np.float32], foreign: npt.NDArray[np.float32], smallest: float) -> bool:
    """Whether these columns are of a part, and not dirt."""
    return len(run) >= smallest * len(foreign) and float(run.max()) >= smallest


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
