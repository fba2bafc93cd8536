"""A station as people start it, `edge-run` in processes of its own: what it says, what it runs, how it ends."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

from edge.bench.processes import family
from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Received, Subscriber
from edge.errors import EdgeError
from edge.verdict import State, StateChange, Verdict

Found = TypeVar("Found")

PATIENCE_S = 60.0
LOOK_S = 0.5


class Station:
    """Runs while the context is open, and is told to stop at its end.

    Options are those of `edge-run`: `rate=5` is --rate=5, `loop=True` --loop, `records=False` --no-records, and what is
    None is not said. Unless they say otherwise it keeps no records, is not tuned, waits for one subscriber, and has an
    endpoint that is free. It writes into `log`, which others may share; with `is_apart` Ctrl-C is not for it.
    """

    def __init__(self, *flags: object, log: Path | None = None, is_apart: bool = False, **options: object) -> None:
        usual = {"bind": free_endpoint(), "station": "line1", "records": False, "tuned": False, "wait_subscribers": 1}
        options = usual | options
        self.endpoint, self.name = str(options["bind"]), str(options["station"])
        self._folder = TemporaryDirectory()
        self._log, self._report = log or Path(self._folder.name) / "log", Path(self._folder.name) / "report.json"
        said = [_flag(key.replace("_", "-"), value) for key, value in options.items() if value is not None]
        command = [sys.executable, "-P", "-m", "edge.cli.run", *map(str, flags), *said, "--json"]
        with self._log.open("ab") as words, self._report.open("wb") as report:
            self.process = subprocess.Popen(command, stdout=report, stderr=words, start_new_session=is_apart)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def messages(self, silence_s: float = PATIENCE_S) -> Iterator[Received]:
        """What it says, received in this thread, until it has stopped, is gone, or has been silent for so long."""
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

    def stop(self) -> None:
        """End it in order, and kill it if it does not."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def report(self) -> dict[str, Any]:
        """Stop it; what it says of its run. Raises EdgeError with its last words if it says nothing."""
        self.stop()
        if not (text := self._report.read_text(encoding="utf-8")):
            raise EdgeError(f"the station gave no report; {self.last_words()}")
        report: dict[str, Any] = json.loads(text)
        return report

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def pids(self) -> dict[int, str]:
        """Its processes and their names, its own first."""
        return {pid: _name(pid) for pid in family(self.process.pid)}


class Ear:
    """Hears a station in a thread while others do other things: when a message came is told as exactly as ever.

    `verdicts` and `changes` (of its state) are those that came.
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
        """Verdicts that were lost on their way."""
        return self._subscriber.missed

    def until(self, happened: Callable[[], Found | None]) -> Found:
        """What `happened` finds, asked again after each message. Raises TimeoutError if none comes any more."""
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


def _flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it is gone
        return ""
