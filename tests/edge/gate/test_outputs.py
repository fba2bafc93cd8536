"""Digital outputs of the gate without a wire: the thread that switches, settings, GPIO lines."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.output_wire import MS, SETTINGS, Wire, decision, running, until

from edge.errors import ActuatorError
from edge.gate.actuators.base import ActuatorRequest
from edge.gate.actuators.gpio import Gpio
from edge.gate.actuators.modbus import Modbus
from edge.gate.outputs import driver as driver_module

# -------------------------------------------------------------------------------------------------------- the thread


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


def test_after_safe_nothing_passes_and_alive_no_longer_changes() -> None:
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
        until(lambda: driver._reports)
        assert wire.pulses("pass") == 0
        assert wire.pulses("alive") == count, "alive says that the gate turns"
        assert driver.check() == "the wire did not switch in time for late"
        assert driver.check() is None, "said once"


def test_a_loss_is_noticed_and_parts_of_before_do_not_pass_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "RETRY_S", 0.05)
    with running(wire := Wire()) as driver:
        soon = time.monotonic_ns() + 2_000 * MS
        driver.decide(decision(True, soon, "soon"))
        driver.decide(decision(True, soon + 60_000 * MS, "on its way"))
        wire.is_broken = True
        until(driver.check)
        doubt = "whether these passed is not known: soon, on its way"
        assert driver.check() == f"the wire does not answer within 200 ms; {doubt}"
        driver.decide(decision(True, time.monotonic_ns(), "at the worst moment"))
        assert driver.check() is not None
        wire.is_broken = False
        until(lambda: wire.opened == 2)
        until(lambda: driver.check() is None and time.monotonic_ns() > soon + 200 * MS)
        assert wire.pulses("pass") == 0
        driver.decide(decision(True, time.monotonic_ns() + 1_000 * MS))
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
        assert driver.check() == "the wire has not answered for more than 300 ms"
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
def test_a_file_with_a_mistake_is_one_line(tmp_path: Path, text: str, said: str) -> None:
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


def test_a_delay_is_less_than_the_lead(tmp_path: Path) -> None:
    text = "pulse_ms = 50\ndelay_ms = 50\nchip = '/dev/nochip'\n[lines]\npass = 17"
    with pytest.raises(
        ActuatorError, match=r"outputs.toml: delay_ms = 50 is not less than the lead of 50 ms: each part"
    ):
        Gpio.open(replace(request(tmp_path, text), lead_ms=50))
    for lead_ms in (50.1, None):
        with pytest.raises(ActuatorError, match="No such file"):
            Gpio.open(replace(request(tmp_path, text), lead_ms=lead_ms))


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
