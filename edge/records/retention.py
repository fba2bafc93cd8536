"""Which images are kept, where they lie, and which go first when there is no room."""

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge.records import GOODS_EVERY, LARGEST_IMAGES
from edge.records.disk_reserve import free_bytes
from edge.records.durable_files import NEW
from edge.verdict import Outcome

IMAGES = "images"
"""Folder of the images, in the folder of the records: `images/YYYY-MM-DD/EPOCH/SEQ-VERDICT.png`."""

HOLD, SIDECAR = ".hold", ".json"
"""Suffixes of the files beside an image: it is never removed; its verdict as published, and its hash."""

_PLACE = re.compile(rf"{IMAGES}/\d{{4}}-\d\d-\d\d/[\w-]{{1,64}}/\d{{8,16}}-(good|reject|unknown)\.png", re.ASCII)

FIRST_TO_GO = (Outcome.GOOD, Outcome.UNKNOWN, Outcome.REJECT)


@dataclass(frozen=True)
class Keeping:
    """What a station keeps of its images, below `folder`, the folder of its records.

    Every reject and every unknown that has a frame is kept, and of the goods one in `good_every`, none if 0. Together
    they take `max_bytes` at most, are kept `max_age_days` days (None: for ever), and leave `min_free_bytes` of the
    disk free.
    """

    folder: Path
    good_every: int = GOODS_EVERY
    max_bytes: int = LARGEST_IMAGES
    max_age_days: float | None = None
    min_free_bytes: int = 2 * 2**30

    def wants(self, outcome: Outcome, seq: int) -> bool:
        """Whether the image of this verdict is to be kept."""
        if outcome is Outcome.GOOD:
            return self.good_every > 0 and seq % self.good_every == 0
        return True


def misplaced(folder: Path, path: str) -> str | None:
    """Why what a journal says is no path of an image in the records' `folder`, in words; None if it is one.

    The folder of all images may be a link to another disk; nothing below it is one.
    """
    if not _PLACE.fullmatch(path):
        return "does not lie among the images"
    top, below = (folder / IMAGES).resolve(), Path(path).relative_to(IMAGES)
    for one in (below, below.with_suffix(SIDECAR), below.with_suffix(HOLD)):
        if os.path.realpath(top / one) != str(top / one):
            return "is a link"
    return None


def files_of_images(folder: Path) -> Iterator[str]:
    """Paths of what lies among the images, below the records' `folder`: no link is followed, and no folder is entered
    that lies deeper than those of the runs.
    """
    within = [(folder / IMAGES, IMAGES, 0)]
    while within:
        at, name, depth = within.pop()
        with contextlib.suppress(OSError), os.scandir(at) as entries:
            for entry in entries:
                inner = f"{name}/{entry.name}"
                if depth < 2 and entry.is_dir(follow_symlinks=False):
                    within.append((Path(entry.path), inner, depth + 1))
                else:
                    yield inner


class NoRoomError(Exception):
    """An image cannot be stored; the message says why, for people."""


class Gone(NamedTuple):
    """An image is removed: its path below the records' folder, and why."""

    path: str
    why: str


class _Shelved(NamedTuple):
    """An image: there may be a million of them, and a `Path` of each would be a gigabyte."""

    name: str
    size: int
    stored: float  # wall clock, as the file has it: there is no other for what an earlier run stored

    @property
    def path(self) -> Path:
        return Path(self.name)


@dataclass
class Shelf:
    """The images that are there, oldest first. Only one process may have one for a folder."""

    keeping: Keeping
    size: int = 0
    _shelves: dict[Outcome, deque[_Shelved]] = field(default_factory=lambda: {kind: deque() for kind in FIRST_TO_GO})
    _held: list[_Shelved] = field(default_factory=list)

    def look(self) -> None:
        """Take stock; what a crash left unfinished is removed."""
        found: list[_Shelved] = []
        folder = self.keeping.folder
        for name in files_of_images(folder):
            path, whole = folder / name, name.removesuffix(NEW)
            if not _PLACE.fullmatch(os.path.splitext(whole)[0] + ".png"):
                continue  # no station wrote it
            if whole != name or (path.suffix == SIDECAR and not path.with_suffix(".png").exists()):
                path.unlink(missing_ok=True)
            elif path.suffix == ".png":
                found.append(_Shelved(str(path), _size(path), path.lstat().st_mtime))
        for shelved in sorted(found, key=lambda one: one.stored):
            self._put(shelved)

    def add(self, path: Path) -> None:
        """An image was stored just now, with its sidecar."""
        self._put(_Shelved(str(path), _size(path), time.time()))

    def paths(self) -> Iterator[Path]:
        """Every image that is not held, of each kind the oldest first; after `look`, every one."""
        for shelf in self._shelves.values():
            yield from (shelved.path for shelved in shelf)

    def make_room(self, size: int, outcome: Outcome) -> Iterator[Gone]:
        """Remove what may go for an image of `size` bytes: the oldest goods, then unknowns, then rejects, never one
        that is worth more than the new one, never one that is held. Raises NoRoomError if that is not enough.
        """
        too_many = self.size + size - self.keeping.max_bytes
        too_full = self.keeping.min_free_bytes + size - free_bytes(self.keeping.folder)
        why = "the disk is full" if too_full > 0 else f"the images have {self.keeping.max_bytes / 1e9:.3g} GB"
        missing = max(too_many, too_full)
        while missing > 0:
            oldest = self._next_to_go(outcome)
            if oldest is None:
                raise NoRoomError(f"{why}, and none may go for {_article(outcome)}")
            missing -= oldest.size
            yield from self._remove(oldest, why)

    def expire(self) -> Iterator[Gone]:
        """Remove what is too old, and what the disk has no room for any more."""
        with contextlib.suppress(NoRoomError):
            yield from self.make_room(0, FIRST_TO_GO[-1])
        days = self.keeping.max_age_days
        if days is None:
            return
        before = time.time() - days * 86_400
        for shelf in self._shelves.values():
            while shelf and shelf[0].stored < before:
                oldest = shelf.popleft()
                if _is_held(oldest):
                    self._held.append(oldest)
                else:
                    yield from self._remove(oldest, f"older than {days:g} days")

    def _put(self, shelved: _Shelved) -> None:
        self._shelf_of(shelved).append(shelved)
        self.size += shelved.size

    def _shelf_of(self, shelved: _Shelved) -> deque[_Shelved]:
        kind = _kind(shelved.path)
        assert kind is not None
        return self._shelves[kind]

    def _next_to_go(self, outcome: Outcome) -> _Shelved | None:
        self._take_back_released()
        for kind in FIRST_TO_GO[: FIRST_TO_GO.index(outcome) + 1]:
            while self._shelves[kind]:
                oldest = self._shelves[kind].popleft()
                if not _is_held(oldest):
                    return oldest
                self._held.append(oldest)
        return None

    def _take_back_released(self) -> None:
        for shelved in [one for one in self._held if not _is_held(one)]:
            self._held.remove(shelved)
            self._shelf_of(shelved).appendleft(shelved)

    def _remove(self, shelved: _Shelved, why: str) -> Iterator[Gone]:
        """Said before it is done: of an image that is still there afterwards the next process tells again. A sidecar
        alone is removed by `look`. Raises OSError, and the image stays on its shelf.
        """
        yield Gone(shelved.path.relative_to(self.keeping.folder).as_posix(), why)
        try:
            for path in (shelved.path, shelved.path.with_suffix(SIDECAR)):
                path.unlink(missing_ok=True)
        except OSError:
            self._shelf_of(shelved).appendleft(shelved)
            raise
        self.size -= shelved.size
        with contextlib.suppress(OSError):  # not empty yet
            shelved.path.parent.rmdir()
            shelved.path.parent.parent.rmdir()


def _kind(path: Path) -> Outcome | None:
    said = path.stem.rpartition("-")[2]
    return Outcome(said) if said in set(Outcome) else None


def _size(path: Path) -> int:
    """Bytes of an image and its sidecar."""
    return sum(one.lstat().st_size for one in (path, path.with_suffix(SIDECAR)) if os.path.lexists(one))


def _is_held(shelved: _Shelved) -> bool:
    return shelved.path.with_suffix(HOLD).exists()


def _article(outcome: Outcome) -> str:
    return f"an {outcome}" if outcome is Outcome.UNKNOWN else f"a {outcome}"
