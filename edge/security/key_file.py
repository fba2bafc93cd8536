"""Key files: created with their final mode, never overwritten, never read if other users can access them."""

import os
from pathlib import Path
from stat import S_IMODE, S_ISREG

from edge.errors import KeyFileError

LARGEST_FILE = 64 * 1024
"""Largest size of a key file in bytes; a key of any kind has a few hundred."""


def create(path: Path, content: bytes, mode: int) -> None:
    """Create the file with `mode` from the start, never with wider permissions first. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def read(path: Path) -> tuple[bytes, int]:
    """Content and permissions of one and the same file, even if it is replaced meanwhile. Raises KeyFileError."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            status = os.fstat(file.fileno())
            if not S_ISREG(status.st_mode):  # reading a pipe or device may never end
                raise KeyFileError(f"{path}: not a regular file; give a key file")
            content, mode = file.read(LARGEST_FILE + 1), S_IMODE(status.st_mode)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({error.strerror}); give a key file") from error
    if len(content) > LARGEST_FILE:
        raise KeyFileError(f"{path}: too large for a key; give a key file")
    return content, mode


def refuse_shared(path: Path, mode: int) -> None:
    """Raise KeyFileError if the permissions `mode` let other users read or change the secret at `path`."""
    if mode & 0o077:
        remedy = f"chmod {'700' if path.is_dir() else '600'} {path}"
        raise KeyFileError(f"{path}: others than its owner may use it (mode {mode:04o}); {remedy}")
