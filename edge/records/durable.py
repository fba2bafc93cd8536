"""Files that are whole and on disk once they have their name."""

import os
from pathlib import Path

NEW = ".new"
"""The end of the name of a file that is not whole yet."""


def write_durably(path: Path, *data: "bytes | memoryview") -> None:
    """Write a file under another name, wait for the disk, rename it, and wait for the folder. Raises OSError."""
    write_new(path, *data)
    keep_new(path)


def write_new(path: Path, *data: "bytes | memoryview") -> None:
    """The first half: the file is on disk, beside its place. It is removed if it cannot be written."""
    new = path.with_name(path.name + NEW)
    try:
        with open(new, "wb") as file:
            for piece in data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def keep_new(*paths: Path) -> None:
    """The second half, for several files of one folder at once: the last named appears last."""
    for path in paths:
        path.with_name(path.name + NEW).rename(path)
    sync_folder(paths[0].parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, after files were created or renamed in it. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
