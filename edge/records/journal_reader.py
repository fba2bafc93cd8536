"""Verdicts of the journal again, read by a thread of its own."""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.channel.control_messages import MOST_REPLAYED
from edge.errors import RecordsError
from edge.records.journal import open_to_read


class Wanted(NamedTuple):
    """A request: whose it is, and the verdicts `from_seq` to `to_seq` of an epoch."""

    token: object
    epoch: str
    from_seq: int
    to_seq: int


Answer = tuple[object, list[bytes]]


class Replayer(threading.Thread):
    """Each `ask` is answered by one of `answers`: the request's token and the verdicts that the journal has."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read before `start`."""
        super().__init__(name="edge-replay", daemon=True)
        self._folder = folder
        self._wanted: queue.SimpleQueue[Wanted] = queue.SimpleQueue()  # the channel lets in a few at a time
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask(self, wanted: Wanted) -> None:
        """Never waits."""
        self._wanted.put(wanted)

    def answers(self) -> Iterator[Answer]:
        """What has been read since; never waits."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._answers.get_nowait()

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            wanted = self._wanted.get()
            try:
                payloads = self._read(wanted)
            except (sqlite3.Error, RecordsError, OSError):
                payloads = []
            self._answers.put((wanted.token, payloads))

    def _read(self, wanted: Wanted) -> list[bytes]:
        select = "SELECT json FROM verdicts WHERE epoch = ? AND seq BETWEEN ? AND ? AND typeof(json) = 'text' "
        select += "ORDER BY seq, rowid LIMIT ?"
        with contextlib.closing(open_to_read(self._folder)) as journal:
            rows = journal.execute(select, (*wanted[1:], MOST_REPLAYED))
            return [json.encode() for (json,) in rows]
