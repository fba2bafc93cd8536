"""One block of parts: its sums, from verdicts and from the pictures' features."""

from collections.abc import Iterator
from typing import NamedTuple

from edge.pictures.features import FEATURES as PICTURE_FEATURES
from edge.station.drift.chart import Block
from edge.station.drift.features import FEATURES, REJECTS, SCORE

FEWEST = 10
"""With fewer pictures, or fewer good parts, a block has no means of them."""


class Summed(NamedTuple):
    """Sums of the features of some pictures and of their squares, in the order of `edge.pictures.features.FEATURES`."""

    pictures: int
    sums: tuple[float, ...]
    squares: tuple[float, ...]


class BlockSums:
    """The sums of the block that is being filled."""

    def __init__(self, begun_ns: int) -> None:
        """`begun_ns` is the moment from which it counts, in nanoseconds of the monotonic clock."""
        self.begun_ns = begun_ns
        self.judged = 0
        self._rejects = self._goods = self._pictures = 0
        self._score = self._score_squares = 0.0
        self._sums, self._squares = [0.0] * len(PICTURE_FEATURES), [0.0] * len(PICTURE_FEATURES)

    def add(self, score: float, is_good: bool) -> None:
        """Count a part that was judged."""
        self.judged += 1
        if is_good:
            self._goods += 1
            self._score += score
            self._score_squares += score * score
        else:
            self._rejects += 1

    def add_pictures(self, summed: Summed) -> None:
        """Add the features of some pictures."""
        self._pictures += summed.pictures
        self._sums = [one + other for one, other in zip(self._sums, summed.sums, strict=True)]
        self._squares = [one + other for one, other in zip(self._squares, summed.squares, strict=True)]

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """The block of each feature that it has. At least one part must have been judged."""
        if self._pictures >= FEWEST:
            for name, total, squares in zip(PICTURE_FEATURES, self._sums, self._squares, strict=True):
                if name in FEATURES:
                    yield name, _block(self._pictures, total, squares)
        if self._goods >= FEWEST:
            yield SCORE, _block(self._goods, self._score, self._score_squares)
        share = self._rejects / self.judged
        yield REJECTS, Block(share, share * (1 - share))


def _block(count: int, total: float, squares: float) -> Block:
    mean = total / count
    return Block(mean, max(0.0, squares / count - mean * mean))
