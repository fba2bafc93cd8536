"""What a page shows of people's decisions on a verdict."""

from dataclasses import dataclass
from pathlib import Path

from edge.review import Decision, Reviews


@dataclass(frozen=True)
class Stands:
    """What people decided of a verdict: the choice that stands, whether they contradict each other, and all rows."""

    choice: str | None
    is_contradicting: bool
    rows: tuple[Decision, ...]
    open: frozenset[int]
    """Ids of decisions that stand, which can be taken back."""


def standing_of(folder: Path, epoch: str, seq: int) -> Stands:
    """What people decided of a verdict."""
    of = Reviews(folder)
    standing, rows = of.standing(epoch, seq), of.of_verdict(epoch, seq)
    choice = None if standing.choice is None else str(standing.choice)
    return Stands(choice, standing.is_contradicting, tuple(rows), frozenset(one.id for one in standing.decisions))
