"""The base class of actuators, and the request to open one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from edge.gate.decision import Decision


@dataclass(frozen=True)
class ActuatorRequest:
    """How to open an actuator. `address` is the part of `--actuator` after the colon, empty without one.

    `show` writes a text to the terminal and never waits. With `as_json` the text is for programs. `lead_ms` is the time
    from the decision on a part to its arrival at the gate; None if the speed of the belt may change.
    """

    address: str
    show: Callable[[str], None]
    as_json: bool = False
    lead_ms: float | None = None


class Actuator(ABC):
    """One output of the gate. At rest, before the first call and between calls, it lets no part pass.

    One thread calls the methods; it also decides about all parts and answers the station, so no method may wait for the
    plant. An exception is a failure of the actuator, and so is a call that takes longer than `patience_s`. A call that
    never returns stops the gate: an output needs a watchdog of its own that brings it to rest.
    """

    name: ClassVar[str]
    """The name in `--actuator NAME` or `--actuator NAME:ADDRESS`."""
    is_real_output: ClassVar[bool] = True
    """Whether it moves something. Then `edge-gate` requires keys, `ipc://` or `--insecure`."""
    patience_s: ClassVar[float] = 0.1
    """Seconds that a call may take."""

    @classmethod
    @abstractmethod
    def open(cls, request: ActuatorRequest) -> "Actuator":
        """Open it, at rest. Raises ActuatorError, in one line, if that cannot be done."""

    @abstractmethod
    def pass_part(self, decision: Decision) -> None:
        """Let this part pass, and no other. It is the belt's lead before the gate now."""

    @abstractmethod
    def reject(self, decision: Decision) -> None:
        """Stop this part, or the parts up to `decision.to_seq`: stay at rest, or reject actively."""

    def check(self) -> str | None:
        """Why the output cannot let a part pass now, None if it can. Called in each turn of the gate, every 20 ms at
        least. While it is not None, parts are rejected; it need not last, as a failure does.
        """
        return None

    def separates(self, due_ns: int, next_due_ns: int | None) -> bool:
        """Whether a part that is due at `due_ns` can pass without a rejected part, or the one that is due at
        `next_due_ns`. If not, the part is rejected, too. Times are those of `Decision.due_ns`.
        """
        return True

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines about what the plant should change, in order; `edge-gate` prints each once."""
        return ()

    @abstractmethod
    def safe(self, reason: str) -> None:
        """Let nothing pass from now on. Called after a failure of any actuator and at the end; again if it raises."""

    @abstractmethod
    def close(self) -> None:
        """Release the output, after `safe`."""
