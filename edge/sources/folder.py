"""Source `photos/`: a folder of pictures with its subfolders, in order of their names; or one single picture."""

import os
from collections.abc import Iterator
from pathlib import Path

from edge.errors import DataError, SourceError
from edge.picture import PICTURE_SUFFIXES, decode_picture, is_picture_name, read_bytes
from edge.sources import Capture, SourceRequest
from edge.sources.stored import paced, wanted

NO_PHOTOGRAPHS = frozenset({"mask", "masks", "ground_truth"})
"""Names of folders that hold the truth about photographs, not photographs."""


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
        path = self._pictures[index % len(self._pictures)]
        name = path.relative_to(self._root).as_posix()
        try:
            return Capture(index, name, decode_picture(read_bytes(path)))
        except DataError as error:
            return Capture(index, name, None, fault=f"corrupt: {error}")


def open(request: SourceRequest) -> FolderSource:
    """Open a folder or a single picture. Raises SourceError if there is no picture in it."""
    return FolderSource(request)
