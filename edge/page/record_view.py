"""What pages read of a station's record. Every call opens the journal, reads and closes: safe from any thread."""

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from edge.channel.preview import Heat
from edge.errors import RecordsError
from edge.files import open_regular
from edge.page.station_live import Newest
from edge.records.journal import has_run, open_to_read, unread
from edge.records.journal_writer import is_replacement
from edge.records.part_history import Story, story_of
from edge.records.retention import IMAGES as IMAGES_FOLDER
from edge.records.retention import MOST_IMAGE_BYTES, misplaced
from edge.records.selection import Selection, time_text
from edge.records.sidecar import read_heat
from edge.records.stored_verdicts import expired_until, find, gaps, one_state, select, why_none
from edge.records.summary import Counts, Extent, Spread, counts, extent, quantile, spreads, total
from edge.records.tables import EVENTS, IMAGES, LOST_RANGES, RUNS
from edge.records.verdict_blocks import as_said
from edge.verdict import Verdict

__all__ = ["Counts", "Extent", "RecordView", "Selection", "Spread", "quantile"]

MOST_LOOKED_AT = 5_000
"""Verdicts that one page reads at most for a filter that the journal does not have, and whose pictures it opens."""

MOST_SEARCHED = 20_000
"""Verdicts that a search without regard to capitals reads at most."""

BATCH = 500
"""Verdicts that are read of one state of the journal: a long reading would let its write-ahead log grow."""


@dataclass(frozen=True)
class Listed:
    """A verdict in a list, its row in the journal, and the path of its picture in the records, if one is kept."""

    row: int
    verdict: Verdict
    picture: str | None
    frame: tuple[int, int] | None = None
    """Width and height of the picture, pixels."""


class Listing(NamedTuple):
    """The verdicts of a page of a list, the row from which on there may be more, and the damaged blocks, in words,
    that were left out.
    """

    found: list[Listed]
    older: int | None
    gaps: list[str]


class Trend(NamedTuple):
    """Counts and spreads of each hour of a span, and the damaged blocks, in words, that were left out of them."""

    counts: list[Counts]
    spreads: list[Spread]
    gaps: list[str]


@dataclass(frozen=True)
class Health:
    """The state of a record: its extent, last runs, losses, events and images, the newest first."""

    extent: Extent
    runs: list[dict[str, Any]]
    losses: list[dict[str, Any]]
    events: list[dict[str, Any]]
    images: int
    image_bytes: int


class RecordView:
    """The record in `folder`. Every method raises RecordsError, in one line, if it cannot be read."""

    def __init__(self, folder: Path) -> None:
        """Nothing is opened yet."""
        self.folder = folder

    @property
    def is_there(self) -> bool:
        """Whether the folder has a journal."""
        return (self.folder / "journal.db").is_file()

    @contextlib.contextmanager
    def _journal(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(open_to_read(self.folder)) as journal:
                yield journal
        except (sqlite3.Error, ValueError, OverflowError, TypeError) as error:
            raise unread(self.folder, error) from error

    def last_run(self) -> dict[str, Any] | None:
        """The row of the last run."""
        with self._journal() as journal:
            return next(RUNS.read(journal, "ORDER BY rowid DESC LIMIT 1"), None)

    def has_run(self, epoch: str) -> bool:
        """Whether the journal has this run."""
        with self._journal() as journal:
            return has_run(journal, epoch)

    def begun_anew(self, since: datetime) -> str | None:
        """When a damaged or removed journal was last replaced by this one since a moment, as ISO 8601; else None."""
        where = "WHERE kind = 'journal' AND time >= ? ORDER BY rowid DESC LIMIT 100"
        with self._journal() as journal:
            told = EVENTS.read(journal, where, (time_text(since),))
            return next((str(one["time"]) for one in told if is_replacement(str(one["text"]))), None)

    def since(self, moment: datetime) -> tuple[Counts, Newest | None]:
        """Verdicts counted from a moment on, and the newest verdict, of one state of the journal."""
        with self._journal() as journal:
            journal.execute("BEGIN")
            newest = next(select(journal, newest_first=True, limit=1), None)
            counted = total(journal, moment, None)
            journal.execute("COMMIT")
            return counted, None if newest is None else Newest(newest.epoch, newest.seq)

    def trend(self, since: datetime, until: datetime) -> Trend:
        """Counts, and how scores and ages lie, for each hour of a span."""
        with self._journal() as journal, one_state(journal):
            return Trend(counts(journal, since, until, "hour"), spreads(journal, since, until), gaps(journal))

    def listed(
        self, selection: Selection, count: int, before: int | None = None, place: "Place | None" = None
    ) -> Listing:
        """The newest verdicts of a selection before a row. Verdicts that break the rules are left out. With a `place`
        only those with a box there.
        """
        found: list[Listed] = []
        left_out: dict[str, None] = {}
        for _ in range(0, MOST_LOOKED_AT, BATCH):
            looked = 0
            with self._journal() as journal:
                for stored in select(journal, selection, newest_first=True, before=before, limit=BATCH):
                    before, looked = stored.row, looked + 1
                    with contextlib.suppress(ValueError):
                        verdict = stored.verdict
                        if place is not None and not verdict.defects:
                            continue
                        one = self._listed(journal, before, verdict)
                        if place is None or place.has(one):
                            found.append(one)
                    if len(found) == count:
                        break
                left_out |= dict.fromkeys(gaps(journal))
            if len(found) == count:
                return Listing(found, before, [*left_out])
            if looked < BATCH:
                return Listing(found, None, [*left_out])
        return Listing(found, before, [*left_out])

    def verdict(self, epoch: str, seq: int) -> tuple[Verdict, list[Listed]]:
        """A verdict and its neighbours: three before and three after it in its run, in order."""
        return self._near(epoch, seq)[:2]

    def _near(self, epoch: str, seq: int) -> tuple[Verdict, list[Listed], list[str]]:
        """A verdict, its neighbours, and the damaged blocks that were left out of these."""
        with self._journal() as journal:
            stored = find(journal, epoch, seq)
            if stored is None:
                raise RecordsError(why_none(journal, self.folder, epoch, seq))
            of_run = Selection(epoch=epoch)
            before = list(select(journal, of_run, newest_first=True, before=stored.row, limit=3))
            after = list(select(journal, of_run, after=stored.row, limit=3))
            near = []
            for one in (*reversed(before), *after):
                with contextlib.suppress(ValueError):
                    near.append(self._listed(journal, one.row, one.verdict))
            return stored.verdict, near, gaps(journal)

    def _listed(self, journal: sqlite3.Connection, row: int, verdict: Verdict) -> Listed:
        path = _picture_of(journal, verdict.epoch, verdict.seq)
        return Listed(row, verdict, path, frame_size(self.folder, path) if path else None)

    def story(self, epoch: str, seq: int) -> tuple[Story, list[Listed]]:
        """All that the record knows of a verdict, and its neighbours."""
        story = story_of(self.folder, epoch, seq)
        _, near, left_out = self._near(epoch, seq)
        return replace(story, gaps=tuple(left_out)), near

    def of_part(self, part: str, most: int = 50) -> Listing:
        """The newest verdicts on a part's id; if there is none, those of the newest MOST_SEARCHED verdicts whose id
        differs in nothing but capitals.
        """
        listing = self.listed(Selection(part=part), most)
        return listing if listing.found else self._of_part_in_any_case(part.casefold(), most)

    def _of_part_in_any_case(self, folded: str, most: int) -> Listing:
        found: list[Listed] = []
        left_out: dict[str, None] = {}
        before, looked = None, BATCH
        for _ in range(0, MOST_SEARCHED, BATCH):
            if looked < BATCH or len(found) >= most:
                break
            looked = 0
            with self._journal() as journal:
                for stored in select(journal, newest_first=True, before=before, limit=BATCH):
                    before, looked = stored.row, looked + 1
                    if str(getattr(as_said(stored.text), "part", "")).casefold() == folded:
                        with contextlib.suppress(ValueError):
                            found.append(self._listed(journal, before, stored.verdict))
                left_out |= dict.fromkeys(gaps(journal))
        return Listing(found[:most], None, [*left_out])

    def expired_until(self) -> str | None:
        """When the last verdict of which only counts are left was published, ISO 8601; None if none expired."""
        with self._journal() as journal:
            return expired_until(journal)

    def health(self) -> Health:
        """The state of the record."""
        with self._journal() as journal:
            (images, size) = journal.execute(
                f"SELECT count(*), coalesce(sum(bytes), 0) FROM {IMAGES.name} WHERE gone IS NULL"
            ).fetchone()
            last = "ORDER BY rowid DESC LIMIT"
            return Health(
                extent(journal),
                list(RUNS.read(journal, f"{last} 10")),
                list(LOST_RANGES.read(journal, f"{last} 20")),
                list(EVENTS.read(journal, f"{last} 30")),
                int(images),
                int(size),
            )


PLACES = tuple(f"{row}-{column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right"))
"""Ninths of the frame, by which a gallery can be filtered."""


@dataclass(frozen=True)
class Place:
    """A ninth of the frame; a box is in it if its centre is."""

    name: str

    def has(self, listed: Listed) -> bool:
        """Whether a box of the verdict is there; false if no picture says how large the frame is."""
        if listed.frame is None:
            return False
        width, height = listed.frame
        return any(
            self.name
            == PLACES[3 * _third(d.box.y + d.box.height / 2, height) + _third(d.box.x + d.box.width / 2, width)]
            for d in listed.verdict.defects or ()
        )


def _third(at: float, whole: int) -> int:
    return min(2, int(3 * at / whole))


def _picture_of(journal: sqlite3.Connection, epoch: str, seq: int) -> str | None:
    found = journal.execute(
        f"SELECT path FROM {IMAGES.name} WHERE epoch = ? AND seq = ? AND gone IS NULL ORDER BY rowid DESC", (epoch, seq)
    ).fetchone()
    return None if found is None else str(found[0])


def frame_size(folder: Path, path: str) -> tuple[int, int] | None:
    """Width and height of a stored picture, from its header; None if there is no such picture."""
    if misplaced(folder, path) is not None:
        return None
    try:
        with open_regular(
            (folder / IMAGES_FOLDER).resolve(), path.removeprefix(f"{IMAGES_FOLDER}/"), MOST_IMAGE_BYTES
        ) as file:
            head = file.read(24)
    except OSError:
        return None
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if 0 < width < 100_000 and 0 < height < 100_000 else None


def shift_start(now: datetime, starts: tuple[int, ...]) -> datetime:
    """The beginning of the shift of a moment. `starts` are minutes of the local day, in order; empty: midnight."""
    local = now.astimezone()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    candidates = [
        (midnight - timedelta(days=day)).replace(hour=minute // 60, minute=minute % 60)
        for day in (0, 1)
        for minute in starts or (0,)
    ]
    return max(one for one in candidates if one <= local).astimezone(UTC)


def stored_heat(folder: Path, path: str) -> Heat | None:
    """The map that lies beside a stored picture; None if there is none, or nonsense."""
    if misplaced(folder, path) is not None:
        return None
    try:
        found = read_heat(folder, path)
        return None if found is None else Heat.model_validate(found)
    except (OSError, ValueError):
        return None
