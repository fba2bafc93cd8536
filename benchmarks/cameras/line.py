"""A station in its own processes, and all that it says."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from benchmarks.station import Ear, Found, Station
from edge.errors import EdgeError
from edge.verdict import State, StateChange, Verdict

BUDGET_MS = 20_000
"""What is asked is what becomes of each frame, not how fast this machine is."""

GOES_ON = (State.READY, State.EXECUTING)


class Line(Station):
    """A station with these flags; a thread of this process hears it."""

    def __init__(self, *flags: object) -> None:
        super().__init__(*flags, budget_ms=BUDGET_MS)
        self._ear = Ear(self.endpoint, self.name)

    def __exit__(self, *error: object) -> None:
        self._ear.__exit__()
        super().__exit__(*error)

    @property
    def verdicts(self) -> list[Verdict]:
        """Those that came."""
        return [one.message for one in list(self._ear.verdicts) if isinstance(one.message, Verdict)]

    def until(self, verdicts: int, tick: Callable[[int], None] = lambda count: None) -> None:
        """Wait until so many have come. Raises EdgeError if the station falls silent."""

        def have_come() -> Literal[True] | None:
            count = len(self._ear.verdicts)
            tick(min(count, verdicts))
            return True if count >= verdicts else None

        self._until(have_come)

    def state_after(self, since_ns: int, states: tuple[State, ...]) -> int:
        """When the station announced one of these, the first time after `since_ns`; monotonic, heard here."""

        def announced() -> int | None:
            changes = ((one.at_ns, one.message) for one in list(self._ear.changes))
            moments = (at for at, it in changes if at > since_ns and isinstance(it, StateChange) and it.state in states)
            return next(moments, None)

        return self._until(announced)

    def _until(self, happened: Callable[[], Found | None]) -> Found:
        try:
            return self._ear.until(happened)
        except TimeoutError:
            raise EdgeError(f"the station fell silent; it said: {self.last_words()}") from None

    def end(self) -> dict[str, Any]:
        """Tell it to stop; what it reports of its run."""
        self.process.terminate()
        self.state_after(0, (State.STOPPED,))
        return self.report()


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
