"""A station as users start it, `edge-run` in its own processes: its messages, its processes, its end."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

from edge.channel.subscriber import Received, Subscriber
from edge.errors import EdgeError
from edge.station.process.runner import EdgeRun
from edge.verdict import State, StateChange, Verdict

Found = TypeVar("Found")

PATIENCE_S = 60.0
LOOK_S = 0.5


class Station(EdgeRun):
    """A station that runs while the context is open and is stopped at its end.

    By default the station keeps no records, is not tuned, and waits for one subscriber. Its output goes to `log`, which
    other stations may share; with `is_apart` it does not get Ctrl-C.
    """

    def __init__(self, *flags: object, log: Path | None = None, is_apart: bool = False, **options: object) -> None:
        usual = {"records": False, "tuned": False, "wait_subscribers": 1, "json": True}
        self._folder = TemporaryDirectory()
        self._report = Path(self._folder.name) / "report.json"
        with self._report.open("wb") as report:
            popen = {"stdout": report, "start_new_session": is_apart}
            super().__init__(*flags, log=log, popen=popen, **(usual | options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def messages(self, silence_s: float = PATIENCE_S) -> Iterator[Received]:
        """The station's messages, received in this thread, until it stopped, is gone, or was silent for `silence_s`."""
        subscriber, heard_s = Subscriber(self.endpoint, self.name), time.monotonic()
        try:
            while time.monotonic() - heard_s < silence_s:
                for received in subscriber.messages(LOOK_S):
                    yield received
                    heard_s = time.monotonic()
                    if isinstance(received.message, StateChange) and received.message.state is State.STOPPED:
                        return
                if self.process.poll() is not None:
                    return
        finally:
            subscriber.close()

    def report(self) -> dict[str, Any]:
        """Stop the station; returns its report of the run. Raises EdgeError with its last line if there is none."""
        self.stop()
        if not (text := self._report.read_text(encoding="utf-8")):
            raise EdgeError(f"the station gave no report; {self.last_words()}")
        report: dict[str, Any] = json.loads(text)
        return report


class Listener:
    """Receives a station's messages in a thread, so that their arrival times stay exact while other threads work.

    `verdicts` and `changes` (of the station's state) hold the received messages.
    """

    def __init__(self, endpoint: str, station: str) -> None:
        self.verdicts: list[Received] = []
        self.changes: list[Received] = []
        self._subscriber = Subscriber(endpoint, station)
        self._changed = threading.Condition()
        self._count = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self._subscriber.close()

    @property
    def missed(self) -> int:
        """Number of verdicts that were published but not received."""
        return self._subscriber.missed

    def until(self, happened: Callable[[], Found | None]) -> Found:
        """The first result of `happened`, called after each message. Raises TimeoutError if no more messages arrive."""
        seen = 0
        while (found := happened()) is None:
            seen = self._count_above(seen)
        return found

    def _count_above(self, seen: int) -> int:
        with self._changed:
            if not self._changed.wait_for(lambda: self._count > seen, PATIENCE_S):
                raise TimeoutError
            return self._count

    def _listen(self) -> None:
        while not self._is_over:
            for received in self._subscriber.messages(LOOK_S):
                self._take(received)
                if self._is_over:
                    return

    def _take(self, received: Received) -> None:
        with self._changed:
            self._count += 1
            if isinstance(received.message, Verdict):
                self.verdicts.append(received)
            elif isinstance(received.message, StateChange):
                self.changes.append(received)
            self._changed.notify()
