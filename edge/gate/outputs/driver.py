"""The thread that switches outputs at their times, notices that they are lost, and tries to reach them again."""

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from edge.errors import ActuatorError
from edge.gate.decision import Decision
from edge.gate.outputs.settings import Name, OutputSettings
from edge.gate.outputs.windows import Window, Windows
from edge.text import reason_of

REFRESH_NS = 100_000_000
"""How often all outputs are written, changed or not: what else switched them is undone, and a loss is noticed."""

LOOP_NS = 500_000_000
"""Without a turn of the gate for this long, nothing passes and alive stands still."""

RETRY_S = 1.0
"""Between two attempts to reach lost outputs."""

CLOSE_S = 1.0
"""How long the end of the gate waits for the outputs to be off, beyond the timeout."""

MOST_NAMED = 3


class Port(Protocol):
    """What the outputs are switched over. The methods raise if the outputs do not follow within their timeout."""

    name: str

    def open(self) -> None:
        """Reach the outputs."""

    def write(self, outputs: Mapping[Name, bool]) -> None:
        """Switch these outputs, in their order."""

    def close(self) -> None:
        """Let go of them."""


class OutputDriver(threading.Thread):
    """Switches the outputs `names` over a port. No method waits for the port but `start` and `close`."""

    def __init__(self, port: Port, names: tuple[Name, ...], settings: OutputSettings) -> None:
        """Outputs that go off are written before those that go on, each in the order pass, reject, alive."""
        super().__init__(name="edge-gate-outputs", daemon=True)
        self._port, self._settings = port, settings
        self._names = tuple(name for name in ("pass", "reject", "alive") if name in names)
        self._changed = threading.Condition()  # guards all below
        self._windows = Windows(int(settings.delay_ms * 1e6), int(settings.pulse_ms * 1e6))
        self._outage: str | None = None
        self._unsaid: str | None = None  # what the gate has not heard: of an outage that is over, of a missed window
        self._is_safe = self._is_closing = False
        self._checked_ns = self._moved_ns = time.monotonic_ns()
        self._alive, self._alive_due_ns = False, 0
        self._begun: set[Window] = set()  # windows of parts that may pass, with the output on by their middle

    def start(self) -> None:
        """Reach the outputs, switch all off, then run. Raises ActuatorError, in one line, if that cannot be done."""
        try:
            self._begin()
        except (ActuatorError, OSError, ValueError) as error:
            self._port.close()
            raise ActuatorError(self._said(error)) from error
        super().start()

    # ------------------------------------------------------------------------------------------- the gate's thread

    def decide(self, decision: Decision) -> None:
        """Take over a decision. A part that may pass during an outage does not pass."""
        part = decision.part or f"seq {decision.seq}"
        with self._changed:
            if decision.passes and (self._outage is not None or self._is_safe):
                self._unsaid = f"{self._outage or self._port.name}; {part} was not let pass"
            elif decision.due_ns is not None:
                self._windows.add(decision.due_ns, not decision.passes, part)
            else:
                self._windows.reject_at(decision.at_ns)
            self._changed.notify()

    def check(self) -> str | None:
        """Why the outputs cannot follow now, None if they do. To be called in each turn of the gate."""
        with self._changed:
            self._checked_ns = time.monotonic_ns()
            why, self._unsaid = self._outage or self._unsaid, None
            silent_ns = self._checked_ns - self._moved_ns
            if why is None and silent_ns > self._settings.timeout_ms * 1e6 + REFRESH_NS:
                why = f"{self._port.name} has not answered for {silent_ns / 1e6:.0f} ms"
            if why is not None:
                self._windows.past(self._checked_ns)
            return why

    def safe(self) -> None:
        """Let nothing pass from now on; alive stands still."""
        with self._changed:
            self._is_safe = True
            self._changed.notify()

    def close(self) -> None:
        """Switch all off, and let go of the outputs. Waits for an answer no longer than the timeout and a second."""
        with self._changed:
            self._is_safe = self._is_closing = True
            self._changed.notify()
        if self.ident is not None:
            self.join(self._settings.timeout_ms / 1e3 + CLOSE_S)

    # --------------------------------------------------------------------------------------------- the driver's thread

    def run(self) -> None:
        """The thread: serve the outputs until they are lost, then try to reach them at once and each second."""
        is_reached, tried = True, 0.0
        while not (self._is_closing and not is_reached):
            try:
                if not is_reached:
                    tried = time.monotonic()
                    self._begin()
                is_reached = True
                self._serve()
                break
            except (ActuatorError, OSError, ValueError) as error:
                is_reached = False
                self._lose(error)
            finally:
                with contextlib.suppress(Exception):
                    self._port.close()
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, max(0.0, tried + RETRY_S - time.monotonic()))

    def _begin(self) -> None:
        self._port.open()
        self._port.write(dict.fromkeys(self._names, False))
        with self._changed:
            self._windows.clear_passes()
            self._begun.clear()
            self._moved_ns = time.monotonic_ns()
            self._outage, self._unsaid = None, self._outage or self._unsaid

    def _serve(self) -> None:
        shown: dict[Name, bool] = dict.fromkeys(self._names, False)
        refresh_ns = time.monotonic_ns() + REFRESH_NS
        while True:
            with self._changed:
                now = time.monotonic_ns()
                self._look_for_missed(now)
                window = None if self._must_rest(now) else self._windows.passing(now)
                wanted = self._wanted(window, now)
                is_last = self._is_closing
            is_due = now >= refresh_ns or is_last
            changes = {name: is_on for name, is_on in wanted.items() if is_due or shown[name] is not is_on}
            if changes:
                self._port.write(dict(sorted(changes.items(), key=lambda change: change[1])))  # off before on
                shown |= changes
            with self._changed:
                self._moved_ns = time.monotonic_ns()
                if window is not None and self._moved_ns - window.start_ns <= self._settings.pulse_ms * 1e6 / 2:
                    self._begun.add(window)
                if is_due:
                    refresh_ns = now + REFRESH_NS
                if is_last:
                    return
                self._changed.wait(self._sleep_s(now, refresh_ns))

    def _must_rest(self, now: int) -> bool:
        return self._is_safe or now - self._checked_ns > LOOP_NS

    def _wanted(self, window: Window | None, now: int) -> dict[Name, bool]:
        if not self._must_rest(now) and now >= self._alive_due_ns:
            self._alive, self._alive_due_ns = not self._alive, now + int(self._settings.alive_ms * 1e6)
        rejects = self._windows.is_rejecting(now)
        states: dict[Name, bool] = {"pass": window is not None, "reject": rejects, "alive": self._alive}
        return {name: states[name] and not self._is_closing for name in self._names}

    def _look_for_missed(self, now: int) -> None:
        """Forget the windows that are over; say so if the output was not on by the middle of one of them."""
        over = {window for window in self._windows.past(now) if not window.rejects}
        missed, self._begun = over - self._begun, self._begun - over
        if missed and not self._is_safe:
            self._unsaid = f"{self._port.name} did not switch in time for {_named(missed)}"

    def _sleep_s(self, now: int, refresh_ns: int) -> float:
        next_ns = self._windows.next_ns(now)
        times = [refresh_ns, self._alive_due_ns if self._alive_due_ns > now else refresh_ns]
        return max(0, min(times if next_ns is None else [*times, next_ns]) - time.monotonic_ns()) / 1e9

    def _lose(self, error: Exception) -> None:
        with self._changed:
            unsure = self._windows.clear_passes()
            self._begun.clear()
            if self._outage is None:
                doubt = f"; whether these passed is not known: {_named(unsure)}" if unsure else ""
                self._outage = self._said(error) + doubt

    def _said(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self._port.name} does not answer within {self._settings.timeout_ms:g} ms"
        return (
            f"{self._port.name} {error}"
            if isinstance(error, ActuatorError)
            else f"{self._port.name}: {reason_of(error)}"
        )


def _named(windows: "set[Window] | list[Window]") -> str:
    parts = [window.part for window in sorted(windows)]
    more = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return ", ".join(parts[:MOST_NAMED]) + more
