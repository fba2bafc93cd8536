"""A tracked part on its displacement through the view: its position, and the frames that show it best."""

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
    """A frame that shows a whole part: its `centre` and `length` along the belt, and `off`, its distance from the
    middle of the frame; all in cells.
    """

    capture: "Capture"
    centre: float
    length: float
    off: float


@dataclass
class Track:
    """One part. `low` and `high` are its ends in cells, measured or predicted, None while unknown. `piece` is the last
    detection, in the frame of `capture`. `missed` and `blind` count frames without a detection and unusable frames
    since then. `was_unwatched`: it passed the middle while the camera was away. `shown` is the simulated source's
    description.
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
    def resumed(cls, followed: "Followed", capture: "Capture") -> Self:
        """A part from the state of the previous finder; nothing is detected of it yet."""
        low, high, is_answered, shown = followed
        return cls(Piece(None, None), capture, low, high, is_answered=is_answered, shown=shown)

    def move(self, displacement: float, length: float | None) -> None:
        """Move the predicted ends by `displacement` cells; an end never measured follows from the length."""
        self.low = None if self.low is None else self.low + displacement
        self.high = None if self.high is None else self.high + displacement
        own = self.looks[0].length if self.looks else length
        if own is not None and self.low is None and self.high is not None:
            self.low = self.high - own
        elif own is not None and self.high is None and self.low is not None:
            self.high = self.low + own

    def distance(self, piece: Piece) -> float | None:
        """Mean difference, in cells, between a piece's ends and the part's predicted ends; None without a common
        end.
        """
        ends = ((self.low, piece.low), (self.high, piece.high))
        known = [seen - reckoned for reckoned, seen in ends if reckoned is not None and seen is not None]
        return sum(known) / len(known) if known else None

    def may_be(self, piece: Piece, columns: int) -> bool:
        """Whether the piece can be this part without a common end: it fills the view, or its other end has come in."""
        if piece.low is None and piece.high is None:
            return self.seen_columns(columns) > 0
        if piece.low is not None and self.high is not None:
            return piece.high is None and columns <= self.high < piece.low + columns
        return piece.high is not None and self.low is not None and piece.high - columns < self.low <= 0

    def displacement(self, piece: Piece) -> float | None:
        """Displacement, in cells, since the last detection, from an end that is visible in both; None without one."""
        ends = ((self.piece.low, piece.low), (self.piece.high, piece.high))
        displacements = [new - old for old, new in ends if old is not None and new is not None]
        return sum(displacements) / len(displacements) if displacements else None

    def see(self, piece: Piece, capture: "Capture") -> None:
        """Record that the part is this piece in this frame."""
        self.piece, self.capture, self.missed, self.blind = piece, capture, 0, 0
        if piece.low is not None:
            self.low = piece.low
        if piece.high is not None:
            self.high = piece.high
        self.doubt = None

    def keep(self, look: Look, most: int) -> None:
        """Keep the look if it is among the `most` best centred ones; of two equally good ones keep the newer."""
        if len(self.looks) < most:
            self.looks.append(look)
        else:
            worst = max(self.looks, key=lambda one: one.off)
            if look.off > worst.off + AS_GOOD:
                return
            self.looks[self.looks.index(worst)] = look
        self.looks.sort(key=lambda one: one.off)

    def seen_columns(self, columns: int) -> float:
        """Length, in cells, of the part within the view, as far as its ends are known."""
        low, high = (0.0 if self.low is None else self.low), (columns if self.high is None else self.high)
        return min(high, columns) - max(low, 0.0)

    def middle(self, columns: int) -> float:
        """The middle, in cells, of the part or of its known extent in the view."""
        low, high = (0.0 if self.low is None else self.low), (columns if self.high is None else self.high)
        return (low + high) / 2
