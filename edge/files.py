"""Files that are written whole or not at all, and files of folders that somebody else may write to."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

HOLLOW_BYTES, HOLLOW_FACTOR = 64 * 2**20, 64


def open_regular(folder: Path, name: str, most: int) -> BufferedReader:
    """Open the file `name`, a relative path with slashes, for reading; no part of `name` may be a link.

    A FIFO or a device is refused without waiting for it. Raises OSError, whose `strerror` says why, if there is no
    regular file of that name or it has more than `most` bytes.
    """
    *parents, last = PurePosixPath(name).parts or ("",)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, flags | os.O_DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inner
        descriptor = os.open(last, flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    finally:
        os.close(directory)
    status = os.fstat(descriptor)
    why = "not a regular file" if not stat.S_ISREG(status.st_mode) else None
    if why is None and status.st_size > most:
        why = f"it has {status.st_size} bytes, the limit is {most}"
    if why is not None:
        os.close(descriptor)
        raise OSError(None, why)
    return os.fdopen(descriptor, "rb")


def is_hollow(status: os.stat_result) -> bool:
    """Whether a file says that it is far larger than what is stored of it, so that reading it to its end never pays.

    The factor is beyond that of any file system that compresses.
    """
    return status.st_size > HOLLOW_BYTES + HOLLOW_FACTOR * 512 * status.st_blocks


def read_regular(folder: Path, name: str, most: int) -> bytes:
    """The content of a file as long as it was when it was opened; see `open_regular`."""
    with open_regular(folder, name, most) as file:
        return file.read(os.fstat(file.fileno()).st_size)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to instead of `path`, which becomes `path` in the end; if the writing raises, `path` stays as it
    was. It is not on disk then: see `edge.records.durable_files` for what has to be.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write text in UTF-8, whole or not at all. Raises OSError."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
