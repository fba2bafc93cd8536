"""What pages know of people's decisions: over `edge.review`, which may be missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHOICES = ("bad", "good", "unsure")


@dataclass(frozen=True)
class Stands:
    """What people decided of a verdict: the choice that stands, whether they contradict each other, and all rows."""

    choice: str | None
    is_contradicting: bool
    rows: tuple[Any, ...]
    open: frozenset[int]
    """Ids of decisions that stand, which can be taken back."""


def reviews(folder: Path) -> Any:
    """The reviews of a record; None if this installation has none."""
    try:
        from edge.review import Reviews  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return Reviews(folder)


def standing_of(folder: Path, epoch: str, seq: int) -> Stands | None:
    """What people decided of a verdict; None without reviews."""
    of = reviews(folder)
    if of is None:
        return None
    standing, rows = of.standing(epoch, seq), of.of_verdict(epoch, seq)
    choice = None if standing.choice is None else str(standing.choice)
    return Stands(choice, standing.is_contradicting, tuple(rows), frozenset(one.id for one in standing.decisions))
