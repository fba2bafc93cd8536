"""Digital outputs of the gate without a wire: windows of time, the thread that switches, settings, GPIO lines."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.channel.control_messages import Fate
from edge.errors import ActuatorError
from edge.gate.actuators.base import ActuatorRequest
from edge.gate.actuators.gpio import Gpio
from edge.gate.actuators.modbus import Modbus
from edge.gate.belt import EncoderBelt, SteadyBelt
from edge.gate.decision import Decision, Why
from edge.gate.gate import Gate
from edge.gate.outputs import driver as driver_module
from edge.gate.outputs.driver import OutputDriver
from edge.gate.outputs.settings import Name, OutputSettings
from edge.gate.outputs.windows import Windows

MS = 1_000_000


def decision(passes: bool, due_ns: int | None, part: str = "part") -> Decision:
    why, fate = (Why.CLEAR, Fate.PASSED) if passes else (Why.DEFECT, Fate.REJECTED)
    return Decision("a1", 1, part, passes, why, fate, time.monotonic_ns(), due_ns=due_ns)


def until(condition: object, patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


# ------------------------------------------------------------------------------------------------------- windows


def test_a_window_begins_after_the_delay_and_lasts_for_the_pulse() -> None:
    windows = Windows(delay_ns=10, pulse_ns=20)
    windows.add(100, False, "a")
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(110, 130))
    assert (windows.next_ns(100), windows.next_ns(110), windows.next_ns(130)) == (110, 130, None)


def test_the_next_part_ends_the_window_of_the_one_before() -> None:
    windows = Windows(0, 20)
    windows.add(100, False, "good")
    windows.add(110, True, "bad")
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(100, 110))
    assert [at for at in range(90, 150) if windows.is_rejecting(at)] == list(range(110, 130))


def test_a_reject_at_an_unknown_place_pulses_and_ends_no_window() -> None:
    windows = Windows(0, 20)
    windows.add(100, False, "good")
    windows.reject_at(105)
    assert [at for at in range(90, 150) if windows.is_rejecting(at)] == list(range(90, 125))
    assert [at for at in range(90, 150) if windows.passing(at)] == list(range(100, 120))


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12),
    looks=st.lists(st.integers(0, 90), min_size=1, max_size=12).map(sorted),
    pulse=st.integers(1, 20),
)
def test_a_part_passes_only_in_its_own_window(parts: list[tuple[int, bool]], looks: list[int], pulse: int) -> None:
    windows = Windows(0, pulse)
    for due, rejects in parts:
        windows.add(due, rejects, f"{due} {rejects}")
    for now in looks:
        begun = [(due, rejects) for due, rejects in parts if due <= now]
        may = bool(begun) and max(begun)[0] + pulse > now and not max(begun)[1]
        window = windows.passing(now)
        assert (window is not None) == may
        assert window is None or window.part == f"{max(begun)[0]} False"
        assert not (window is not None and windows.is_rejecting(now))
        assert all(one.start_ns <= now for one in windows.past(now))
        assert windows.passing(now) == window, "a window that is not over stays"


# ------------------------------------------------------------------------------------------------------ when it is due


def test_a_decision_says_when_its_part_is_due_also_if_it_comes_sooner() -> None:
    decisions: list[Decision] = []
    gate = Gate(SteadyBelt(800, 100), decisions.append, lambda epoch, seq, fate: None)
    gate.expect("early", 1_000 * MS)
    gate.reset(1_001 * MS)
    gate.expect("in time", 2_000 * MS)
    gate.step(2_700 * MS)
    assert [(one.part, one.due_ns) for one in decisions] == [("early", 1_700 * MS), ("in time", 2_700 * MS)]


def test_with_an_encoder_the_moment_is_known_when_the_part_is_there() -> None:
    decisions: list[Decision] = []
    belt = EncoderBelt(800, 100)
    gate = Gate(belt, decisions.append, lambda epoch, seq, fate: None)
    belt.sample(1_000 * MS, 0)
    gate.expect("early", 1_000 * MS)
    gate.reset(1_001 * MS)
    gate.expect("in time", 1_000 * MS)
    belt.sample(1_100 * MS, 700)
    gate.step(1_100 * MS)
    assert [(one.part, one.due_ns) for one in decisions] == [("early", None), ("in time", 1_100 * MS)]


# -------------------------------------------------------------------------------------------------------- the thread


class Wire:
    """A port in memory, which a test can break. `written` is what each output was set to, in order."""

    name = "the wire"

    def __init__(self) -> None:
        self.written: list[tuple[str, bool]] = []
        self.now: dict[str, bool] = {}
        self.is_broken = False
        self.holds = threading.Event()
        self.holds.set()
        self.opened = 0

    def open(self) -> None:
        if self.is_broken:
            raise OSError(111, "Connection refused")
        self.opened += 1

    def write(self, outputs: Mapping[str, bool]) -> None:
        self.holds.wait()
        if self.is_broken:
            raise TimeoutError
        self.written += [(name, is_on) for name, is_on in outputs.items() if self.now.get(name) is not is_on]
        self.now |= outputs

    def close(self) -> None:
        pass

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


def test_outputs_follow_the_decisions_and_are_off_at_the_end() -> None:
    with running(wire := Wire()) as driver:
        assert wire.written[:3] == [("pass", False), ("reject", False), ("alive", False)], "at rest first"
        driver.decide(decision(True, time.monotonic_ns() + 5 * MS))
        until(lambda: driver.check() is None and wire.pulses("pass"))
        until(lambda: driver.check() is None and not wire.now["pass"])
        driver.decide(decision(False, time.monotonic_ns()))
        until(lambda: driver.check() is None and wire.pulses("reject") and not wire.now["reject"])
        until(lambda: driver.check() is None and wire.pulses("alive") >= 2)
        assert wire.pulses("pass") == 1
        driver.decide(decision(True, time.monotonic_ns()))
        until(lambda: driver.check() is None and wire.pulses("pass") == 2)
    assert wire.now == {"pass": False, "reject": False, "alive": False}
    assert not driver.is_alive()


def test_after_safe_nothing_passes_and_alive_stands_still() -> None:
    hours = SETTINGS.model_copy(update={"pulse_ms": 3_600_000})
    with running(wire := Wire(), hours) as driver:
        driver.decide(decision(True, time.monotonic_ns(), "open"))
        until(lambda: driver.check() is None and wire.pulses("pass"))
        driver.safe()
        until(lambda: not wire.now["pass"])
        alive = wire.pulses("alive")
        driver.decide(decision(True, time.monotonic_ns(), "late"))
        driver.decide(decision(False, time.monotonic_ns()))
        until(lambda: driver.check() is None and wire.pulses("reject"))
        time.sleep(0.15)
        assert wire.pulses("pass") == 1
        assert wire.pulses("alive") == alive


def test_what_somebody_else_has_switched_on_is_switched_off_again() -> None:
    with running(wire := Wire(), names=("pass",)) as driver:
        wire.now["pass"] = True
        until(lambda: driver.check() is None and wire.written[1:] == [("pass", False)])


def test_a_gate_that_hangs_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "LOOP_NS", 50 * MS)
    with running(wire := Wire()) as driver:
        driver.check()
        driver.decide(decision(True, time.monotonic_ns() + 150 * MS, "late"))
        time.sleep(0.3)
        count = wire.pulses("alive")
        until(lambda: driver._unsaid is not None)
        assert wire.pulses("pass") == 0
        assert wire.pulses("alive") == count, "alive says that the gate turns"
        assert driver.check() == "the wire did not switch in time for late"
        assert driver.check() is None, "said once"


def test_a_loss_is_noticed_and_passes_of_before_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "RETRY_S", 0.05)
    with running(wire := Wire()) as driver:
        driver.decide(decision(True, time.monotonic_ns() + 60_000 * MS, "on its way"))
        wire.is_broken = True
        until(driver.check)
        doubt = "whether these passed is not known: on its way"
        assert driver.check() == f"the wire does not answer within 200 ms; {doubt}"
        driver.decide(decision(True, time.monotonic_ns(), "at the worst moment"))
        assert driver.check() is not None
        wire.is_broken = False
        until(lambda: wire.opened == 2)
        until(lambda: driver.check() is None)
        time.sleep(0.1)
        assert wire.pulses("pass") == 0
        driver.decide(decision(True, time.monotonic_ns()))
        until(lambda: driver.check() is None and wire.pulses("pass") == 1)


def test_a_loss_that_is_over_before_the_gate_looks_is_said_all_the_same() -> None:
    with running(wire := Wire()) as driver:
        wire.is_broken = True
        until(lambda: driver._outage is not None)
        wire.is_broken = False
        until(lambda: driver._outage is None)
        assert driver.check() == "the wire does not answer within 200 ms"
        assert driver.check() is None


def test_a_wire_that_never_returns_is_noticed_and_delays_no_decision() -> None:
    with running(wire := Wire()) as driver:
        wire.holds.clear()
        until(driver.check)
        assert str(driver.check()).startswith("the wire has not answered for")
        for _ in range(1_000):
            driver.decide(decision(False, time.monotonic_ns()))
            assert driver.check() is not None, "it waits for nothing, and goes on saying so"
        assert not wire.holds.is_set()


# -------------------------------------------------------------------------------------------------------- the files


def request(tmp_path: Path, text: str) -> ActuatorRequest:
    file = tmp_path / "outputs.toml"
    file.write_text(text)
    return ActuatorRequest(str(file), lambda line: None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pulse_ms = 50\nmodule = '10.0.0.1:502'\n[coils]\nreject = 0", "coils has no pass: it is the output"),
        ("pulse_ms = 50\nmodule = '10.0.0.1:502'\n[coils]\npass = 1\nalive = 1", "coils names 1 twice"),
        ("pulse_ms = 50\nmodule = '10.0.0.1'\n[coils]\npass = 1", "module = '10.0.0.1': must match the pattern"),
        ("pulse_ms = 50\nmodule = '10.0.0.1:0'\n[coils]\npass = 1", "a port is a number from 1 to 65535"),
        ("module = '10.0.0.1:502'\n[coils]\npass = 1", "pulse_ms is missing"),
        (
            "pulse_ms = 5\nmodule = '10.0.0.1:502'\nwatchdogs = []\n[coils]\npass = 1",
            "unknown key 'watchdogs'; did you mean",
        ),
        ("pulse_ms = ", "not TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ActuatorError) as caught:
        Modbus.open(request(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "outputs.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ActuatorError, match=r"^an output needs its file, such as --actuator modbus:outputs.toml$"):
        Modbus.open(ActuatorRequest("", lambda line: None))
    with pytest.raises(ActuatorError, match=r"none.toml: cannot be read \(No such file or directory\)"):
        Modbus.open(ActuatorRequest(str(tmp_path / "none.toml"), lambda line: None))


# -------------------------------------------------------------------------------------------------------------- GPIO


def test_a_chip_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """With the real library; the kernel answers."""
    with pytest.raises(ActuatorError, match=r"^the lines of /dev/nochip: No such file or directory$"):
        Gpio.open(request(tmp_path, "pulse_ms = 50\nchip = '/dev/nochip'\n[lines]\npass = 17"))


class StandInLines:
    """Stands in for the kernel's lines only, where no chip is: the calls of the real library end here."""

    def __init__(self) -> None:
        self.requested: list[tuple[str, object, str]] = []
        self.values: dict[object, object] = {}
        self.history: list[tuple[object, bool]] = []
        self.is_released = False

    def request_lines(self, chip: str, config: dict[object, object], consumer: str) -> "StandInLines":
        self.requested.append((chip, config, consumer))
        return self

    def set_values(self, values: dict[object, object]) -> None:
        from gpiod.line import Value

        for line, value in values.items():
            if self.values.get(line, Value.INACTIVE) is not value:
                self.history.append((line, value is Value.ACTIVE))
        self.values |= values

    def release(self) -> None:
        self.is_released = True


def test_gpio_lines_are_requested_off_and_switched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpiod
    from gpiod.line import Direction, Value

    monkeypatch.setattr(gpiod, "request_lines", (lines := StandInLines()).request_lines)
    text = "pulse_ms = 600\nchip = '/dev/gpiochip0'\nactive_low = true\n[lines]\npass = 17\nreject = 'REJECT'"
    gpio = Gpio.open(request(tmp_path, text))
    ((chip, config, consumer),) = lines.requested
    ((asked, line),) = config.items()  # type: ignore[attr-defined]
    assert (chip, asked, consumer) == ("/dev/gpiochip0", (17, "REJECT"), "edge-gate")
    assert (line.direction, line.output_value, line.active_low) == (Direction.OUTPUT, Value.INACTIVE, True)
    gpio.pass_part(decision(True, time.monotonic_ns() + MS))
    until(lambda: gpio.check() is None and lines.history == [(17, True), (17, False)])
    gpio.reject(decision(False, time.monotonic_ns() + MS))
    until(lambda: gpio.check() is None and lines.history[2:] == [("REJECT", True), ("REJECT", False)])
    gpio.safe("the gate has ended")
    gpio.close()
    assert lines.is_released
