"""A small file that always has the latest of something: written by a thread, so that nothing waits for the disk."""

import threading
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from edge.files import sync
from edge.records.durable_files import write_durably

AGAIN_S = 1.0
"""A write that fails is tried again after this time."""

SLOW_S = 1.0
"""A write that takes longer is trouble, too."""


class LatestFile:
    """Writes what `keep` was given last, as JSON; what is replaced before it is written is left out."""

    def __init__(self, path: Path) -> None:
        """The file lies in the records' folder, which the station has locked. The first `keep` starts the thread."""
        self._path = path
        self._wanted: tuple[BaseModel | None] | None = None  # to write next; None in it: to remove the file
        self._since: float | None = None  # when what is wanted was told and not yet written
        self._failure: str | None = None
        self._changed, self._is_closing = threading.Condition(), False
        self._thread: threading.Thread | None = None

    @property
    def trouble(self) -> str | None:
        """Why the file does not have the latest; None if it has, or will soon."""
        since = self._since
        if self._failure is None and since is not None and time.monotonic() - since > SLOW_S:
            return "the disk does not answer"
        return self._failure

    def keep(self, latest: BaseModel | None) -> None:
        """Write this next, or with None remove the file; it replaces one that is not written yet."""
        with self._changed:
            self._wanted, self._since = (latest,), self._since or time.monotonic()
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._path.name, daemon=True)
            self._thread.start()

    def close(self, patience_s: float) -> None:
        """Write what is left, for at most `patience_s` seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._is_closing)
                wanted = self._wanted
            if wanted is None:
                return
            try:
                self._write(*wanted)
            except Exception as error:  # whatever it is, the file lacks the latest
                self._failure = (error.strerror if isinstance(error, OSError) else None) or str(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, AGAIN_S)
                    if self._is_closing:
                        return
                continue
            with self._changed:
                if self._wanted is wanted:
                    self._wanted = self._since = None
            self._failure = None

    def _write(self, latest: BaseModel | None) -> None:
        if latest is not None:
            write_durably({self._path: latest.model_dump_json().encode()})
            return
        with suppress(FileNotFoundError):
            self._path.unlink()
        sync(self._path.parent)
