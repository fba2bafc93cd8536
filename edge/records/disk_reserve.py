"""A file that takes room on the disk only to give it back when there is no other left."""

import errno
import os
import time
from pathlib import Path

from edge.records.durable_files import open_private

RESERVE = 4 * 2**20
"""Bytes kept back for the journal."""

LAST = 2**20
"""The part of them that is kept back for the end of the run."""

PATIENCE_S = 1.0
"""Between two looks whether there is room again."""


class Reserve:
    """Really allocated, or not there at all."""

    def __init__(self, path: Path) -> None:
        """Takes over what an earlier run left there; nothing is allocated before `renew`."""
        self._path = path
        self._held = min(RESERVE, path.stat().st_blocks * 512) if path.is_file() and not path.is_symlink() else 0
        self._renew_due = 0.0

    @property
    def is_whole(self) -> bool:
        """False while the disk is full, or was until just now."""
        return self._held == RESERVE

    def renew(self) -> None:
        """Make it whole again if there is room for it and as much again; looks once a second at most."""
        if self.is_whole or time.monotonic() < self._renew_due:
            return
        self._renew_due = time.monotonic() + PATIENCE_S
        try:
            if free_bytes(self._path.parent) >= 2 * RESERVE:
                self._allocate()
        except OSError:
            self.release(self._held)  # what was allocated beyond it

    def release(self, keep: int = 0) -> bool:
        """Give its room back, but for `keep` bytes; False if there was nothing to give."""
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
    """Bytes that an ordinary user may still write on the disk of this folder. Raises OSError."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize


def is_full(error: OSError) -> bool:
    """Whether an error means that there is no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
