"""Source `photos/`: a folder of pictures with its subfolders, in order of their names; or a single picture."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from edge.errors import DataError, SourceError
from edge.pictures import PICTURE_SUFFIXES, decode_picture, is_picture_name, read_bytes
from edge.sources.base import Capture, Kind, Mark, Source, SourceRequest
from edge.sources.stored import paced, wanted
from edge.text import counted
from edge.verdict import Fault, Reason

NO_PHOTOGRAPHS = frozenset({"mask", "masks", "ground_truth"})
"""Names of folders that hold ground truth, not photographs."""

WATCH_S = 0.2
"""A picture is complete if it has not changed for this long and no program has it open for writing. Programs should
rename a complete file into place, which is safe everywhere: on a network share, open files cannot be detected.
"""

MOST_REMEMBERED = 100_000
"""Number of writes remembered after their file left the folder, in case the file returns under a new name."""


def claims(name: str) -> bool:
    """Whether `name` is a folder, or a file with the name of a picture."""
    path = Path(name)
    return path.is_dir() or (path.is_file() and is_picture_name(path))


def find_pictures(folder: Path) -> list[Path]:
    """Every picture below `folder`, sorted by its path relative to it; without hidden folders and ground-truth folders.

    Raises SourceError if a folder cannot be read or is a link.
    """
    return [path for path in _find_files(folder) if is_picture_name(path)]


def _find_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if name not in NO_PHOTOGRAPHS and not name.startswith(".")]
        for name in folders:
            if Path(place, name).is_symlink():
                raise SourceError(
                    f"folder {Path(place, name)} is a link, which is not followed; give the folder itself"
                )
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _left_out(folder: Path, files: list[Path]) -> tuple[str, ...]:
    """A remark on the files of a folder whose names are not those of pictures; empty if there are none."""
    others = [path.relative_to(folder).as_posix() for path in files if not is_picture_name(path)]
    if not others:
        return ()
    named = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    return (f"{folder}: {counted(len(others), 'file')} left out, whose names are not those of pictures: {named}",)


def _refuse(error: OSError) -> None:
    raise SourceError(f"folder {error.filename} cannot be read: {error.strerror}") from None


class FolderSource(Source):
    """Stored pictures of any size. A picture that does not decode is a capture with a fault; the source continues."""

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        path = Path(request.name)
        self._root = path if path.is_dir() else path.parent
        files = _find_files(path) if path.is_dir() else [path]
        self._pictures = [file for file in files if is_picture_name(file)]
        if not self._pictures:
            raise SourceError(
                f"no pictures in folder {request.name}: give one with files that end in "
                + " ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
            )
        self._wanted = wanted(request, len(self._pictures))
        self._bits = request.bits
        self.remarks = _left_out(self._root, files)
        self.rate = self._wanted.rate
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture]:
        """One capture per picture, in order; with `loop` the first follows the last."""
        return paced((self._capture(index) for index in self._wanted.indices()), self.rate)

    def close(self) -> None:
        """Nothing to release."""

    def _capture(self, index: int) -> Capture:
        path = self._pictures[index % len(self._pictures)]
        return _decoded(self._root, path, index, _content(path), self._bits)


class Write(NamedTuple):
    """The state of a file after one write; a rename does not change it. `changed_ns` is the time of the last write.

    Two writes can look the same: the inode of a deleted file is reused, and some programs set the time of a copy.
    """

    device: int
    inode: int
    changed_ns: int
    size: int


class ShownWrite(NamedTuple):
    """A write that was shown: its arrival time under its name (ns), and the digest of its content."""

    arrived_ns: int
    digest: bytes


class WatchedFolder(Source):
    """A folder that another program fills. Each completed write of a picture is one capture: an overwritten file is
    shown again, a renamed file is not. The captures are in order of arrival under their names, and never end. The
    folder may be empty.
    """

    def __init__(self, request: SourceRequest) -> None:
        path = Path(request.name)
        if not path.is_dir():
            raise SourceError(f"{request.name} is one picture and cannot be watched; give a folder")
        if request.loop or request.rate is not None:
            raise SourceError("a watched folder has no end and no pace of its own: leave out --loop and --rate")
        self.name = request.name
        self._folder = path
        self._wanted = wanted(request, None)
        self._after = request.after  # the last picture of the previous process, which has shown all earlier arrivals
        self._bits = request.bits
        self._seen: dict[Path, tuple[Write, float]] = {}  # current state, and since when (s)
        self._shown: dict[Write, ShownWrite] = {}  # in order of display

    def captures(self) -> Iterator[Capture | None]:
        """One capture per write, None while there is nothing new. Raises SourceError if the folder disappears."""
        index = self._wanted.start if self._after is not None else 0
        given_up = 0 if self._after is None else index - self._after.position - 1  # pictures that killed the process
        while self._wanted.end is None or index < self._wanted.end:
            complete = self._complete()
            for arrival, write, path in complete:
                content = _content(path)
                if _state(path) not in (None, (arrival, write)) or _is_being_written(path):
                    continue  # written again meanwhile; shown when that write is complete
                self._remember(write, ShownWrite(arrival, _digest(content)))
                if given_up:
                    given_up -= 1
                    continue
                if index >= self._wanted.start:
                    capture = _decoded(self._folder, path, index, content, self._bits)
                    yield replace(capture, mark=Mark(index, arrival, path.as_posix()))
                index += 1
                if index == self._wanted.end:
                    return
            if not complete:
                yield None
                time.sleep(WATCH_S)

    def close(self) -> None:
        """Nothing to release."""

    def _complete(self) -> list[tuple[int, Write, Path]]:
        """Complete writes that were not shown yet, as (arrival time, write, path) in order of arrival."""
        now, seen = time.monotonic(), self._seen
        found = {path: state for path in find_pictures(self._folder) if (state := _state(path)) is not None}
        self._seen = {
            path: seen[path] if path in seen and seen[path][0] == write else (write, now)
            for path, (_, write) in found.items()
        }
        ready = []
        for path, (write, since) in self._seen.items():
            arrival = found[path][0]
            if self._is_shown(arrival, write) or self._is_before(arrival, path) or now - since < WATCH_S:
                continue
            if not _is_being_written(path) and self._is_new(arrival, write, path):
                ready.append((arrival, write, path))
        return sorted({write: (arrival, write, path) for arrival, write, path in sorted(ready, reverse=True)}.values())

    def _is_before(self, arrival: int, path: Path) -> bool:
        """Whether a previous process has shown this picture or a later arrival."""
        return self._after is not None and (arrival, path.as_posix()) <= (self._after.arrived_ns, self._after.path)

    def _is_shown(self, arrival: int, write: Write) -> bool:
        known = self._shown.get(write)
        return known is not None and known.arrived_ns == arrival

    def _is_new(self, arrival: int, write: Write, path: Path) -> bool:
        """Whether the content is new: a file that looks like a shown write may be a renamed one, or another."""
        known = self._shown.get(write)
        if known is None or _digest(_content(path)) != known.digest:
            return True
        self._shown[write] = known._replace(arrived_ns=arrival)
        return False

    def _remember(self, write: Write, shown: ShownWrite) -> None:
        self._shown[write] = shown
        if len(self._shown) > 2 * MOST_REMEMBERED:
            there = {write for write, _ in self._seen.values()}
            gone = [write for write in self._shown if write not in there]
            for write in gone[:-MOST_REMEMBERED]:
                del self._shown[write]


def _state(path: Path) -> tuple[int, Write] | None:
    """Arrival time under its name (ns), and the write; None if the file is gone.

    A rename changes the time of the inode's last change, st_ctime, but not the time of the content's.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, Write(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _is_being_written(path: Path) -> bool:
    """Whether some program has the file open for writing. False if the system cannot tell.

    Linux grants a read lease only on files that no process has open for writing: see fcntl(2), "Leases".
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe must not block
    except OSError:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # default SIGIO would kill the process if a writer opens it
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(file)
    return False


def _content(path: Path) -> bytes | DataError:
    """The content of the file, or the error of reading it."""
    try:
        return read_bytes(path)
    except DataError as error:
        return error


def _digest(content: bytes | DataError) -> bytes:
    return b"" if isinstance(content, DataError) else blake2b(content, digest_size=16).digest()


def _decoded(root: Path, path: Path, index: int, content: bytes | DataError, bits: int | None) -> Capture:
    name = path.relative_to(root).as_posix()
    try:
        if isinstance(content, DataError):
            raise content
        return Capture(index, name, decode_picture(content, bits))
    except DataError as error:
        return Capture(index, name, None, fault=Fault(Reason.CORRUPT, f"{error}"))


def open(request: SourceRequest) -> FolderSource | WatchedFolder:
    """Open a folder or a single picture. Raises SourceError if it has no pictures, unless it is watched."""
    return WatchedFolder(request) if request.watch else FolderSource(request)


KIND = Kind(
    claims,
    open,
    ("photographs/", "one.png"),
    "the pictures of a folder by name, or one picture; with --watch also those that are written there later",
    can_be_watched=True,
    has_own_size=True,
)
