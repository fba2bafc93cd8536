"""A small file that always has the latest of something: written by a thread, so that nothing waits for the disk."""

import threading
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from edge.records.durable_files import sync_folder, write_durably


class LatestFile:
    """Writes what `keep` was given last, as JSON; what is replaced before it is written is left out."""

    def __init__(self, path: Path) -> None:
        """The file lies in the records' folder, which the station has locked. The first `keep` starts the thread."""
        self._path = path
        self._latest: list[BaseModel | None] = []  # at most one: the content to write, or None to remove the file
        self._changed, self._is_closing = threading.Condition(), False
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        """Why the last write failed; None if it did not."""

    def keep(self, latest: BaseModel | None) -> None:
        """Write this next, or with None remove the file; it replaces one that is not written yet."""
        with self._changed:
            self._latest = [latest]
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
                self._changed.wait_for(lambda: self._latest or self._is_closing)
                if not self._latest:
                    return
                (latest,) = self._latest
                self._latest = []
            try:
                if latest is None:
                    with suppress(FileNotFoundError):
                        self._path.unlink()
                    sync_folder(self._path.parent)
                else:
                    write_durably({self._path: latest.model_dump_json().encode()})
                self.trouble = None
            except OSError as error:
                self.trouble = error.strerror
