"""A gate on a relay module: pymodbus' server in a process of its own, which is killed, started again and frozen."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from support.line import free_endpoint
from support.relay_module import Change, RelayModule
from support.scripted_station import Peer, peer, until
from support.simulated_station import ModelledStation

from edge.errors import ActuatorError
from edge.gate.actuation import Actuation
from edge.gate.actuators.base import Actuator, ActuatorRequest
from edge.gate.actuators.modbus import Modbus
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision, Why
from edge.gate.gate import Rules
from edge.verdict import State

PASS, REJECT, ALIVE = 2, 3, 5
PULSE_MS, DELAY_MS, TIMEOUT_MS, SPACING_S = 500, 10, 1_500, 0.7
WATCHDOG = (3, 77)
PATIENCE_S = 60.0
MS = 1_000_000


class Notes(Actuator):
    """Another output of the same gate: it writes down the decisions."""

    name = "notes"

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    @classmethod
    def open(cls, request: ActuatorRequest) -> "Notes":
        return cls()

    def pass_part(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def reject(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def safe(self, reason: str) -> None:
        pass

    def close(self) -> None:
        pass


def outputs_file(folder: Path, port: int, coil: int = PASS, timeout_ms: int = TIMEOUT_MS) -> Path:
    file = folder / "outputs.toml"
    file.write_text(
        f"module = '127.0.0.1:{port}'\nunit = 7\npulse_ms = {PULSE_MS}\ndelay_ms = {DELAY_MS}\nalive_ms = 100\n"
        f"timeout_ms = {timeout_ms}\nwatchdog = [{list(WATCHDOG)}]\n"
        f"[coils]\npass = {coil}\nreject = {REJECT}\nalive = {ALIVE}\n"
    )
    return file


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


class Rig:
    """A station of the test's own, a gate, and a relay module."""

    def __init__(self, station: Peer, controller: Controller, module: RelayModule, notes: Notes) -> None:
        self.station, self.controller, self.module, self.notes = station, controller, module, notes
        self.turns = 0
        self._due = 0.0

    @property
    def decisions(self) -> list[Decision]:
        return self.notes.decisions

    def wait(self, condition: Callable[[], object], says: str | None = None) -> None:
        """Turn the gate until the condition holds; meanwhile the station says this of a part in each spacing."""

        def turn() -> None:
            if says is not None and time.monotonic() >= self._due:
                self.station.good(says=says)
                self._due = time.monotonic() + SPACING_S
            self.controller.turn()
            self.turns += 1

        until(condition, turn, PATIENCE_S)

    def show(self, *says: str) -> None:
        """Let these verdicts come, a spacing apart, and wait for their decisions."""
        count = len(self.decisions)
        for one in says:
            self.station.good(says=one)
            due = time.monotonic() + SPACING_S
            self.wait(lambda due=due: time.monotonic() >= due)
        self.wait(lambda: len(self.decisions) == count + len(says))

    def join(self) -> None:
        """Show parts until one has passed, and then nothing until the gate and the module are at rest."""
        before = len(self.decisions)
        self.wait(lambda: any(one.passes for one in self.decisions[before:]), says="good")
        self.settle()

    def settle(self) -> None:
        self.wait(lambda: self.controller.gate.wait_ns(time.monotonic_ns()) is None)
        end = time.monotonic_ns() + (PULSE_MS + DELAY_MS + 400) * MS
        self.wait(lambda: time.monotonic_ns() > end and not (self.module.is_on(PASS) or self.module.is_on(REJECT)))


@contextmanager
def rig(folder: Path, timeout_ms: int = TIMEOUT_MS) -> Iterator[Rig]:
    with ExitStack() as at_end:
        module = RelayModule(folder, port_of(free_endpoint()))
        at_end.callback(module.kill)
        endpoint = Endpoint(free_endpoint(), free_endpoint())
        station = at_end.enter_context(peer(endpoint.verdicts, endpoint.control, ModelledStation()))
        actuation, notes = Actuation(), Notes()
        belt = SteadyBelt(600, 200)
        controller = Controller([endpoint], "line1", "gate1", belt, actuation, Rules(), allow_insecure=True)
        at_end.callback(controller.close)
        at_end.callback(actuation.close)
        file = outputs_file(folder, module.port, timeout_ms=timeout_ms)
        actuation.add(Modbus.open(ActuatorRequest(str(file), lambda line: None)))
        actuation.add(notes)
        yield Rig(station, controller, module, notes)


def pulses(module: RelayModule, coil: int, since_ns: int) -> list[tuple[Change, Change]]:
    """The times on and off of a coil."""
    changes = [change for change in module.of(coil) if change.at_ns > since_ns]
    assert [change.value for change in changes] == [1, 0] * (len(changes) // 2)
    return [(on, off) for on, off in pairwise(changes) if on.value]


def show_until_followed(line: Rig, *says: str) -> tuple[int, list[Decision]]:
    """Show these parts until the driver has said of none of them that it switched too late, as on a busy machine.
    Returns a time before the first of them, and their decisions.
    """
    for _ in range(12):
        line.join()
        begun, count, outages = time.monotonic_ns(), len(line.decisions), line.controller.gate.outages
        line.show(*says)
        line.settle()
        decisions = line.decisions[count:]
        is_good = [one.passes for one in decisions] == [one == "good" for one in says]
        if is_good and line.controller.gate.outages == outages:
            return begun, decisions
    raise AssertionError("the module never followed in time")


def test_coils_are_on_in_the_windows_of_the_parts_of_the_decisions_and_at_no_other_time(tmp_path: Path) -> None:
    """Of a part that the driver does not name as late, `pass` is on by the middle of its window, and off before that of
    the rejected part after it.
    """
    with rig(tmp_path, timeout_ms=150) as line:
        says = ("good", "reject", "good", "camera", "reject", "good", "reject", "good")
        begun, decisions = show_until_followed(line, *says)
        starts = [one.due_ns + DELAY_MS * MS for one in decisions if one.due_ns is not None]
        assert len(starts) == len(says)
        on_ns, off_ns = {}, {}
        for coil, passes in ((PASS, True), (REJECT, False)):
            parts = [part for part, one in enumerate(decisions) if one.passes is passes]
            found = pulses(line.module, coil, begun)
            assert len(found) == len(parts)
            for part, (on, off) in zip(parts, found, strict=True):
                on_ns[part], off_ns[part] = on.at_ns, off.at_ns
        for part, start in enumerate(starts):
            assert start <= on_ns[part]
            assert start + PULSE_MS * MS <= off_ns[part]
            if decisions[part].passes:
                assert on_ns[part] <= start + PULSE_MS * MS // 2
            if part and decisions[part - 1].passes:
                assert off_ns[part - 1] < start, "off before the rejected part"
            if part and decisions[part].passes:
                assert off_ns[part - 1] < on_ns[part], "what goes off is written first"
        alive = [change.value for change in line.module.of(ALIVE) if change.at_ns > begun]
        assert len(alive) > 5
        assert all(one != other for one, other in pairwise(alive))
    changes = line.module.changes
    connects = len([change for change in changes if change.kind == "register"])
    assert [change[1:] for change in changes if change.kind == "register"] == [("register", *WATCHDOG)] * connects
    first_on = next(index for index, change in enumerate(changes) if change.kind == "coil" and change.value)
    assert ("register", *WATCHDOG) in [change[1:] for change in changes[:first_on]], "the watchdog is set first"
    assert not any(line.module.is_on(coil) for coil in (PASS, REJECT, ALIVE)), "off at the end"


def test_a_good_part_beside_a_rejected_one_is_rejected_and_parts_so_close_are_remarked(tmp_path: Path) -> None:
    with rig(tmp_path) as line:
        line.join()
        count, begun = len(line.decisions), time.monotonic_ns()
        line.station.good(says="good")
        line.station.good(says="reject")
        line.wait(lambda: len(line.decisions) >= count + 2)
        assert [one.why for one in line.decisions[count:]] == [Why.TOO_CLOSE, Why.DEFECT]
        line.settle()
        assert pulses(line.module, PASS, begun) == []
        assert len(pulses(line.module, REJECT, begun)) == 1
        (remark,) = line.controller.remarks
        assert remark.startswith(f"the module 127.0.0.1:{line.module.port}: two parts are ")


def test_a_module_that_dies_rejects_every_part_until_it_is_back(tmp_path: Path) -> None:
    with rig(tmp_path) as line:
        line.join()
        gate = line.controller.gate
        line.module.kill()
        line.wait(lambda: gate.outage is not None, says="good")
        assert f"the module 127.0.0.1:{line.module.port}" in str(gate.outage)
        count = len(line.decisions)
        line.wait(lambda: len(line.decisions) >= count + 4, says="good")
        assert {one.why for one in line.decisions[count:]} <= {Why.NO_OUTPUT, Why.LATE, Why.GATE_LATE}
        assert Why.NO_OUTPUT in gate.counts
        line.module.start()
        restarted = time.monotonic_ns()
        line.wait(lambda: gate.outage is None)
        line.wait(lambda: line.controller.gate.wait_ns(time.monotonic_ns()) is None)
        count = len(line.decisions)
        line.join()
        passed = [one for one in line.decisions[count:] if one.passes]
        assert len(pulses(line.module, PASS, restarted)) == len(passed)
        assert (gate.outages, gate.failure) == (1, None)
        registers = [change for change in line.module.changes if change.kind == "register"]
        assert len(registers) == 2, "the watchdog is set again"


def test_a_module_that_freezes_delays_nothing_and_is_off_when_it_answers_again(tmp_path: Path) -> None:
    with rig(tmp_path) as line:
        line.join()
        gate, told = line.controller.gate, set()
        line.wait(lambda: line.module.is_on(PASS), says="good")
        line.module.signal(signal.SIGSTOP)
        try:
            line.wait(lambda: gate.outage is not None, says="good")
            count, turns = len(line.decisions), [line.turns]

            def are_on_time() -> bool:
                """Whether the last three parts of the outage had no other reason, with a gate that turned meanwhile."""
                turns.extend([line.turns] * (len(line.decisions) - count + 1 - len(turns)))
                whys = [one.why for one in line.decisions[count:][-3:]]
                return whys == [Why.NO_OUTPUT] * 3 and all(later - one >= 10 for one, later in pairwise(turns[-4:]))

            line.wait(are_on_time, says="good")
            assert not any(one.passes for one in line.decisions[count:])
            assert line.module.is_on(PASS), "only a watchdog of the module's own switches this off"
            named = [str(one.part) for one in line.decisions[count:]]
        finally:
            line.module.signal(signal.SIGCONT)
        line.wait(lambda: told.add(gate.outage) or gate.outage is None)
        assert any("may have had pass on for these rejected parts" in str(why) and named[0] in str(why) for why in told)
        line.settle()
        assert not line.module.is_on(PASS)
        count, now = len(line.decisions), time.monotonic_ns()
        line.join()
        passed = [one for one in line.decisions[count:] if one.passes]
        assert len(pulses(line.module, PASS, now)) == len(passed)


# ------------------------------------------------------------------------------------------------------- the command


def edge_gate(endpoint: Endpoint, file: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "edge.cli.gate", "--connect", endpoint.verdicts, "--control", endpoint.control]
    more = ["--insecure", "--actuator", f"modbus:{file}", *options]
    return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_edge_gate_says_a_loss_once_counts_it_and_logs_rejects(tmp_path: Path) -> None:
    module = RelayModule(tmp_path, port_of(free_endpoint()))
    endpoint, log = Endpoint(free_endpoint(), free_endpoint()), tmp_path / "gate.jsonl"
    with peer(endpoint.verdicts, endpoint.control, ModelledStation()) as station:
        options = ["--once", "--travel-ms", "600", "--lead-ms", "200", "--log", str(log), "--json"]
        process = edge_gate(endpoint, outputs_file(tmp_path, module.port), *options)

        def turn() -> None:
            station.good()
            time.sleep(0.1)

        until(lambda: "passed" in station.acks().values(), turn, PATIENCE_S)
        module.kill()
        until(lambda: log.read_text().count('"no output"') >= 3, turn, PATIENCE_S)
        station.say(station.station.state(time.monotonic_ns(), State.STOPPED))
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    lost = [line for line in said.splitlines() if "OUTPUT LOST: the module 127.0.0.1" in line]
    assert len(lost) == 1
    assert lost[0].endswith("every part is rejected meanwhile")
    report = json.loads(said.splitlines()[-1])
    assert report["outages"] == 1
    assert report["reasons"]["no output"] >= 3
    whys = [json.loads(line)["why"] for line in log.read_text().splitlines()]
    first = whys.index("no output")
    assert "clear" not in whys[first:]


def test_a_coil_or_a_module_that_is_not_there_is_one_line_before_anything_moves(tmp_path: Path) -> None:
    module = RelayModule(tmp_path, port_of(free_endpoint()))
    try:
        with pytest.raises(ActuatorError) as caught:
            Modbus.open(ActuatorRequest(str(outputs_file(tmp_path, module.port, coil=99)), lambda line: None))
        refused = f"the module 127.0.0.1:{module.port} refuses coil 99 for pass (Modbus exception 2)"
        assert str(caught.value) == refused
    finally:
        module.kill()
    process = edge_gate(Endpoint(free_endpoint(), free_endpoint()), outputs_file(tmp_path, module.port))
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert f"the module 127.0.0.1:{module.port}: Connection refused" in said


@pytest.mark.parametrize(
    ("options", "lead"),
    [
        (["--lead-ms", "10"], "10"),
        (["--lead-ms", "50", "--travel-pulses", "1000", "--pulses-per-s", "125"], "48"),
    ],
    ids=["belt of constant speed", "encoder of constant speed"],
)
def test_a_delay_as_long_as_the_lead_is_one_line_before_anything_moves(
    tmp_path: Path, options: list[str], lead: str
) -> None:
    file = outputs_file(tmp_path, port_of(free_endpoint()))
    file.write_text(file.read_text().replace(f"delay_ms = {DELAY_MS}", f"delay_ms = {lead}"))
    process = edge_gate(Endpoint(free_endpoint(), free_endpoint()), file, *options)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert f"is not less than the lead of {lead} ms" in said
    assert "lower delay_ms or raise --lead-ms" in said
