"""Outputs that answer late, or not at all: which parts are named, and what is switched in which order."""

import time
from collections.abc import Callable

import pytest
from support.output_wire import MS, Wire, decision, running, until

from edge.gate.outputs import driver as driver_module
from edge.gate.outputs import windows as windows_module
from edge.gate.outputs.driver import OutputDriver
from edge.gate.outputs.settings import GpioSettings, OutputSettings

PULSE_MS = 1_000
SLOW = OutputSettings(pulse_ms=PULSE_MS, alive_ms=50, timeout_ms=10_000)
HOUR = OutputSettings(pulse_ms=60_000, alive_ms=50).model_copy(update={"pulse_ms": 3_600_000})
LATE_OFF = "the wire may have had pass on for these rejected parts:"


@pytest.fixture(autouse=True)
def a_gate_that_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are the gate, and the machine may be busy."""
    monkeypatch.setattr(driver_module, "LOOP_NS", 60_000 * MS)


class Gate:
    """What the gate is told, in its turns."""

    def __init__(self, driver: OutputDriver) -> None:
        self._driver = driver
        self.told: list[str] = []

    def turn(self) -> bool:
        """Returns whether the outputs follow."""
        why = self._driver.check()
        if why is not None and why not in self.told:
            self.told.append(why)
        return why is None

    def wait(self, condition: Callable[[], object]) -> None:
        until(lambda: (self.turn(), condition())[1])

    def wait_until(self, at_ns: int) -> None:
        self.wait(lambda: time.monotonic_ns() > at_ns)


def test_a_part_is_let_pass_too_late_and_the_rejected_part_after_it_is_named() -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        wire.held = ("pass", True)
        wire.holds.clear()
        driver.decide(decision(True, start, "A"))
        gate.wait(lambda: wire.is_asked("pass", True))
        after = start + 2 * PULSE_MS * MS
        driver.decide(decision(False, after, "B"))
        gate.wait_until(after + MS)
        assert gate.told == []
        wire.holds.set()
        gate.wait(lambda: wire.opened == 2)
        gate.wait(lambda: gate.turn())
        assert gate.told == [f"{LATE_OFF} B; whether these passed is not known: A"]
        assert wire.pulses("pass") == 1
        assert not wire.now["pass"]
        on = wire.asked.index(next(write for write in wire.asked if write.get("pass")))
        assert wire.asked[on + 1] == {"pass": False, "reject": False, "alive": False}, "over the same connection"


def test_an_answer_after_the_window_is_a_loss() -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        wire.held = ("pass", True)
        wire.holds.clear()
        driver.decide(decision(True, start, "A"))
        gate.wait(lambda: wire.is_asked("pass", True))
        gate.wait_until(start + (PULSE_MS + 1) * MS)
        wire.holds.set()
        gate.wait(lambda: wire.opened == 2)
        gate.wait(lambda: gate.turn())
        assert gate.told == ["the wire answered after the window of A; whether these passed is not known: A"]


@pytest.mark.parametrize("is_known", [True, False], ids=["known while pass is on", "known later"])
def test_a_rejected_part_that_comes_before_pass_is_confirmed_off_is_named(is_known: bool) -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        wire.held, wire.holds_from = ("pass", False), ("pass", True)
        driver.decide(decision(True, start, "A"))
        gate.wait(lambda: wire.is_asked("pass", False) and wire.pulses("pass"))
        after = start + (PULSE_MS + 50) * MS
        gate.wait_until(after + MS)
        if is_known:
            driver.decide(decision(False, after, "B"))
        wire.holds.set()
        gate.wait(lambda: not wire.now["pass"])
        if not is_known:
            until(lambda: driver._off_ns is not None)
            driver.decide(decision(False, after, "B"))
        driver.decide(decision(False, time.monotonic_ns() + 1_000 * MS, "C"))
        gate.wait(lambda: any(line.startswith(f"{LATE_OFF} B") for line in gate.told))
        gate.wait(lambda: gate.turn())
        assert not any("C" in line for line in gate.told)


def test_an_output_goes_off_before_another_goes_on() -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        driver.decide(decision(False, start, "B"))
        driver.decide(decision(True, start + PULSE_MS * MS, "C"))
        gate.wait(lambda: wire.pulses("pass"))
        assert wire.written.index(("reject", False), 3) < wire.written.index(("pass", True))


def test_the_clock_is_looked_at_again_before_an_output_goes_on() -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        wire.held, wire.holds_from = ("reject", False), ("reject", True)
        driver.decide(decision(False, start, "B"))
        driver.decide(decision(True, start + PULSE_MS * MS, "C"))
        gate.wait(lambda: wire.is_asked("reject", False) and wire.pulses("reject"))
        gate.wait_until(start + 2 * PULSE_MS * MS)
        wire.holds.set()
        gate.wait(lambda: gate.told)
        assert gate.told == ["the wire did not switch in time for C"]
        assert not any(write.get("pass") for write in wire.asked)


def test_pass_is_refreshed_only_while_the_answer_comes_within_the_window() -> None:
    with running(wire := Wire(), HOUR, names=("pass",)) as driver:
        gate = Gate(driver)
        driver.decide(decision(True, time.monotonic_ns()))
        gate.wait(lambda: wire.asked.count({"pass": True}) >= 3)
    with running(wire := Wire(), SLOW, names=("pass",)) as driver:
        gate = Gate(driver)
        driver.decide(decision(True, time.monotonic_ns() + 100 * MS))
        gate.wait(lambda: wire.pulses("pass"))
        gate.wait(lambda: not wire.now["pass"])
        assert wire.asked.count({"pass": True}) == 1


# ------------------------------------------------------------------------------------------------------------ a loss


def test_rejected_parts_of_an_outage_in_which_pass_may_be_on_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "RETRY_S", 0.05)
    monkeypatch.setattr(windows_module, "MOST_WINDOWS", 4)
    with running(wire := Wire(), SLOW) as driver:
        gate = Gate(driver)
        driver.decide(decision(True, time.monotonic_ns() + 100 * MS, "A"))
        gate.wait(lambda: wire.pulses("pass"))
        wire.is_broken = True
        gate.wait(lambda: gate.told)
        assert gate.told[0].endswith("whether these passed is not known: A")
        driver.decide(decision(False, time.monotonic_ns() + 3_600_000 * MS, "after it"))
        for parts in (range(3), range(3, 6)):
            first = time.monotonic_ns()
            for part in parts:
                driver.decide(decision(False, first + part * MS, f"B{part}"))
            gate.wait_until(first + (PULSE_MS + 10) * MS)
        wire.is_broken = False
        gate.wait(lambda: len(gate.told) > 1)
        gate.wait(lambda: gate.turn())
        assert gate.told[1:] == [f"{LATE_OFF} B0 to B5 (6 parts)"]


def test_a_part_that_is_decided_in_an_outage_is_not_let_pass_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "RETRY_S", 0.05)
    with running(wire := Wire(), HOUR) as driver:
        gate = Gate(driver)
        wire.is_broken = True
        gate.wait(lambda: gate.told)
        driver.decide(decision(False, time.monotonic_ns(), "B"))
        driver.decide(decision(True, time.monotonic_ns(), "A"))
        wire.is_broken = False
        gate.wait(lambda: wire.opened == 2 and gate.turn())
        lost = "the wire does not answer within 200 ms"
        assert gate.told == [lost, f"{lost}; A was not let pass"], "pass was off all the time, so B was rejected"
        gate.wait(lambda: wire.pulses("reject"))
        assert wire.pulses("pass") == 0


# ---------------------------------------------------------------------------------------------------- parts too close


def test_a_good_part_within_the_pulse_of_a_rejected_part_is_not_let_pass() -> None:
    with running(wire := Wire(), SLOW) as driver:
        gate, start = Gate(driver), time.monotonic_ns() + 100 * MS
        driver.decide(decision(False, start, "B"))
        driver.decide(decision(True, start + 200 * MS, "C"))
        gate.wait(lambda: gate.told)
        gate.wait_until(start + (2 * PULSE_MS + 200) * MS)
        gate.wait(lambda: wire.pulses("reject") and not wire.now["reject"])
        assert gate.told == ["a rejected part is too close; C was not let pass"]
        assert (wire.pulses("pass"), wire.pulses("reject")) == (0, 1)
        assert wire.changed_ns["reject"] >= start + (200 + PULSE_MS) * MS, "C is rejected, too"


def test_a_rejected_part_switches_pass_off_at_once_for_a_part_within_its_pulse() -> None:
    with running(wire := Wire(), HOUR) as driver:
        gate, start = Gate(driver), time.monotonic_ns()
        driver.decide(decision(True, start, "A"))
        gate.wait(lambda: wire.pulses("pass"))
        driver.decide(decision(False, start + 1_800_000 * MS, "B"))
        gate.wait(lambda: not wire.now["pass"])
        gate.wait(lambda: gate.told)
        assert gate.told == ["B, rejected, is too close; whether these passed is not known: A"]


def test_parts_too_close_for_pulse_and_timeout_are_remarked_once() -> None:
    given = OutputSettings(pulse_ms=60, timeout_ms=200)
    with running(Wire(), given) as driver:
        due = time.monotonic_ns() + 60_000 * MS
        for part in range(3):
            driver.decide(decision(True, due + part * 460 * MS))
        assert driver.remarks == ()
        driver.decide(decision(True, due + 3_000 * MS))
        driver.decide(decision(False, due + 3_459 * MS))
        (line,) = driver.remarks
        assert "two parts are 459 ms apart, but its pulse_ms and timeout_ms need 460 ms" in line
        driver.decide(decision(False, due + 3_500 * MS))
        assert driver.remarks == (line,)
        assert driver.check() is None, "it is no loss"
    assert GpioSettings(pulse_ms=60, chip="c", lines={"pass": 1}).least_spacing_ms == 60


def test_more_rejected_parts_than_windows_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "MOST_WINDOWS", 3)
    with running(wire := Wire()) as driver:
        for part in range(5):
            driver.decide(decision(False, time.monotonic_ns() + part * MS, str(part)))
        driver.decide(decision(True, time.monotonic_ns(), "A"))
        assert driver.check() == "10000 parts or more are on their way to the wire"
        until(lambda: driver.check() is None)
        assert wire.pulses("pass") == 0
