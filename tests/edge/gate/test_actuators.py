"""Actuators of the gate: a failure is detected, and no part passes afterwards."""

import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.line import free_endpoint, ran
from support.scripted_station import peer, until
from support.simulated_station import ModelledStation

from edge.channel.control_messages import Fate
from edge.errors import ActuatorError
from edge.gate.actuation import Actuation
from edge.gate.actuators import registry
from edge.gate.actuators.base import Actuator, ActuatorRequest
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision, Why
from edge.gate.gate import Rules
from edge.verdict import State

PASS = Decision("ab12", 1, "part-1", True, Why.CLEAR, Fate.PASSED, 0)
REJECT = Decision("ab12", 2, "part-2", False, Why.DEFECT, Fate.REJECTED, 0)


class Valve(Actuator):
    """An actuator that records its calls, and executes a test's action in the call of a given number."""

    name = "valve"
    patience_s = 10.0

    def __init__(self, fails: Callable[[int], None] = lambda call: None) -> None:
        self.calls: list[tuple[str, object]] = []
        self._fails = fails

    @classmethod
    def open(cls, request: ActuatorRequest) -> "Valve":
        return cls()

    def pass_part(self, decision: Decision) -> None:
        self._call("pass", decision)

    def reject(self, decision: Decision) -> None:
        self._call("reject", decision)

    def safe(self, reason: str) -> None:
        self._call("safe", reason)

    def close(self) -> None:
        self._call("close", None)

    def _call(self, what: str, of: object) -> None:
        self.calls.append((what, of))
        self._fails(len(self.calls))

    @property
    def told(self) -> list[str]:
        return [what for what, _ in self.calls]


def jams(at: int) -> Callable[[int], None]:
    def fail(call: int) -> None:
        if call == at:
            raise OSError("no air\nat all")

    return fail


def actuation(*actuators: Actuator) -> Actuation:
    made = Actuation()
    for actuator in actuators:
        made.add(actuator)
    return made


def test_each_decision_moves_each_actuator_and_the_end_makes_them_safe() -> None:
    one, other = Valve(), Valve()
    moving = actuation(one, other)
    moving(PASS)
    moving(REJECT)
    moving.close()
    assert one.calls == [("pass", PASS), ("reject", REJECT), ("safe", "the gate has ended"), ("close", None)]
    assert other.calls == one.calls


@pytest.mark.parametrize("failing", [PASS, REJECT], ids=["pass", "reject"])
def test_an_actuator_that_fails_makes_all_of_them_safe_with_one_line(failing: Decision) -> None:
    before, broken, after = Valve(), Valve(jams(1)), Valve()
    moving = actuation(before, broken, after)
    line = f"the actuator valve failed at {failing.part}: no air"
    with pytest.raises(ActuatorError) as caught:
        moving(failing)
    assert str(caught.value) == line
    moving(REJECT)
    moving(PASS)
    moving.close()
    what = "pass" if failing.passes else "reject"
    assert before.told == [what, "safe", "reject", "reject", "close"]
    assert broken.told == [what, "safe", "close"]
    assert after.told == ["safe", "reject", "reject", "reject", "close"], "no pass after the failure"
    assert {of for told, of in [*before.calls, *broken.calls, *after.calls] if told == "safe"} == {line}


def test_an_actuator_that_is_slow_has_failed() -> None:
    class Slow(Valve):
        patience_s = 0.01

    slow = Slow(lambda call: time.sleep(0.05) if call == 1 else None)
    with pytest.raises(ActuatorError, match=rf"^the actuator valve took \d+ ms at {PASS.part}, 10 ms is the longest$"):
        actuation(slow)(PASS)
    assert slow.told == ["pass", "safe"]


def test_a_part_passes_alone_only_if_each_actuator_that_works_can_let_it() -> None:
    class Wide(Valve):
        remarks = ("too wide",)

        def separates(self, due_ns: int, next_due_ns: int | None) -> bool:
            return next_due_ns is None or next_due_ns - due_ns >= 10

    moving = actuation(Valve(), wide := Wide(jams(1)))
    assert (moving.separates(0, 9), moving.separates(0, 10), moving.separates(0, None)) == (False, True, True)
    assert moving.remarks == ("too wide",)
    with pytest.raises(ActuatorError):
        moving(PASS)
    assert wide.told
    assert moving.separates(0, 9), "after the failure the gate rejects every part"


def test_an_actuator_that_cannot_be_made_safe_leaves_none_of_the_others_out() -> None:
    broken, other = Valve(lambda call: jams(call)(call)), Valve()
    moving = actuation(broken, other)
    with pytest.raises(ActuatorError):
        moving(REJECT)
    moving.close()
    assert other.told == ["safe", "reject", "close"]


@settings(deadline=None)
@given(
    decisions=st.lists(st.sampled_from([PASS, REJECT]), max_size=12),
    failures=st.lists(st.integers(1, 12), min_size=1, max_size=3),
)
def test_no_reject_ever_becomes_a_pass_whatever_fails(decisions: list[Decision], failures: list[int]) -> None:
    valves = [Valve(jams(at)) for at in failures]
    moving = actuation(*valves)
    for decision in decisions:
        try:
            moving(decision)
        except ActuatorError:
            assert all("safe" in valve.told for valve in valves)
    for valve in valves:
        assert all(of is PASS for told, of in valve.calls if told == "pass")
        assert "pass" not in valve.told[valve.told.index("safe") :] if "safe" in valve.told else True


# ----------------------------------------------------------------------------------------------------------- in a gate


def test_a_gate_whose_actuator_has_failed_rejects_every_part_though_the_station_goes_on() -> None:
    endpoint = Endpoint(free_endpoint(), free_endpoint())
    decisions: list[Decision] = []
    is_broken = False

    def check(_: int) -> None:
        if is_broken:
            raise OSError("no air")

    moving = actuation(valve := Valve(check))

    def actuate(decision: Decision) -> None:
        decisions.append(decision)
        moving(decision)

    belt = SteadyBelt(800, 400)
    controller = Controller([endpoint], "line1", "gate1", belt, actuate, Rules(), allow_insecure=True)
    try:
        with peer(endpoint.verdicts, endpoint.control, ModelledStation()) as station:
            due = 0.0

            def turn() -> None:
                nonlocal due
                if time.monotonic() >= due:
                    station.good()
                    due = time.monotonic() + 0.05
                controller.turn()

            until(lambda: any(decision.passes for decision in decisions), turn)
            is_broken = True
            until(lambda: controller.gate.failure, turn)
            failed = re.fullmatch(r"the actuator valve failed at (.+): no air", str(controller.gate.failure))
            assert failed is not None
            assert failed[1] in {decision.part for decision in decisions}, "the part that it failed at is named"
            failed_at = len(decisions)
            until(lambda: len(decisions) >= failed_at + 5, turn)
            after = decisions[failed_at:]
            assert {decision.why for decision in after} <= {Why.ACTUATOR_FAILED, Why.LATE, Why.GATE_LATE}
            assert Why.ACTUATOR_FAILED in {decision.why for decision in after}
            assert not any(decision.passes for decision in after)
            last = next(d.seq for d in reversed(after) if d.why is Why.ACTUATOR_FAILED)
            until(lambda: last in station.acks(), turn)
            assert station.acks()[last] == "rejected"
            assert valve.told[-1] == "safe"
            controller.gate.reset(time.monotonic_ns())
            assert controller.gate.failure, "a reset forgets stations and repairs nothing"
    finally:
        controller.close()


# -------------------------------------------------------------------------------------------------------- the registry


@pytest.mark.parametrize("name", registry.KINDS)
def test_each_kind_of_actuator_has_the_name_of_its_module(name: str) -> None:
    kind, address = registry.find_actuator(f"{name}:a:1")
    assert (kind.name, address) == (name, "a:1")
    assert registry.find_actuator(name)[1] == ""


def test_an_output_that_is_given_twice_is_one_line() -> None:
    done = ran("gate", "--insecure", *["--actuator", "modbus:outputs.toml"] * 2)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--actuator modbus:outputs.toml is given twice" in done.stderr


def test_an_actuator_that_there_is_not_is_one_line() -> None:
    with pytest.raises(ActuatorError, match=r"^no such actuator: 'plc:1'; there are: terminal, modbus, gpio$"):
        registry.find_actuator("plc:1")


WITH_A_VALVE = f"""
import sys, types
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
from test_actuators import Valve
from edge.gate.actuators import registry

class Broken(Valve):
    name = "valve"
    def pass_part(self, decision):
        raise OSError("no air")

module = sys.modules["edge.gate.actuators.valve"] = types.ModuleType("edge.gate.actuators.valve")
module.KIND = Broken
registry.KINDS = (*registry.KINDS, "valve")
from edge.cli.gate import main
main()
"""


def edge_gate(endpoint: Endpoint, *options: str) -> "subprocess.Popen[str]":
    arguments = ["--connect", endpoint.verdicts, "--control", endpoint.control, "--actuator", "valve:1", *options]
    return subprocess.Popen(
        [sys.executable, "-c", WITH_A_VALVE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_real_output_moves_only_with_keys_or_if_that_is_meant() -> None:
    endpoint = Endpoint(free_endpoint(), free_endpoint())
    process = edge_gate(endpoint, "--wait-s", "0.2")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "without keys any process that reaches it can speak as the station" in said
    assert said.count("\n") == 1
    process = edge_gate(endpoint, "--wait-s", "0.2", "--insecure")
    assert "nothing heard from 'line1'" in process.communicate(timeout=60)[1]


def test_edge_gate_says_once_that_its_actuator_has_failed_and_ends_with_1() -> None:
    endpoint = Endpoint(free_endpoint(), free_endpoint())
    with peer(endpoint.verdicts, endpoint.control, ModelledStation()) as station:
        options = ["--insecure", "--actuator", "terminal", "--once", "--travel-ms", "800", "--lead-ms", "400"]
        process = edge_gate(endpoint, *options)
        deadline = time.monotonic() + 30
        while (fates := [fate for _, fate in sorted(station.acks().items())]).count("passed") == 0 or (
            fates[fates.index("passed") :].count("rejected") < 3
        ):
            assert time.monotonic() < deadline, "the actuator never failed"
            station.good()
            time.sleep(0.05)
        station.say(station.station.state(time.monotonic_ns(), State.STOPPED))
        out, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    (passed,) = [line for line in out.splitlines() if line.split()[1:2] == ["pass"]]
    part = passed.partition("clear")[2].strip()
    remedy = "everything is rejected until this command is started again"
    fault = f"FAULT: the actuator valve failed at {part}: no air; {remedy}"
    assert said.splitlines().count(fault) == 1
    assert "REJECT  actuator failed" in out


def test_the_terminal_moves_nothing_and_is_never_slow() -> None:
    kind, _ = registry.find_actuator("terminal")
    assert (kind.is_real_output, kind.patience_s) == (False, math.inf)


def test_an_actuator_that_could_not_be_made_safe_is_tried_again() -> None:
    actuation, (first, broken) = Actuation(), (Valve(), Valve())
    made_safe = [OSError("the link is down"), None]

    def safe(reason: str) -> None:
        if (error := made_safe.pop(0)) is not None:
            raise error

    def fail(decision: Decision) -> None:
        raise OSError("the link is down")

    broken.safe, broken.pass_part = safe, fail  # type: ignore[method-assign]
    actuation.add(first)
    actuation.add(broken)
    with pytest.raises(ActuatorError):
        actuation(PASS)
    assert len(made_safe) == 1
    actuation(REJECT)
    assert not made_safe
    actuation.close()
    assert first.told.count("safe") == 1
