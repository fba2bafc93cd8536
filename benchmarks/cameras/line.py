"""A station in its own processes, and all that it says."""

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from edge.channel.endpoints import free_endpoint
from edge.channel.subscriber import Received, Subscriber
from edge.errors import EdgeError
from edge.verdict import State, StateChange, Verdict

BUDGET_MS = 20_000
"""What is asked is what becomes of each frame, not how fast this machine is."""

PATIENCE_S = 60.0
GOES_ON = (State.READY, State.EXECUTING)


class Line:
    """`edge-run` with these arguments; a thread of this process hears it."""

    def __init__(self, *arguments: object) -> None:
        """Raises EdgeError if it does not start."""
        endpoint = free_endpoint()
        self._subscriber = Subscriber(endpoint, "line1")
        flags = [
            "--bind",
            endpoint,
            "--wait-subscribers",
            1,
            "--budget-ms",
            BUDGET_MS,
            "--no-records",
            "--no-tuned",
            "--json",
        ]
        command = [sys.executable, "-m", "edge.cli.run", *map(str, flags), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._changed = threading.Condition()
        self._received: list[Received] = []
        self._ends = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for received in self._subscriber.messages():
            with self._changed:
                if self._ends:
                    return
                self._received.append(received)
                self._changed.notify()

    @property
    def verdicts(self) -> list[Verdict]:
        """Those that came."""
        return [one.message for one in self._all() if isinstance(one.message, Verdict)]

    def _all(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    def until(self, verdicts: int, tick: Callable[[int], None] = lambda count: None) -> None:
        """Wait until so many have come. Raises EdgeError if the station falls silent."""
        seen = count = 0
        while count < verdicts:
            seen = self._more_than(seen)
            count = len(self.verdicts)
            tick(min(count, verdicts))

    def state_after(self, since_ns: int, states: tuple[State, ...]) -> int:
        """When the station announced one of these, the first time after `since_ns`; monotonic, heard here."""
        seen = 0
        while True:
            for one in self._all():
                if one.at_ns > since_ns and isinstance(one.message, StateChange) and one.message.state in states:
                    return one.at_ns
            seen = self._more_than(seen)

    def _more_than(self, seen: int) -> int:
        with self._changed:
            if self._changed.wait_for(lambda: len(self._received) > seen, PATIENCE_S):
                return len(self._received)
        self._process.kill()
        raise EdgeError(f"the station fell silent; it said: {self._process.communicate()[1].strip() or 'nothing'}")

    def end(self) -> dict[str, Any]:
        """Tell it to stop; what it reports of its run."""
        self._process.send_signal(signal.SIGTERM)
        self.state_after(0, (State.STOPPED,))
        out, said = self._process.communicate(timeout=PATIENCE_S)
        if not out:
            raise EdgeError(f"the station gave no report; it said: {said.strip()}")
        report: dict[str, Any] = json.loads(out)
        return report

    def close(self) -> None:
        """Leave nothing behind."""
        with self._changed:
            self._ends = True
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def line(*arguments: object) -> Iterator[Line]:
    """A station that is gone at the end."""
    started = Line(*arguments)
    try:
        yield started
    finally:
        started.close()


def account(verdicts: list[Verdict], report: dict[str, Any]) -> dict[str, Any]:
    """What became of each exposure that the camera counted.

    `unexplained` are those up to the last verdict that have none and that nobody counted as dropped (a picture may have
    been dropped after that verdict, too); `misnamed` verdicts whose sequence or exposure came twice or out of order.
    """
    seqs = [verdict.seq for verdict in verdicts]
    exposures = [int(verdict.part.removeprefix("frame ")) for verdict in verdicts]
    ordered = sum(a >= b for numbers in (seqs, exposures) for a, b in itertools.pairwise(numbers))
    return {
        "verdicts": len(verdicts),
        "scored": sum(verdict.score is not None for verdict in verdicts),
        "unknown": dict(Counter(v.reason.value for v in verdicts if v.score is None)),
        "dropped": report["dropped"],
        "exposures": exposures[-1] + 1,
        "unexplained": max(0, exposures[-1] + 1 - len(verdicts) - report["dropped"]),
        "misnamed": ordered,
    }
