"""A station in its own processes, and all its messages."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from benchmarks.station import Found, Listener, Station
from edge.errors import EdgeError
from edge.verdict import State, StateChange, Verdict

BUDGET_MS = 20_000
"""Large, because the trials ask what becomes of each frame, not how fast this machine is."""

GOES_ON = (State.READY, State.EXECUTING)


class Line(Station):
    """A station with these flags; a thread of this process receives its messages."""

    def __init__(self, *flags: object) -> None:
        super().__init__(*flags, budget_ms=BUDGET_MS)
        self._listener = Listener(self.endpoint, self.name)

    def __exit__(self, *error: object) -> None:
        self._listener.__exit__()
        super().__exit__(*error)

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts received so far."""
        return [one.message for one in list(self._listener.verdicts) if isinstance(one.message, Verdict)]

    def until(self, verdicts: int, tick: Callable[[int], None] = lambda count: None) -> None:
        """Wait until `verdicts` verdicts have arrived. Raises EdgeError if the station falls silent."""

        def have_come() -> Literal[True] | None:
            count = len(self._listener.verdicts)
            tick(min(count, verdicts))
            return True if count >= verdicts else None

        self._until(have_come)

    def state_after(self, since_ns: int, states: tuple[State, ...]) -> int:
        """When the station first announced one of these states after `since_ns`; monotonic time of arrival here."""

        def announced() -> int | None:
            changes = ((one.at_ns, one.message) for one in list(self._listener.changes))
            moments = (at for at, it in changes if at > since_ns and isinstance(it, StateChange) and it.state in states)
            return next(moments, None)

        return self._until(announced)

    def _until(self, happened: Callable[[], Found | None]) -> Found:
        try:
            return self._listener.until(happened)
        except TimeoutError:
            raise EdgeError(f"the station fell silent; it said: {self.last_words()}") from None

    def end(self) -> dict[str, Any]:
        """Stop the station; returns the report of its run."""
        self.process.terminate()
        self.state_after(0, (State.STOPPED,))
        return self.report()


def account(verdicts: list[Verdict], report: dict[str, Any]) -> dict[str, Any]:
    """The fate of each exposure that the camera counted.

    `unexplained` are the exposures up to the last verdict without a verdict that are not counted as dropped (a picture
    may also have been dropped after that verdict). `misnamed` counts verdicts whose sequence number or exposure was
    repeated or out of order.
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
