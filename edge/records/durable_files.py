"""Files that are whole and on disk once they have their name."""

import os
from collections.abc import Mapping
from pathlib import Path

NEW = ".new"
"""The end of the name of a file that is not whole yet."""


PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of what is its owner's alone."""


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Write files of one folder under other names, wait for the disk, rename them in this order, wait for the folder.
    They are their owner's alone.

    Raises OSError; then none of them is there under its other name, and those not renamed are as they were.
    """
    new = {path: path.with_name(path.name + NEW) for path in files}
    try:
        for path, data in files.items():
            with open(open_private(new[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            new[path].rename(path)
    except BaseException:
        for path in new.values():
            path.unlink(missing_ok=True)
        raise
    sync_folder(next(iter(files)).parent)


def open_private(path: Path, flags: int) -> int:
    """Descriptor of a file that is its owner's alone, mode 0600, whatever the umask. Raises OSError, for a link too."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    try:
        os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, after files were created or renamed in it. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
