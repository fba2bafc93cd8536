"""Files that are written durably: complete and on disk before they get their final name."""

import os
from collections.abc import Mapping
from pathlib import Path

from edge.files import sync

NEW = ".new"
"""Suffix of a file that is not complete yet."""


PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of files and folders that only their owner can access."""


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Write files of one folder under temporary names, sync them, rename them in this order, and sync the folder.
    Their mode is 0600.

    Raises OSError; then the temporary files are removed, and files not renamed yet keep their former content.
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
    sync(next(iter(files)).parent)


def open_private(path: Path, flags: int) -> int:
    """Descriptor of a file with mode 0600, whatever the umask. Raises OSError, also if `path` is a symbolic link."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    try:
        os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
