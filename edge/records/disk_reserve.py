"""A file that reserves disk space; it is shortened or removed when the disk is full, so that the journal has room."""

import errno
import os
import time
from pathlib import Path

from edge.records.durable_files import open_private

RESERVE = 4 * 2**20
"""Bytes reserved for the journal."""

LAST = 2**20
"""Bytes of the reserve that are kept for the end of the run."""

PATIENCE_S = 1.0
"""Interval at which a reduced reserve checks the disk for free space."""


class Reserve:
    """The reserve file: its blocks are allocated on disk (no sparse file), or the file does not exist."""

    def __init__(self, path: Path) -> None:
        """Take over the file of an earlier run at `path`. Nothing is allocated before `renew`."""
        self._path = path
        self._held = min(RESERVE, path.stat().st_blocks * 512) if path.is_file() and not path.is_symlink() else 0
        self._renew_due = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether the reserve has its full size. False while the disk is full and until the next successful `renew`."""
        return self._held == RESERVE

    def renew(self) -> None:
        """Restore the full size if the disk has twice that much free; checks once a second at most."""
        if self.is_whole or time.monotonic() < self._renew_due:
            return
        self._renew_due = time.monotonic() + PATIENCE_S
        try:
            if free_bytes(self._path.parent) >= 2 * RESERVE:
                self._allocate()
        except OSError:
            self.release(self._held)  # frees the blocks of the failed allocation

    def release(self, keep: int = 0) -> bool:
        """Free the reserve except for `keep` bytes. Returns False if nothing was freed."""
        had = self._held
        try:
            self._release(keep)
        except OSError:
            return False
        return had > self._held

    def _release(self, keep: int) -> None:
        self._held = min(self._held, keep)
        if self._held:
            os.truncate(self._path, self._held)
        else:
            self._path.unlink(missing_ok=True)

    def _allocate(self) -> None:
        descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, RESERVE)
            else:
                os.write(descriptor, bytes(RESERVE))
        finally:
            os.close(descriptor)
        self._held = RESERVE


def free_bytes(folder: Path) -> int:
    """Free bytes for an unprivileged user on the file system of this folder. Raises OSError."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize


def is_full(error: OSError) -> bool:
    """Whether an error means that the disk or the quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
