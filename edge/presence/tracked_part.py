"""A part on its way through the view: where it is now, and the frames that show it best."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from edge.presence.belt_segments import Piece

if TYPE_CHECKING:
    from edge.presence import Followed
    from edge.sources import Capture, Shown
    from edge.verdict import Fault

AS_GOOD = 0.5
"""Cells by which an older frame must be better centred than a newer one to be preferred."""


@dataclass(frozen=True)
class Look:
    """A frame that shows a whole part, `centre` and `length` along the belt, in cells; `off` is how far from the
    middle of the frame.
    """

    capture: "Capture"
    centre: float
    length: float
    off: float


@dataclass
class Track:
    """One part. `low` and `high` are its ends in cells, seen or reckoned, None while unknown; `piece` is what was seen
    last, in the frame of `capture`. `was_unwatched` is one that passed the middle while the camera was away. `shown` is
    what a simulated source says of it.
    """

    piece: Piece
    capture: "Capture"
    low: float | None
    high: float | None
    looks: list[Look] = field(default_factory=list)
    is_answered: bool = False
    missed: int = 0
    blind: int = 0
    doubt: "Fault | None" = None
    was_unwatched: bool = False
    shown: "Shown | None" = None

    @classmethod
    def taken_over(cls, followed: "Followed", capture: "Capture") -> Self:
        """A part as the finder before knew it; nothing is seen of it yet."""
        low, high, is_answered, shown = followed
        return cls(Piece(None, None), capture, low, high, is_answered=is_answered, shown=shown)

    def move(self, way: float, length: float | None) -> None:
        """Reckon that it moved on by so many cells, and where the end is that was not seen."""
        self.low = None if self.low is None else self.low + way
        self.high = None if self.high is None else self.high + way
        own = self.looks[0].length if self.looks else length
        if own is not None and self.low is None and self.high is not None:
            self.low = self.high - own
        elif own is not None and self.high is None and self.low is not None:
            self.high = self.low + own

    def apart(self, piece: Piece) -> float | None:
        """How far a piece lies from where this part is reckoned to be, by the ends that both know; None: they share
        none.
        """
        ends = ((self.low, piece.low), (self.high, piece.high))
        known = [seen - reckoned for reckoned, seen in ends if reckoned is not None and seen is not None]
        return sum(known) / len(known) if known else None

    def may_be(self, piece: Piece, columns: int) -> bool:
        """Whether it can be this piece, though they share no end: it fills the view, or its other end has come in."""
        if piece.low is None and piece.high is None:
            return self.seen_columns(columns) > 0
        if piece.low is not None and self.high is not None:
            return piece.high is None and columns <= self.high < piece.low + columns
        return piece.high is not None and self.low is not None and piece.high - columns < self.low <= 0

    def went(self, piece: Piece) -> float | None:
        """How far it moved since it was seen last, by an end that was seen both times; None: there is none."""
        ends = ((self.piece.low, piece.low), (self.piece.high, piece.high))
        ways = [new - old for old, new in ends if old is not None and new is not None]
        return sum(ways) / len(ways) if ways else None

    def see(self, piece: Piece, capture: "Capture") -> None:
        """It is this piece in this frame."""
        self.piece, self.capture, self.missed, self.blind = piece, capture, 0, 0
        if piece.low is not None:
            self.low = piece.low
        if piece.high is not None:
            self.high = piece.high
        self.doubt = None

    def keep(self, look: Look, most: int) -> None:
        """Keep a look if it is among the `most` best centred ones; of two that are as good the newer."""
        if len(self.looks) < most:
            self.looks.append(look)
        else:
            worst = max(self.looks, key=lambda one: one.off)
            if look.off > worst.off + AS_GOOD:
                return
            self.looks[self.looks.index(worst)] = look
        self.looks.sort(key=lambda one: one.off)

    def seen_columns(self, columns: int) -> float:
        """Cells of it that lie within the view, as far as its ends are known."""
        low, high = (0.0 if self.low is None else self.low), (columns if self.high is None else self.high)
        return min(high, columns) - max(low, 0.0)

    def middle(self, columns: int) -> float:
        """The middle of it, in cells, or of what is seen of it."""
        low, high = (0.0 if self.low is None else self.low), (columns if self.high is None else self.high)
        return (low + high) / 2
