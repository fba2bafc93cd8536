"""Segmentation of one frame along the belt: runs of columns that are not belt."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDEST_GAP = 2
"""Largest gap, in columns of belt, between two pieces of one part."""

MARGIN = 4
"""Columns near a piece that may still be affected by it, for example by its shadow."""


SEARCH_INSIDE, SEARCH_OUTSIDE = 3, 8
"""Search window (columns inside, outside) around the predicted end of a part whose outline continues beyond it."""


@dataclass(frozen=True)
class Piece:
    """The visible extent of a part, in cells along the belt: `low` to `high`, None where the frame's border cuts it."""

    low: float | None
    high: float | None

    @property
    def centre(self) -> float | None:
        """Its middle in cells; None unless both ends are visible."""
        return None if self.low is None or self.high is None else (self.low + self.high) / 2


def find_pieces(foreign: npt.NDArray[np.float32], smallest: float) -> list[Piece]:
    """The pieces, from low to high. `foreign` is the fraction of each column that is not belt, `float32 [columns]`.

    Runs shorter or narrower than `smallest`, a fraction of the frame, are treated as dirt and dropped.
    """
    runs = _runs(foreign >= smallest / 2)
    return [_piece(low, high, len(foreign)) for low, high in runs if _is_large(foreign[low:high], foreign, smallest)]


def split_pieces(
    pieces: list[Piece], foreign: npt.NDArray[np.float32], known: list[tuple[float, float]], smallest: float
) -> list[Piece]:
    """The pieces, after separating parts that dirt between them has joined.

    `known` are the predicted (low, high) of parts that were completely visible before. A piece that continues beyond
    such an end is cut there if it has a waist: a place less than half as broad as the part.
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
    """The piece, or the large enough pieces on both sides of a waist near this end of the part."""
    columns = len(foreign)
    first = 0 if piece.low is None else int(piece.low)
    last = columns if piece.high is None else int(piece.high)
    inside = foreign[max(first, round(part[0])) : max(0, min(last, round(part[1])))]
    beyond = (first if outwards < 0 else last) - end
    if not len(inside) or beyond * outwards <= SEARCH_INSIDE:
        return [piece]
    near, far = round(end) - outwards * SEARCH_INSIDE, round(end) + outwards * SEARCH_OUTSIDE
    window = np.array([column for column in range(near, far, outwards) if first < column < last - 1], int)
    waist = int(window[np.argmin(foreign[window])]) if len(window) else first
    if not len(window) or foreign[waist] > np.median(inside) / 2:
        return [piece]
    sides = ((first, waist), (waist + 1, last))
    return [_piece(low, high, columns) for low, high in sides if _is_large(foreign[low:high], foreign, smallest)]


def _piece(low: int, high: int, columns: int) -> Piece:
    return Piece(None if low <= 0 else float(low), None if high >= columns else float(high))


def _is_large(run: npt.NDArray[np.float32], foreign: npt.NDArray[np.float32], smallest: float) -> bool:
    """Whether these columns belong to a part, and not to dirt."""
    return len(run) >= smallest * len(foreign) and float(run.max()) >= smallest


def clear_belt(foreign: npt.NDArray[np.float32], smallest: float) -> npt.NDArray[np.bool_]:
    """Columns, `bool [columns]`, that show only belt: nothing foreign on them or within MARGIN columns."""
    taken = foreign >= smallest / 2
    near = taken.copy()
    for side in range(1, MARGIN + 1):
        near[side:] |= taken[:-side]
        near[:-side] |= taken[side:]
    return ~near


def _runs(present: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs (first, last + 1) of columns; runs separated by at most WIDEST_GAP columns are joined."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    joined: list[tuple[int, int]] = []
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and low - joined[-1][1] <= WIDEST_GAP:
            low = joined.pop()[0]
        joined.append((low, high))
    return joined
