"""Decisions on the parts of a record: to take them, to take them back, and to find the next part that waits."""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edge.review import store
from edge.review.decisions import (
    LONGEST_COMMENT,
    LONGEST_NAME,
    Choice,
    Decision,
    Judged,
    Kind,
    ReviewError,
    Standing,
    Way,
    checked_text,
    standing,
)
from edge.review.record import Key, Record, Undecided
from edge.verdict import Outcome, Verdict

Order = Literal["drawn", "newest"]


class Progress(NamedTuple):
    """Numbers of verdicts of one kind: with a decision that stands, and without one but with a picture."""

    decided: int
    undecided: int


class Reviews:
    """Decisions on the parts of the record in `folder`, kept in `folder/reviews.db`, see `edge.review.store`.

    Each call opens the files, works and closes them, so one object may be used by several threads, and several
    processes may review one record. A decision changes neither the verdict nor the journal.
    """

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; nothing is created before the first decision."""
        self.folder = folder

    def decide(
        self, epoch: str, seq: int, choice: Choice, by: str, comment: str = "", way: Way = Way.CHOSEN
    ) -> Decision:
        """Add a decision; it is on disk when this returns.

        A second decision of the same person on the same verdict replaces the first. Raises ReviewError if the journal
        has no such verdict, a text is not acceptable or the file cannot be written; RecordsError if the journal cannot
        be read.
        """
        with Record(self.folder) as record:
            return self._decide(record, record.verdict(epoch, seq), Choice(choice), by, comment, Way(way))

    def miss(self, part: str, by: str, comment: str = "") -> Decision:
        """Add that the gate's people found this part bad after it had passed: the newest good verdict on the part id
        `part` gets the decision bad. Raises ReviewError if the journal has no good of this part.
        """
        with Record(self.folder) as record:
            found = record.verdicts_on(part)
            goods = [verdict for verdict in found if verdict.verdict is Outcome.GOOD]
            if not goods:
                said = f"only {', '.join(sorted({v.verdict.value for v in found}))}" if found else "no such part"
                if record.expired_until is not None:
                    said += f"; of verdicts published until {record.expired_until} only counts are kept"
                raise ReviewError(
                    f"{self.folder}: no good verdict on part {part!r}, {said}; a part is missed if it passed as good"
                )
            return self._decide(record, goods[-1], Choice.BAD, by, comment, Way.MISSED)

    def _decide(self, record: Record, v: Verdict, choice: Choice, by: str, comment: str, way: Way) -> Decision:
        name = checked_text(by, "name", LONGEST_NAME, is_required=True)
        said = checked_text(comment, "comment", LONGEST_COMMENT)
        row = _row(v, record.judged(v), way, name, said) | {"choice": choice.value}
        return store.add(self.folder, lambda _: row)

    def undo(self, decision: int, by: str, comment: str = "") -> Decision:
        """Take back the decision with this id; anybody may, by name. What the same person had decided before it stands
        again. Raises ReviewError if there is no such decision, or if it is taken back already.
        """
        name = checked_text(by, "name", LONGEST_NAME, is_required=True)
        said = checked_text(comment, "comment", LONGEST_COMMENT)

        def make(rows: Callable[..., list[Decision]]) -> dict[str, Any]:
            row = next(iter(rows("id = ?", (decision,))), None)
            if row is None or row.choice is None:
                raise ReviewError(f"{self.folder} has no decision {decision}; edge-review log shows them")
            if before := rows("takes_back = ?", (decision,)):
                raise ReviewError(f"decision {decision} was taken back by {before[0].by} at {before[0].time}")
            return _row(row, row.judged, row.way, name, said) | {"takes_back": row.id}

        return store.add(self.folder, make)

    def of_part(self, part: str) -> list[Decision]:
        """All rows about verdicts on this part id, undone ones and undos included, oldest first."""
        return store.read(self.folder, "part = ?", (part,))

    def of_verdict(self, epoch: str, seq: int) -> list[Decision]:
        """All rows about this verdict, oldest first."""
        return store.read(self.folder, "epoch = ? AND seq = ?", (epoch, seq))

    def log(self) -> list[Decision]:
        """All rows, oldest first."""
        return store.read(self.folder)

    def standing(self, epoch: str, seq: int) -> Standing:
        """What stands of this verdict; without decisions its `decisions` are empty."""
        return standing(self.of_verdict(epoch, seq)).get((epoch, seq), Standing())

    def current(self) -> dict[Key, Standing]:
        """What stands, by (epoch, seq), of every verdict with a decision that was not taken back."""
        return standing(self.log())

    def next(self, kind: Kind, order: Order = "drawn", after: Undecided | None = None) -> Undecided | None:
        """The next part of this kind that nobody has decided; None if all are.

        The order `drawn` is random and the same for everybody: decide with `way=Way.DRAWN` then. `after` goes on from a
        part without deciding it.
        """
        return next(iter(self.undecided(kind, 1, order, after)), None)

    def undecided(
        self, kind: Kind, count: int = 50, order: Order = "drawn", after: Undecided | None = None
    ) -> list[Undecided]:
        """The next `count` parts of this kind that nobody has decided; see `next`."""
        decided = self.current()
        with Record(self.folder) as record:
            pictures = record.pictures(Kind(kind))
            listed = sorted(pictures, key=drawn) if order == "drawn" else [*pictures][::-1]
            if after is not None and after.key in pictures:
                listed = listed[listed.index(after.key) + 1 :]
            parts = (record.undecided(key, pictures[key]) for key in listed if key not in decided)
            return [*itertools.islice((part for part in parts if part is not None), count)]

    def progress(self) -> dict[Kind, Progress]:
        """Of each kind, how many verdicts are decided, and how many with a picture are not."""
        decided = self.current()
        with Record(self.folder) as record:
            found = {}
            for kind in Kind:
                done = sum(one.judged.outcome.value == kind.value for one in decided.values())
                found[kind] = Progress(done, len(record.pictures(kind).keys() - decided.keys()))
            return found


def drawn(key: Key) -> bytes:
    """What sorts verdicts into a random order that is the same everywhere and does not depend on their number."""
    return hashlib.sha256(f"{key[0]}:{key[1]}".encode()).digest()


def _row(of: Verdict | Decision, judged: Judged, way: Way, by: str, comment: str) -> dict[str, Any]:
    """The columns of a row on a verdict, of which neither a decision is taken nor one taken back."""
    return {
        "person": by,
        "station": of.station,
        "epoch": of.epoch,
        "seq": of.seq,
        "part": of.part,
        "choice": None,
        "way": way.value,
        "comment": comment,
        "takes_back": None,
        "outcome": judged.outcome.value,
        "score": judged.score,
        "threshold": judged.threshold,
        "bundle": judged.bundle,
        "backend": judged.backend,
        "published": judged.time,
        "every": judged.every,
    }
