"""A small file that always has the latest of something: written by a thread, so that nothing waits for the disk."""

import threading
from pathlib import Path

from pydantic import BaseModel

from edge.records.durable_files import write_durably


class LatestFile(threading.Thread):
    """Writes what `keep` was given last, as JSON; what is replaced before it is written is left out."""

    def __init__(self, path: Path) -> None:
        """Start the thread. The file lies in the records' folder, which the station has locked."""
        super().__init__(name=path.name, daemon=True)
        self._path = path
        self._latest: BaseModel | None = None
        self._changed, self._is_closing = threading.Condition(), False
        self.trouble: str | None = None
        """Why the last write failed; None if it did not."""
        self.start()

    def keep(self, latest: BaseModel) -> None:
        """Write this next; it replaces one that is not written yet."""
        with self._changed:
            self._latest = latest
            self._changed.notify()

    def close(self, patience_s: float) -> None:
        """Write what is left, for at most `patience_s` seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self.join(patience_s)

    def run(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None or self._is_closing)
                latest, self._latest = self._latest, None
            if latest is None:
                return
            try:
                write_durably({self._path: latest.model_dump_json().encode()})
                self.trouble = None
            except OSError as error:
                self.trouble = error.strerror
