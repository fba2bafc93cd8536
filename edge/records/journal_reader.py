"""Replay of verdicts: a separate thread reads them from the journal."""

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
from edge.records.selection import Selection
from edge.records.stored_verdicts import select


class Wanted(NamedTuple):
    """A request for the verdicts `from_seq` to `to_seq` of an epoch; `token` identifies the request."""

    token: object
    epoch: str
    from_seq: int
    to_seq: int


Answer = tuple[object, list[bytes]]


class Replayer(threading.Thread):
    """Answers each `ask` with one item of `answers`: the request's token and the verdicts that the journal has."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the folder of the records. Nothing is read before `start`."""
        super().__init__(name="edge-replay", daemon=True)
        self._folder = folder
        self._wanted: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()  # bounded by the caller: REPLAYS_AT_ONCE
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask(self, wanted: Wanted) -> None:
        """Queue a request. Never waits."""
        self._wanted.put(wanted)

    def stop(self) -> None:
        """End the thread after the requests before. Does not wait."""
        self._wanted.put(None)

    def answers(self) -> Iterator[Answer]:
        """The answers that are ready and were not returned before. Never waits."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._answers.get_nowait()

    def run(self) -> None:
        """Answer requests until `stop`. An unreadable journal gives an answer without verdicts."""
        while (wanted := self._wanted.get()) is not None:
            try:
                payloads = self._read(wanted)
            except (sqlite3.Error, RecordsError, OSError):
                payloads = []
            self._answers.put((wanted.token, payloads))

    def _read(self, wanted: Wanted) -> list[bytes]:
        wanted_ones = Selection(epoch=wanted.epoch, first_seq=wanted.from_seq, last_seq=wanted.to_seq)
        with contextlib.closing(open_to_read(self._folder)) as journal:
            return [one.text.encode() for one in select(journal, wanted_ones, limit=MOST_REPLAYED)]
