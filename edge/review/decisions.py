"""What a person says of a part, and what stands of all that was said of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edge.errors import EdgeError
from edge.verdict import Outcome

LONGEST_NAME, LONGEST_COMMENT = 64, 500
"""Characters of a person's name and of a comment."""


class ReviewError(EdgeError):
    """A decision that cannot be taken, read or used."""


class Choice(StrEnum):
    """What a person says of the part itself, whatever its verdict was."""

    BAD = "bad"
    GOOD = "good"
    UNSURE = "unsure"


class Kind(StrEnum):
    """Kinds of parts that wait for a decision: those whose picture is kept, by their verdict."""

    REJECT = "reject"
    UNKNOWN = "unknown"
    GOOD = "good"


class Way(StrEnum):
    """How a part came before the person.

    `drawn`: the queue offered it, in an order that is random and the same for everybody. `chosen`: the person opened
    this part. `missed`: the gate's people named a part that had passed. Only the drawn ones are a random sample.
    """

    DRAWN = "drawn"
    CHOSEN = "chosen"
    MISSED = "missed"


class Judged(NamedTuple):
    """The verdict that was reviewed, as far as estimates need it after the journal has let it go.

    `every` is the interval of the kept goods if the part is a good that this rule kept, else 0.
    """

    outcome: Outcome
    score: float | None
    threshold: float | None
    bundle: str
    backend: str | None
    time: str
    every: int


@dataclass(frozen=True)
class Decision:
    """One row of reviews.db. `takes_back` is the id of the decision that an undo takes back; `choice` is None then.

    `time` is in UTC, ISO 8601.
    """

    id: int
    time: str
    by: str
    station: str
    epoch: str
    seq: int
    part: str
    choice: Choice | None
    way: Way
    comment: str
    takes_back: int | None
    judged: Judged

    @property
    def key(self) -> tuple[str, int]:
        """The verdict: its epoch and number."""
        return self.epoch, self.seq


@dataclass(frozen=True)
class Standing:
    """What stands of one verdict: of each person the last decision that nobody took back, oldest first."""

    decisions: tuple[Decision, ...] = ()

    @property
    def choice(self) -> Choice | None:
        """Bad or good if all who are sure agree, unsure if nobody is sure, None if nothing stands or two contradict."""
        said = {decision.choice for decision in self.decisions}
        sure = said - {Choice.UNSURE}
        if len(sure) == 1:
            return sure.pop()
        return Choice.UNSURE if said and not sure else None

    @property
    def is_contradicting(self) -> bool:
        """Whether one person says bad and another says good."""
        return {Choice.BAD, Choice.GOOD} <= {decision.choice for decision in self.decisions}

    @property
    def is_drawn(self) -> bool:
        """Whether the queue offered the part to somebody, at random."""
        return any(decision.way is Way.DRAWN for decision in self.decisions)

    @property
    def judged(self) -> Judged:
        """The verdict. Raises IndexError without decisions."""
        return self.decisions[0].judged


def standing(rows: Iterable[Decision]) -> dict[tuple[str, int], Standing]:
    """What stands, by verdict, of all rows of a record, oldest first. Verdicts of which nothing stands are absent."""
    listed = list(rows)
    taken_back = {row.takes_back for row in listed}
    last: dict[tuple[str, int], dict[str, Decision]] = {}
    for row in listed:
        if row.choice is not None and row.id not in taken_back:
            of_verdict = last.setdefault(row.key, {})
            of_verdict.pop(row.by, None)  # the later decision comes last
            of_verdict[row.by] = row
    return {key: Standing(tuple(by_person.values())) for key, by_person in last.items()}


def checked_text(text: str, what: str, most: int, is_required: bool = False) -> str:
    """A person's text without spaces around it. Raises ReviewError if it is too long, not printable, or missing."""
    text = text.strip()
    if is_required and not text:
        raise ReviewError(f"no {what} is given; say who decides")
    if len(text) > most:
        raise ReviewError(f"the {what} has {len(text)} characters; {most} are the most")
    if not text.isprintable():
        raise ReviewError(f"the {what} holds characters that are not printable; leave them out")
    return text
