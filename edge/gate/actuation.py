"""Executes the gate's decisions with its actuators. When one of them fails, all are put into the safe state."""

import contextlib
import time

from edge.errors import ActuatorError
from edge.gate.actuators.base import Actuator
from edge.gate.decision import Decision


class Actuation:
    """The `actuate` of a `Controller`, called with each decision.

    `pass_part` is called only for a part that passes, and never after a failure. A failed actuator gets no further
    decision; the others still get the rejects. If an actuator's `safe` raises, `safe` is called again with each later
    decision and at the end.
    """

    def __init__(self) -> None:
        """Without actuators decisions have no effect."""
        self._actuators: list[Actuator] = []
        self._failed: list[Actuator] = []
        self._is_safe = False
        self._unsafe: list[Actuator] = []
        self._reason = ""

    def add(self, actuator: Actuator) -> None:
        """Add an actuator, which is open and at rest."""
        self._actuators.append(actuator)

    def __call__(self, decision: Decision) -> None:
        """Execute the decision. Raises ActuatorError, in one line, if an actuator fails; nothing passes after that."""
        failure: str | None = None
        self._retry_safe()
        for actuator in self._actuators:
            if actuator not in self._failed and (why := self._move(actuator, decision)) is not None:
                self._make_safe(why)
                failure = failure or why
        if failure is not None:
            raise ActuatorError(failure)

    def check(self) -> str | None:
        """Why an actuator cannot let a part pass now, None if each can; those that failed are not asked."""
        whys = [actuator.check() for actuator in self._actuators if actuator not in self._failed]
        return next((why for why in whys if why is not None), None)

    def separates(self, due_ns: int, next_due_ns: int | None) -> bool:
        """Whether each actuator can let a part pass without another; see `Actuator.separates`."""
        working = [actuator for actuator in self._actuators if actuator not in self._failed]
        return all(actuator.separates(due_ns, next_due_ns) for actuator in working)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the actuators remark."""
        return tuple(line for actuator in self._actuators for line in actuator.remarks)

    def close(self) -> None:
        """Put all actuators into the safe state, and close them."""
        self._make_safe("the gate has ended")
        for actuator in self._actuators:
            with contextlib.suppress(Exception):
                actuator.close()

    def _move(self, actuator: Actuator, decision: Decision) -> str | None:
        """Execute the decision with one actuator; returns why it failed, None if it did not."""
        begun = time.monotonic()
        try:
            if decision.passes and not self._is_safe:
                actuator.pass_part(decision)
            else:
                actuator.reject(decision)
        except Exception as error:
            self._failed.append(actuator)
            why = str(error).partition("\n")[0] or type(error).__name__
            return f"the actuator {actuator.name} failed at {_part(decision)}: {why}"
        if (took_s := time.monotonic() - begun) <= actuator.patience_s:
            return None
        self._failed.append(actuator)
        most_ms = actuator.patience_s * 1e3
        took = f"took {took_s * 1e3:.0f} ms at {_part(decision)}, {most_ms:.0f} ms is the longest"
        return f"the actuator {actuator.name} {took}"

    def _make_safe(self, reason: str) -> None:
        """Call `safe` of every actuator, also if one of them raises."""
        if not self._is_safe:
            self._is_safe, self._unsafe, self._reason = True, list(self._actuators), reason
        self._retry_safe()

    def _retry_safe(self) -> None:
        for actuator in list(self._unsafe):
            with contextlib.suppress(Exception):
                actuator.safe(self._reason)
                self._unsafe.remove(actuator)


def _part(decision: Decision) -> str:
    """The part's id, else its number, for a message: whether this part passed is not known."""
    return decision.part or f"seq {decision.seq}"
