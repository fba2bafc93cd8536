"""Retention of images: which images are kept, where they are stored, and in which order they are removed."""

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge.letterbox.geometry import LARGEST_FRAME
from edge.records import GOODS_EVERY, LARGEST_IMAGES
from edge.records.disk_reserve import free_bytes
from edge.records.durable_files import NEW
from edge.verdict import Outcome, Reason

MOST_IMAGE_BYTES = 4 * LARGEST_FRAME * LARGEST_FRAME
"""Largest size of an image file. PNG cannot compress noise: that takes slightly more than three bytes per pixel."""

IMAGES = "images"
"""Folder of the images in the records' folder: `images/YYYY-MM-DD/EPOCH/SEQ-VERDICT.png`."""

HOLD, SIDECAR = ".hold", ".json"
"""Suffixes of the files beside an image. A hold prevents its removal; a sidecar has its verdict and hash."""

_PLACE = re.compile(rf"{IMAGES}/\d{{4}}-\d\d-\d\d/[\w-]{{1,64}}/\d{{8,16}}-(good|reject|unknown)\.png", re.ASCII)

FIRST_TO_GO = (Outcome.GOOD, Outcome.UNKNOWN, Outcome.REJECT)


@dataclass(frozen=True)
class Keeping:
    """The retention settings of a station with the records' folder `folder`.

    The images of all rejects and unknowns that have a frame are kept, and those of one good in `good_every`, of none if
    0. Together they have at most `max_bytes`, are kept for `max_age_days` days (None: for ever), and leave
    `min_free_bytes` of the disk free.
    """

    folder: Path
    good_every: int = GOODS_EVERY
    max_bytes: int = LARGEST_IMAGES
    max_age_days: float | None = None
    min_free_bytes: int = 2 * 2**30

    def wants(self, outcome: Outcome, seq: int) -> bool:
        """Whether the image of this verdict is kept."""
        if outcome is Outcome.GOOD:
            return self.good_every > 0 and seq % self.good_every == 0
        return True


def outcome_of_image(path: str) -> str:
    """The outcome in the name of an image; empty if the path is none of an image."""
    found = _PLACE.fullmatch(path)
    return found[1] if found else ""


def misplaced(folder: Path, path: str) -> str | None:
    """Why `path`, from a journal, is not the path of an image in the records' `folder`, in words; None if it is valid.

    The folder of all images may be a link to another disk; below that folder no links are accepted.
    """
    if not _PLACE.fullmatch(path):
        return "does not lie among the images"
    top, below = (folder / IMAGES).resolve(), Path(path).relative_to(IMAGES)
    for one in (below, below.with_suffix(SIDECAR), below.with_suffix(HOLD)):
        if os.path.realpath(top / one) != str(top / one):
            return "is a link"
    return None


def files_of_images(folder: Path) -> Iterator[str]:
    """Paths of all files in the folder of images, relative to the records' `folder`. Links are not followed, and
    folders deeper than those of the runs are not entered.
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


UNPICTURED = frozenset({Reason.SUSPENDED, Reason.STOPPED})
"""Reasons of unknowns of which no image is kept: nobody judged these parts, and there may be thousands."""


class NoRoomError(Exception):
    """An image cannot be stored. The message is the reason, in words."""


class Gone(NamedTuple):
    """The removal of an image: its path relative to the records' folder, and the reason."""

    path: str
    why: str


class _Shelved(NamedTuple):
    """A stored image. The path is a `str`, because a million `Path` objects would take a gigabyte."""

    name: str
    size: int
    stored: float  # wall clock, the file's mtime: images of earlier runs have no other time

    @property
    def path(self) -> Path:
        return Path(self.name)


@dataclass
class Shelf:
    """The stored images of a folder, oldest first. Only one process may have a `Shelf` for a folder."""

    keeping: Keeping
    size: int = 0
    _shelves: dict[Outcome, deque[_Shelved]] = field(default_factory=lambda: {kind: deque() for kind in FIRST_TO_GO})
    _held: list[_Shelved] = field(default_factory=list)

    def look(self) -> None:
        """List the images in the folder, and remove incomplete files of an earlier crash."""
        found: list[_Shelved] = []
        folder = self.keeping.folder
        for name in files_of_images(folder):
            path, whole = folder / name, name.removesuffix(NEW)
            if not _PLACE.fullmatch(os.path.splitext(whole)[0] + ".png"):
                continue  # not written by a station
            if whole != name or (path.suffix == SIDECAR and not path.with_suffix(".png").exists()):
                path.unlink(missing_ok=True)
            elif path.suffix == ".png":
                found.append(_Shelved(str(path), _size(path), path.lstat().st_mtime))
        for shelved in sorted(found, key=lambda one: one.stored):
            self._put(shelved)

    def add(self, path: Path) -> None:
        """Add an image that was just stored with its sidecar."""
        self._put(_Shelved(str(path), _size(path), time.time()))

    def paths(self) -> Iterator[Path]:
        """All listed images by outcome, oldest first; directly after `look` also those on hold."""
        for shelf in self._shelves.values():
            yield from (shelved.path for shelved in shelf)

    def make_room(self, size: int, outcome: Outcome) -> Iterator[Gone]:
        """Make room for an image of `size` bytes: remove the oldest goods, then unknowns, then rejects. An image stays
        if its outcome comes after `outcome` in this order, or if it is on hold. Raises NoRoomError if that is not
        enough.
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
        """Remove images beyond the largest age, and images that exceed the limits of space."""
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
        """Yield the removal of an image, then remove its file and its sidecar. If the process dies in between, the next
        process reports the remaining image as stored again. A sidecar without an image is removed by `look`.

        Raises OSError if the image cannot be removed; then it stays in the list.
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
    """Size of an image with its sidecar, in bytes."""
    return sum(one.lstat().st_size for one in (path, path.with_suffix(SIDECAR)) if os.path.lexists(one))


def _is_held(shelved: _Shelved) -> bool:
    return shelved.path.with_suffix(HOLD).exists()


def _article(outcome: Outcome) -> str:
    return f"an {outcome}" if outcome is Outcome.UNKNOWN else f"a {outcome}"
