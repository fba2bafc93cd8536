"""The thread that switches outputs at their times, detects that they are lost, and tries to reach them again."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from edge.errors import ActuatorError
from edge.gate.decision import Decision
from edge.gate.outputs.part_list import PartList
from edge.gate.outputs.settings import Name, OutputSettings
from edge.gate.outputs.windows import MOST_WINDOWS, Window, Windows
from edge.gate.suspension import SuspendWatch
from edge.text import reason_of

REFRESH_NS = 100_000_000
"""How often all outputs are written, changed or not: this undoes what another program wrote, and shows a loss."""

LOOP_NS = 500_000_000
"""If the gate has made no turn for this long, nothing passes and alive stops changing."""

RETRY_S = 1.0
"""Between two attempts to reach lost outputs."""

CLOSE_S = 1.0
"""How long the end of the gate waits for the outputs to be off, beyond the timeout."""

MOST_REPORTS = 100
"""Reports that wait for the gate, which takes one in each turn."""


class Port(Protocol):
    """The connection to the outputs. The methods raise if the outputs do not follow within their timeout."""

    name: str

    def open(self) -> None:
        """Reach the outputs."""

    def write(self, outputs: Mapping[Name, bool]) -> None:
        """Switch these outputs, in their order."""

    def close(self) -> None:
        """Release them."""


class OutputDriver(threading.Thread):
    """Switches the outputs `names` over a port. No method waits for the port but `start` and `close`.

    Each turn of the thread looks at the clock and writes once, what goes off before what goes on. So `pass` is
    confirmed off at most two timeouts after the end of a window, or the outputs are lost.
    """

    def __init__(self, port: Port, names: tuple[Name, ...], settings: OutputSettings) -> None:
        """Outputs that are written together are written in the order pass, reject, alive."""
        super().__init__(name="edge-gate-outputs", daemon=True)
        self._port, self._settings = port, settings
        self._names = tuple(name for name in ("pass", "reject", "alive") if name in names)
        self._changed = threading.Condition()  # guards all below
        self._windows = Windows(int(settings.delay_ms * 1e6), int(settings.pulse_ms * 1e6))
        self._outage: str | None = None
        self._reports: deque[str] = deque(maxlen=MOST_REPORTS)
        self._remark: str | None = None
        self._is_safe = self._is_closing = False
        self._suspend_watch = SuspendWatch()
        self._checked_ns = self._answered_ns = time.monotonic_ns()  # the last turn of the gate, and of this thread
        self._alive, self._alive_due_ns = False, 0
        self._in_time: set[Window] = set()  # windows in whose first half `pass` was on
        self._on_ns = 0  # when `pass` was last switched on
        self._off_ns: int | None = 0  # when `pass` was confirmed off after that; None while it may be on
        self._in_doubt = PartList()  # rejected parts whose windows began while `pass` may have been on, and are over

    def start(self) -> None:
        """Reach the outputs, switch all off, then run. Raises ActuatorError, in one line, if one of these fails."""
        try:
            self._begin()
        except (ActuatorError, OSError, ValueError) as error:
            self._port.close()
            raise ActuatorError(self._said(error)) from error
        super().start()

    # ------------------------------------------------------------------------------------------- the gate's thread

    def separates(self, due_ns: int, next_due_ns: int | None) -> bool:
        """Whether `pass` can be on for a part without being on for a rejected one; see `Actuator.separates`."""
        with self._changed:
            return self._windows.separates(due_ns, next_due_ns)

    def decide(self, decision: Decision) -> None:
        """Add the window of a decision. During an outage, and beside a rejected part, a part that may pass does not."""
        part = decision.part or f"seq {decision.seq}"
        with self._changed:
            if decision.due_ns is None:
                self._windows.reject_at(decision.at_ns)
            else:
                self._remark = self._remark or self._spacing_remark(decision.due_ns)
                if decision.passes:
                    self._let_pass(decision.due_ns, part)
                else:
                    self._reject(decision.due_ns, part)
            self._changed.notify()

    def check(self) -> str | None:
        """Why the outputs cannot follow now, None if they do. To be called in each turn of the gate."""
        with self._changed:
            if self._suspend_watch.was_suspended():
                self._drop_passes()
            self._checked_ns = time.monotonic_ns()
            limit_ms = self._settings.timeout_ms + REFRESH_NS / 1e6
            why = self._outage
            if why is None and self._checked_ns - self._answered_ns > limit_ms * 1e6:
                why = f"{self._port.name} has not answered for more than {limit_ms:.0f} ms"
            if why is not None:
                self._take_past(self._checked_ns)
            elif self._windows.is_full(self._checked_ns):
                why = f"{MOST_WINDOWS} parts or more are on their way to {self._port.name}"
            elif self._reports:
                why = self._reports.popleft()
            return why

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the plant should change: a line if parts come too close for the pulse and the timeout."""
        return () if self._remark is None else (self._remark,)

    def safe(self) -> None:
        """Let nothing pass from now on; alive stops changing."""
        with self._changed:
            self._is_safe = True
            self._changed.notify()

    def close(self) -> None:
        """Switch all off, and release the outputs. Waits for an answer no longer than the timeout and a second."""
        with self._changed:
            self._is_safe = self._is_closing = True
            self._changed.notify()
        if self.ident is not None:
            self.join(self._settings.timeout_ms / 1e3 + CLOSE_S)

    def _drop_passes(self) -> None:
        """Let no part pass whose window was set before the machine was suspended: its moment is over."""
        if dropped := self._windows.clear_passes():
            self._in_time.difference_update(dropped)
            parts = PartList(window.part for window in dropped)
            self._reports.append(f"the machine was suspended; whether these passed is not known: {parts}")
            self._changed.notify()

    def _let_pass(self, due_ns: int, part: str) -> None:
        why = self._outage or (f"{self._port.name} is at rest" if self._is_safe else None)
        if why is None and self._windows.allow(due_ns, part):
            return
        self._reject(due_ns, part)
        self._reports.append(f"{why or 'a rejected part is too close'}; {part} was not let pass")

    def _reject(self, due_ns: int, part: str) -> None:
        window, ended = self._windows.reject(due_ns, part)
        if ended:
            self._in_time.difference_update(ended)
            cut = PartList(one.part for one in ended)
            self._reports.append(f"{part}, rejected, is too close; whether these passed is not known: {cut}")
        if self._off_ns is not None and self._came_while_on(window):
            self._reports.append(f"{self._port.name} {_late_off(PartList([part]))}")

    def _spacing_remark(self, due_ns: int) -> str | None:
        spacing_ns, least_ms = self._windows.spacing_ns(due_ns), self._settings.least_spacing_ms
        if spacing_ns is None or spacing_ns >= least_ms * 1e6:
            return None
        return (
            f"{self._port.name}: two parts are {spacing_ns / 1e6:.0f} ms apart, but its pulse_ms and timeout_ms need "
            f"{least_ms:g} ms for pass to be off again; lower timeout_ms or pulse_ms, or space the parts further apart"
        )

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
            self._answered_ns = time.monotonic_ns()
            in_doubt = self._confirm_off()
            if self._outage is not None:
                self._reports.appendleft(self._outage)  # the gate may not have looked meanwhile
            if in_doubt:
                self._reports.append(f"{self._port.name} {_late_off(in_doubt)}")
            self._outage = None

    def _serve(self) -> None:
        shown: dict[Name, bool] = dict.fromkeys(self._names, False)
        stale: set[Name] = set()
        refresh_ns = time.monotonic_ns() + REFRESH_NS
        while not self._is_closing:
            with self._changed:
                now = self._answered_ns = time.monotonic_ns()
                if now >= refresh_ns:
                    stale, refresh_ns = set(self._names), now + REFRESH_NS
                self._take_past(now)
                window = None if self._must_rest(now) else self._windows.passing(now)
                if window is not None and shown["pass"] and now - window.start_ns <= self._settings.pulse_ms * 1e6 / 2:
                    self._in_time.add(window)
                writes = self._next_writes(self._wanted(window, now), shown, stale)
                if shown["pass"] and window is not None and not self._lasts(window, now):
                    writes.pop("pass", None)
                if not writes:
                    self._changed.wait(self._sleep_s(now, refresh_ns))
                    continue
            self._write(writes)
            shown |= writes
            stale -= writes.keys()
            if "pass" in writes and window is not None and self._is_over(window):
                self._write(dict.fromkeys(self._names, False))  # sooner than over a new connection
                raise ActuatorError(f"answered after the window of {window.part}")
        self._write(dict.fromkeys(self._names, False))

    def _next_writes(self, wanted: dict[Name, bool], shown: dict[Name, bool], stale: set[Name]) -> dict[Name, bool]:
        """What to write now: what has changed, else what is to be refreshed; of these what goes off, else the rest."""
        changed = [name for name in self._names if wanted[name] is not shown[name]]
        due = {name: wanted[name] for name in changed or [name for name in self._names if name in stale]}
        return {name: False for name, is_on in due.items() if not is_on} or due

    def _write(self, outputs: dict[Name, bool]) -> None:
        """Write outputs. Raises ActuatorError if `pass` went off only after the window of a rejected part had begun."""
        with self._changed:
            if outputs.get("pass") and self._off_ns is not None:
                self._on_ns, self._off_ns = time.monotonic_ns(), None
        self._port.write(outputs)
        with self._changed:
            self._answered_ns = time.monotonic_ns()
            in_doubt = self._confirm_off() if outputs.get("pass") is False else None
        if in_doubt:
            raise ActuatorError(_late_off(in_doubt))

    def _confirm_off(self) -> PartList:
        """`pass` is off now. Returns the rejected parts whose windows began while it may have been on."""
        if self._off_ns is not None:
            return PartList()
        in_doubt, self._in_doubt = self._in_doubt, PartList()
        self._off_ns = time.monotonic_ns()
        for window in self._windows.begun(self._off_ns):
            if window.rejects and self._came_while_on(window):
                in_doubt.add(window.part)
        return in_doubt

    def _came_while_on(self, window: Window) -> bool:
        has_begun = self._off_ns is None or window.start_ns < self._off_ns
        return has_begun and self._windows.end_ns(window) > self._on_ns

    def _must_rest(self, now: int) -> bool:
        return self._is_safe or now - self._checked_ns > LOOP_NS

    def _lasts(self, window: Window, now: int) -> bool:
        """Whether the answer to a write now comes before the end of the window."""
        return self._windows.end_ns(window) - now > self._settings.timeout_ms * 1e6

    def _is_over(self, window: Window) -> bool:
        with self._changed:
            now = time.monotonic_ns()
            return now >= self._windows.end_ns(window) and self._windows.passing(now) is None

    def _wanted(self, window: Window | None, now: int) -> dict[Name, bool]:
        if not self._must_rest(now) and now >= self._alive_due_ns:
            self._alive, self._alive_due_ns = not self._alive, now + int(self._settings.alive_ms * 1e6)
        rejects = self._windows.is_rejecting(now)
        return {"pass": window is not None, "reject": rejects, "alive": self._alive}

    def _take_past(self, now: int) -> None:
        """Forget the windows that are over. Report parts for which `pass` was not on by the middle of their window."""
        missed = PartList()
        for window in self._windows.past(now):
            if window.rejects:
                if self._off_ns is None and self._came_while_on(window):
                    self._in_doubt.add(window.part)
            elif window in self._in_time:
                self._in_time.remove(window)
            else:
                missed.add(window.part)
        if missed and not self._is_safe:
            self._reports.append(f"{self._port.name} did not switch in time for {missed}")

    def _sleep_s(self, now: int, refresh_ns: int) -> float:
        next_ns = self._windows.next_ns(now)
        times = [refresh_ns, self._alive_due_ns if self._alive_due_ns > now else refresh_ns]
        return max(0, min(times if next_ns is None else [*times, next_ns]) - time.monotonic_ns()) / 1e9

    def _lose(self, error: Exception) -> None:
        with self._changed:
            unsure = PartList(window.part for window in self._windows.clear_passes())
            self._in_time.clear()
            if self._outage is None:
                doubt = f"; whether these passed is not known: {unsure}" if unsure else ""
                self._outage = self._said(error) + doubt

    def _said(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self._port.name} does not answer within {self._settings.timeout_ms:g} ms"
        return (
            f"{self._port.name} {error}"
            if isinstance(error, ActuatorError)
            else f"{self._port.name}: {reason_of(error)}"
        )


def _late_off(parts: PartList) -> str:
    return f"may have had pass on for these rejected parts: {parts}"
