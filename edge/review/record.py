"""What review needs of a station's record: single verdicts, the parts with a picture, and how many there are in all.

The only file of this package that reads the journal.
"""

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.records.image_audit import kept_goods
from edge.records.journal import check_rows, open_to_read, unread
from edge.records.pass_proof import broken_rule
from edge.records.retention import UNPICTURED
from edge.records.selection import Selection
from edge.records.stored_verdicts import expired_until, find, gaps, select
from edge.records.tables import IMAGES, VERDICTS
from edge.review.decisions import Judged, Kind, ReviewError
from edge.verdict import Outcome, Verdict

_IMAGE = re.compile(r"images/[^/]+/[\w-]{1,64}/\d{8,16}-(?P<kind>good|reject|unknown)\.png", re.ASCII)

Key = tuple[str, int]
"""A verdict: the epoch of its run, and its number."""


@dataclass(frozen=True)
class Undecided:
    """A part that waits for a decision. `time` is that of the verdict, `image` relative to the records' folder."""

    station: str
    epoch: str
    seq: int
    part: str
    kind: Kind
    score: float | None
    threshold: float | None
    reason: str
    time: str
    image: str

    @property
    def key(self) -> Key:
        """The verdict: its epoch and number."""
        return self.epoch, self.seq


@dataclass(frozen=True)
class Picture:
    """A kept image: its path relative to the records' folder, and its SHA-256 in hexadecimal."""

    path: str
    sha256: str


class Record:
    """The journal of a record, open for reading. Use it as a context. All readings are of one state of the journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal: sqlite3.Connection | None = None
        self._every: dict[str, int] = {}
        self._pictures: dict[Key, Picture] | None = None

    def __enter__(self) -> "Record":
        """Raises RecordsError if there is no journal, or if it cannot be read."""
        with self._errors():
            self._journal = open_to_read(self.folder)
            self._journal.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise unread(self.folder, error, broken_rule(error) if isinstance(error, ValueError) else None) from error

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._journal is not None
        return self._journal

    @property
    def gaps(self) -> list[str]:
        """The damaged blocks of the journal that were left out of what was read, in words."""
        return gaps(self._open)

    @property
    def expired_until(self) -> str | None:
        """When the last verdict of which only counts are left was published; None if none expired."""
        with self._errors():
            return expired_until(self._open)

    def verdict(self, epoch: str, seq: int) -> Verdict:
        """The verdict. Raises ReviewError if the journal has none of this number, RecordsError if it cannot be read."""
        found = self._find(epoch, seq)
        if found is None:
            known = f", but {self.gaps[0]}" if self.gaps else ""
            raise ReviewError(f"{self.folder} has no verdict {seq} of run {epoch}{known}; edge-audit shows its runs")
        return found

    def _find(self, epoch: str, seq: int) -> Verdict | None:
        with self._errors():
            check_rows(self._open, [VERDICTS], "epoch = ? AND seq = ?", (epoch, seq))
            stored = find(self._open, epoch, seq)
            return None if stored is None else stored.verdict

    def verdicts_on(self, part: str) -> list[Verdict]:
        """The verdicts on the part id `part`, oldest first."""
        with self._errors():
            check_rows(self._open, [VERDICTS], "part = ?", (part,))
            return [stored.verdict for stored in select(self._open, Selection(part=part))]

    def judged(self, verdict: Verdict) -> Judged:
        """What a decision stores of the verdict."""
        every = self.every(verdict.epoch)
        is_sampled = verdict.verdict is Outcome.GOOD and every > 0 and verdict.seq % every == 0
        return Judged(
            verdict.verdict, verdict.score, verdict.threshold, verdict.bundle, verdict.backend, verdict.time,
            every if is_sampled else 0,
        )  # fmt: skip

    def every(self, epoch: str) -> int:
        """One good in this many has a picture in this run; 0 if none has, or if it is unknown."""
        if epoch not in self._every:
            with self._errors():
                self._every[epoch] = kept_goods(self._open, epoch) or 0
        return self._every[epoch]

    def every_picture(self) -> dict[Key, Picture]:
        """The kept images by verdict, in the order in which they were stored."""
        if self._pictures is None:
            with self._errors():
                check_rows(self._open, [IMAGES], "gone IS NULL")
                rows = IMAGES.read(self._open, "WHERE gone IS NULL ORDER BY rowid")
                self._pictures = {(row["epoch"], row["seq"]): Picture(row["path"], row["sha256"]) for row in rows}
        return self._pictures

    def stored(self) -> dict[Key, str | None]:
        """The verdicts that have or had an image, and when the last one was removed; None if it is kept."""
        found: dict[Key, str | None] = {}
        with self._errors():
            check_rows(self._open, [IMAGES])
            for row in IMAGES.read(self._open, "ORDER BY rowid"):
                gone = row["gone"]
                found[row["epoch"], row["seq"]] = None if gone is None else gone.rpartition(", ")[2]
        return found

    def pictures(self, kind: Kind) -> dict[Key, Picture]:
        """The kept images of one kind of verdicts; of the goods those that their number selects."""
        found: dict[Key, Picture] = {}
        for (epoch, seq), picture in self.every_picture().items():
            match = _IMAGE.fullmatch(picture.path)
            every = self.every(epoch) if kind is Kind.GOOD else 1
            if kind is Kind.UNKNOWN and match is not None and (epoch, seq) in self._unpictured:
                continue  # an earlier version kept it
            if match is not None and match["kind"] == kind and every and seq % every == 0:
                found[epoch, seq] = picture
        return found

    @functools.cached_property
    def _unpictured(self) -> set[Key]:
        """The unknowns of which nothing is to be reviewed: the station was suspended or stopped."""
        with self._errors():
            return {(one.epoch, one.seq) for one in select(self._open, Selection(reasons=UNPICTURED))}

    def undecided(self, key: Key, picture: Picture) -> Undecided | None:
        """The part of a kept image; None if its verdict has expired or lies in a damaged block."""
        v = self._find(*key)
        return (
            None
            if v is None
            else Undecided(
                v.station, v.epoch, v.seq, v.part, Kind(v.verdict), v.score, v.threshold, v.reason, v.time, picture.path
            )
        )

    def texts(self) -> Iterator[str]:
        """The JSON of all verdicts as published, oldest first."""
        with self._errors():
            check_rows(self._open, [VERDICTS])
            for stored in select(self._open):
                yield stored.text
