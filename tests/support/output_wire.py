"""Outputs in memory for the driver of a gate: they break, hang and answer late when a test says so."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from edge.channel.control_messages import Fate
from edge.gate.decision import Decision, Why
from edge.gate.outputs.driver import OutputDriver
from edge.gate.outputs.settings import Name, OutputSettings

MS = 1_000_000


def decision(passes: bool, due_ns: int | None, part: str = "part") -> Decision:
    why, fate = (Why.CLEAR, Fate.PASSED) if passes else (Why.DEFECT, Fate.REJECTED)
    return Decision("a1", 1, part, passes, why, fate, time.monotonic_ns(), due_ns=due_ns)


def until(condition: Callable[[], object], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


class Wire:
    """A port in memory, which a test can break. `written` is what each output was set to, in order; `asked` is each
    write. While `holds` is cleared, no write is executed that sets the output `held[0]` to `held[1]`; no write if None.
    The first write of `holds_from`, an output and its value, clears it.
    """

    name = "the wire"

    def __init__(self) -> None:
        self.written: list[tuple[str, bool]] = []
        self.now: dict[str, bool] = {}
        self.is_broken = False
        self.holds = threading.Event()
        self.holds.set()
        self.held: tuple[str, bool] | None = None
        self.holds_from: tuple[str, bool] | None = None
        self.changed_ns: dict[str, int] = {}
        self.asked: list[dict[str, bool]] = []
        self.opened = 0

    def open(self) -> None:
        if self.is_broken:
            raise OSError(111, "Connection refused")
        self.opened += 1

    def write(self, outputs: Mapping[str, bool]) -> None:
        self.asked.append(dict(outputs))
        if self.held is None or self.held in outputs.items():
            self.holds.wait()
        if self.is_broken:
            raise TimeoutError
        changes = [(name, is_on) for name, is_on in outputs.items() if self.now.get(name) is not is_on]
        self.written += changes
        self.changed_ns |= dict.fromkeys(dict(changes), time.monotonic_ns())
        self.now |= outputs
        if self.holds_from in outputs.items():
            self.holds_from = None
            self.holds.clear()

    def close(self) -> None:
        pass

    def is_asked(self, name: str, is_on: bool) -> bool:
        """Whether a write is under way, or was the last one, that sets this output so."""
        return (name, is_on) in self.asked[-1].items()

    def pulses(self, name: str) -> int:
        return self.written.count((name, True))


SETTINGS = OutputSettings(pulse_ms=300, alive_ms=50)


@contextmanager
def running(
    wire: Wire, given: OutputSettings = SETTINGS, names: tuple[Name, ...] = ("alive", "reject", "pass")
) -> Iterator[OutputDriver]:
    driver = OutputDriver(wire, names, given)
    driver.start()
    try:
        yield driver
    finally:
        wire.holds.set()
        driver.close()
