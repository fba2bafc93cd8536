"""Source `photos/`: a folder of pictures with its subfolders, in order of their names; or one single picture."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from edge.errors import DataError, SourceError
from edge.picture import PICTURE_SUFFIXES, decode_picture, is_picture_name, read_bytes
from edge.sources import Capture, SourceRequest
from edge.sources.stored import paced, wanted

NO_PHOTOGRAPHS = frozenset({"mask", "masks", "ground_truth"})
"""Names of folders that hold the truth about photographs, not photographs."""


WATCH_S = 0.2
"""A picture that has not changed for so long is complete. A program that renames a whole one into place is on the safe
side."""


def claims(name: str) -> bool:
    """Whether `name` is a folder, or a file whose name says that it is a picture."""
    path = Path(name)
    return path.is_dir() or (path.is_file() and is_picture_name(path))


def available() -> list[tuple[str, str]]:
    """Folders are not looked for."""
    return []


def find_pictures(folder: Path) -> list[Path]:
    """Every picture below `folder`, sorted by its path relative to it; hidden and truth folders left out.

    Raises SourceError if a folder on the way cannot be read.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if name not in NO_PHOTOGRAPHS and not name.startswith(".")]
        found += [Path(place, name) for name in files if not name.startswith(".") and is_picture_name(Path(name))]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _refuse(error: OSError) -> None:
    raise SourceError(f"folder {error.filename} cannot be read: {error.strerror}") from None


class FolderSource:
    """Stored pictures of any size. One that does not decode is a capture with a fault; the others go on."""

    shape: tuple[int, int] | None = None
    simulated = False
    free_running = False
    device = False

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        path = Path(request.name)
        self._root = path if path.is_dir() else path.parent
        self._pictures = find_pictures(path) if path.is_dir() else [path]
        if not self._pictures:
            raise SourceError(
                f"no pictures in folder {request.name}: give one with files that end in "
                + " ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
            )
        self._wanted = wanted(request, len(self._pictures))
        self._rate = request.rate
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture]:
        """One capture a picture, in order; with `loop` the first follows the last."""
        return paced((self._capture(index) for index in self._wanted.indices()), self._rate)

    def close(self) -> None:
        """Nothing to release."""

    def _capture(self, index: int) -> Capture:
        return _read(self._root, self._pictures[index % len(self._pictures)], index)


class WatchedFolder:
    """A folder that another program fills. Its pictures come in the order in which they were written, complete ones
    only, and it never ends. It may be empty.
    """

    shape: tuple[int, int] | None = None
    length: int | None = None
    live = simulated = free_running = device = False

    def __init__(self, request: SourceRequest) -> None:
        path = Path(request.name)
        if not path.is_dir():
            raise SourceError(f"{request.name} is one picture and cannot be watched; give a folder")
        if request.loop or request.rate is not None:
            raise SourceError("a watched folder has no end and no pace of its own: leave out --loop and --rate")
        self.name = request.name
        self._folder = path
        self._wanted = wanted(request, None)
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}  # as they are, and since when, s
        self._shown: set[Path] = set()

    def captures(self) -> Iterator[Capture | None]:
        """One capture a picture, None while there is none to show. Raises SourceError if the folder goes away."""
        index = 0
        while self._wanted.end is None or index < self._wanted.end:
            complete = self._complete()
            for path in complete:
                self._shown.add(path)
                if index >= self._wanted.start:
                    yield _read(self._folder, path, index)
                index += 1
                if index == self._wanted.end:
                    return
            if not complete:
                yield None
                time.sleep(WATCH_S)

    def close(self) -> None:
        """Nothing to release."""

    def _complete(self) -> list[Path]:
        """Pictures that were not shown yet and have not changed for WATCH_S, oldest first."""
        now, seen = time.monotonic(), self._seen
        written = {path: state for path in find_pictures(self._folder) if (state := _state(path)) is not None}
        self._shown &= written.keys()
        self._seen = {
            path: seen[path] if path in seen and seen[path][0] == state else (state, now)
            for path, state in written.items()
        }
        still = [path for path, (_, since) in self._seen.items() if path not in self._shown and now - since >= WATCH_S]
        return sorted(still, key=lambda path: (written[path][0], path))


def _state(path: Path) -> tuple[int, int] | None:
    """When it was written last, in nanoseconds, and its size; None if it has gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read(root: Path, path: Path, index: int) -> Capture:
    name = path.relative_to(root).as_posix()
    try:
        return Capture(index, name, decode_picture(read_bytes(path)))
    except DataError as error:
        return Capture(index, name, None, fault=f"corrupt: {error}")


def open(request: SourceRequest) -> FolderSource | WatchedFolder:
    """Open a folder or a single picture. Raises SourceError if there is no picture in it and it is not watched."""
    return WatchedFolder(request) if request.watch else FolderSource(request)
