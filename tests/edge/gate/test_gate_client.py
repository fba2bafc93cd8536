"""The gate with real sockets, and a small station that hangs, is delayed, dies and returns."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.line import command, free_endpoint, ran, running_line
from support.scripted_station import Peer, peer, until
from support.simulated_station import ModelledStation

from edge.channel.control_messages import AskSnapshot, Hello, Replayed
from edge.errors import ChannelError
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision, Why
from edge.gate.gate import Rules
from edge.gate.station_view import LEASE_NS
from edge.verdict import Outcome, State, topic

TRAVEL_S, LEAD_S = 0.8, 0.4


def test_no_output_is_driven_from_where_anybody_could_speak_as_the_station(tmp_path: Path) -> None:
    def controller(*endpoints: Endpoint) -> Controller:
        return Controller([*endpoints], "line1", "gate1", SteadyBelt(1000, 50), lambda decision: None, Rules())

    for verdicts in ("tcp://127.0.0.1:5570", "tcp://192.0.2.1:5570"):
        with pytest.raises(ChannelError, match="without keys any process that reaches it can speak as the station"):
            controller(Endpoint.of(verdicts))
    with pytest.raises(ChannelError, match="without keys"):
        controller(Endpoint.of(f"ipc://{tmp_path}/line", "tcp://127.0.0.1:5571"))
    controller(Endpoint.of(f"ipc://{tmp_path}/line")).close()


def test_edge_gate_says_what_it_means_to_have_no_keys_and_asks_for_it_off_loopback() -> None:
    def gate(*options: str) -> "subprocess.CompletedProcess[str]":
        return ran("gate", "--wait-s", "0.2", *options)

    refused = gate("--connect", "tcp://192.0.2.1:5570")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert (
        "without keys anybody on the network can speak as the station; say --keys FILE, or --insecure" in refused.stderr
    )
    assert "'127.0.0.1:5570' is no endpoint; one looks like tcp://" in gate("--connect", "127.0.0.1:5570").stderr
    for options in (("--connect", free_endpoint()), ("--connect", "tcp://192.0.2.1:5570", "--insecure")):
        assert "no keys: any process that reaches it can speak as the station" in gate(*options).stderr


class Running:
    """A running controller and its decisions."""

    def __init__(self, endpoints: list[Endpoint], rules: Rules, travel_s: float) -> None:
        self.decisions: list[Decision] = []
        belt = SteadyBelt(travel_s * 1e3, LEAD_S * 1e3)
        self.controller = Controller(
            endpoints, "line1", "gate1", belt, self.decisions.append, rules, allow_insecure=True
        )
        self.gate, self.turn = self.controller.gate, self.controller.turn

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, self.turn)

    def until_it_is_joined(self, station: Peer) -> None:
        self.until(lambda: any(isinstance(request, AskSnapshot) for request in list(station.requests)))
        self.until(lambda: not self.gate.wants_snapshot)

    def until_it_passes(self, station: Peer) -> Decision:
        """Publish goods until one passes; on a busy machine some may be late."""
        before, due = len(self.decisions), 0.0

        def turn() -> None:
            nonlocal due
            if time.monotonic() >= due:
                station.good()
                due = time.monotonic() + 0.05
            self.turn()

        def passed() -> list[Decision]:
            return [d for d in self.decisions[before:] if d.passes and d.epoch == station.station.epoch]

        until(passed, turn)
        return passed()[0]


@contextmanager
def controller(*endpoints: Endpoint, rules: Rules | None = None, travel_s: float = TRAVEL_S) -> Iterator[Running]:
    running = Running(list(endpoints), rules or Rules(), travel_s)
    try:
        yield running
    finally:
        running.controller.close()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(free_endpoint(), free_endpoint())


@contextmanager
def station_at(endpoint: Endpoint, station: ModelledStation | None = None) -> Iterator[Peer]:
    with peer(endpoint.verdicts, endpoint.control, station) as running:
        yield running


def test_a_good_passes_and_its_fate_is_acknowledged(endpoint: Endpoint) -> None:
    with controller(endpoint) as gate, station_at(endpoint, ModelledStation(offset_ns=-(10**15))) as station:
        passed = gate.until_it_passes(station)
        gate.until(lambda: passed.seq in station.acks())
        assert station.acks()[passed.seq] == "passed"
        assert gate.controller.is_required
        assert passed.part == f"part {passed.seq}"


def test_nothing_passes_while_the_control_socket_says_nothing(endpoint: Endpoint) -> None:
    with controller(endpoint) as gate, station_at(endpoint) as station:
        station.answers = False
        gate.until(lambda: gate.gate.wants_snapshot)
        station.good()
        gate.until(lambda: gate.decisions)
        assert gate.decisions[0].why in (Why.NOT_JOINED, Why.NO_CLOCK)


def test_a_station_that_dies_closes_the_gate_within_a_lease(endpoint: Endpoint) -> None:
    with controller(endpoint) as gate:
        with station_at(endpoint) as station:
            gate.until_it_passes(station)
            last = [station.good().seq for _ in range(5)]
            gate.until(lambda: gate.gate.wait_ns(time.monotonic_ns()) is not None)
            time.sleep(0.05)
            gate.turn()
        died_ns = time.monotonic_ns()
        gate.until(lambda: gate.gate.wait_ns(time.monotonic_ns()) is None)
    assert not any(d.passes for d in gate.decisions if d.seq in last)
    assert all(d.at_ns < died_ns + LEASE_NS for d in gate.decisions if d.passes)


def test_what_a_partition_held_back_moves_nothing_and_is_acknowledged_as_late(endpoint: Endpoint) -> None:
    with controller(endpoint, travel_s=2.0) as gate, station_at(endpoint) as station:
        gate.until_it_passes(station)
        station.is_held = True
        held = []
        ends = time.monotonic() + 0.8
        while time.monotonic() < ends:
            held.append(station.good().seq)
            gate.turn()
        time.sleep(0.2)  # now the last of them is too old as well
        station.is_held = False
        gate.until(lambda: set(held) <= set(station.acks()))
        assert {station.acks()[seq] for seq in held} == {"late_reject"}
        assert {d.why for d in gate.decisions if d.seq in held} == {Why.LATE}
        assert gate.gate.alarms == 1


def test_a_station_that_comes_back_is_joined_anew(endpoint: Endpoint) -> None:
    with controller(endpoint) as gate:
        with station_at(endpoint) as first:
            gate.until_it_passes(first)
        with station_at(endpoint, ModelledStation("b2", boot=2)) as second:
            passed = gate.until_it_passes(second)
            assert passed.epoch == "b2"
            assert any(isinstance(request, Hello) for request in second.requests)
            gate.until(lambda: passed.seq in second.acks())
        assert gate.gate.fault is None


def test_two_stations_of_one_name_are_a_fault(endpoint: Endpoint) -> None:
    other = Endpoint(free_endpoint(), free_endpoint())
    with controller(endpoint, other) as gate, station_at(endpoint) as first:
        gate.until_it_passes(first)
        with station_at(other, ModelledStation("b2", boot=1)) as second:
            gate.until(lambda: gate.gate.fault)
            before = len(gate.decisions)
            for _ in range(5):
                first.good()
                second.good()
            gate.until(lambda: len(gate.decisions) >= before + 5)
        assert not any(decision.passes for decision in gate.decisions[before:])


def test_a_replayed_good_moves_nothing(endpoint: Endpoint) -> None:
    with controller(endpoint, travel_s=LEAD_S + 0.1) as gate, station_at(endpoint) as station:
        gate.until_it_passes(station)
        replayed = Replayed(verdict=station.station.verdict(time.monotonic_ns(), seq=station.station.seq + 1))
        station.whisper(replayed)
        station.whisper(replayed)
        gate.until(lambda: station.whispered == 2)
        gate.until(lambda: gate.gate.wait_ns(time.monotonic_ns()) is None)
        for _ in range(10):
            gate.turn()
        assert replayed.verdict.seq not in {decision.seq for decision in gate.decisions}


def test_a_triggered_part_passes_on_its_own_verdict(endpoint: Endpoint) -> None:
    with controller(endpoint, rules=Rules(announced=True)) as gate, station_at(endpoint) as station:
        gate.until_it_is_joined(station)
        for attempt in range(5):
            gate.controller.trigger(f"X{attempt}")
            gate.until(lambda: len(gate.decisions) > attempt)  # noqa: B023
            if gate.decisions[-1].passes:
                break
        assert (gate.decisions[-1].passes, gate.decisions[-1].part) == (True, f"X{attempt}")
        gate.until(lambda: gate.decisions[-1].seq in station.acks())


def test_what_is_no_message_is_counted_and_moves_nothing(endpoint: Endpoint) -> None:
    with controller(endpoint) as gate, station_at(endpoint) as station:
        gate.until_it_is_joined(station)
        good = station.station.verdict(time.monotonic_ns(), seq=1).model_dump_json()
        huge = good.replace('"captured":', '"captured":1' + "0" * 400)
        verdicts = topic("line1", "verdict")
        frames = [[verdicts], [verdicts, b"{}"], [verdicts, huge.encode()], [b"evp1/line1/x/", good.encode()]]
        station.say(*frames)
        for junk in (b"", b"\xff", b"{}", b'{"type":"pong"}'):
            station.whisper(junk)
        gate.until(lambda: gate.controller.malformed == len(frames))
        assert gate.decisions == []
        gate.until_it_passes(station)


@pytest.mark.parametrize(
    ("verdicts", "control"),
    [
        ("tcp://127.0.0.1:5570", "tcp://127.0.0.1:5571"),
        ("tcp://[::1]:6000", "tcp://[::1]:6001"),
        ("ipc:///run/line1", "ipc:///run/line1.control"),
    ],
)
def test_the_control_endpoint_is_beside_the_one_of_the_verdicts(verdicts: str, control: str) -> None:
    assert Endpoint.of(verdicts).control == control
    assert Endpoint.of(verdicts, "tcp://h:1").control == "tcp://h:1"


@pytest.mark.parametrize("verdicts", ["tcp://127.0.0.1", "tcp://127.0.0.1:65535", "tcp://127.0.0.1:x", "5570"])
def test_an_endpoint_without_a_neighbour_is_refused_in_one_line(verdicts: str) -> None:
    with pytest.raises(ChannelError, match="--control"):
        Endpoint.of(verdicts)


def test_a_controller_loads_nothing_but_pyzmq_and_pydantic() -> None:
    code = (
        "import sys, edge.gate.client; print([m for m in "
        "('numpy', 'cv2', 'openvino', 'onnxruntime', 'typer', 'rich', 'torch', 'multiprocessing') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------------- the command


def run_gate(endpoint: Endpoint, *options: object) -> subprocess.Popen[str]:
    arguments = ["--connect", endpoint.verdicts, "--control", endpoint.control, "--once", *options]
    return subprocess.Popen(command("gate", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "belt", [("--travel-ms", 800), ("--travel-pulses", 800, "--pulses-per-s", 1000)], ids=["seconds", "pulses"]
)
def test_edge_gate_says_logs_and_counts_each_decision(
    endpoint: Endpoint, belt: tuple[object, ...], tmp_path: Path
) -> None:
    log = tmp_path / "gate.jsonl"
    with station_at(endpoint) as station:
        process = run_gate(endpoint, *belt, "--lead-ms", 400, "--log", log, "--json")
        until(lambda: any(isinstance(request, Hello) for request in station.requests), lambda: time.sleep(0.01))
        deadline = time.monotonic() + 20
        while list(station.acks().values()).count("passed") < 3:
            assert time.monotonic() < deadline, "nothing passed"
            station.good()
            station.say(station.station.verdict(time.monotonic_ns(), says="reject"))
            time.sleep(0.05)
        station.say(station.station.state(time.monotonic_ns(), State.STOPPED))
        out, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    decisions = [json.loads(line) for line in out.splitlines()]
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    for line in logged:
        del line["time"]
    assert logged == decisions
    counts = json.loads(said.splitlines()[-1])
    assert counts["passed"] == sum(d["decision"] == "pass" for d in decisions) > 0
    assert counts["rejected"] == sum(d["decision"] == "reject" for d in decisions)
    assert counts["reasons"]["defect"] == sum(d["why"] == "defect" for d in decisions) > 0
    assert all(d["seq"] % 2 == 1 for d in decisions if d["decision"] == "pass"), "every second part is bad"


@pytest.mark.parametrize(("budget_ms", "is_too_long"), [(400, False), (401, True)])
def test_station_and_gate_both_warn_of_a_budget_that_ends_after_the_decision(budget_ms: int, is_too_long: bool) -> None:
    options = ("--require", "gate1", "--budget-ms", budget_ms, "--size", "320x180", "--limit", 3)
    with running_line("--source", "demo", "--size", "320x180", *options) as line:
        process = subprocess.run(
            command("gate", "--connect", line.endpoint, "--once", "--travel-ms", 500), capture_output=True, text=True
        )
        line.to_the_end()
    remedy = "give the station --budget-ms 400 or less, or this gate a longer --travel-ms"
    assert (remedy in process.stderr) == is_too_long, process.stderr
    assert (f"budget {budget_ms} ms, but controller gate1 can use verdicts up to 400 ms" in line.stderr) == is_too_long


def test_a_station_whose_source_has_ended_stops_after_the_gate_has_decided_the_last_part() -> None:
    options = ("--require", "gate1", "--size", "320x180", "--limit", 8)
    with running_line("--source", "demo", "--size", "320x180", *options) as line:
        process = subprocess.run(
            command("gate", "--connect", line.endpoint, "--once", "--travel-ms", 3000, "--allow-simulated", "--json"),
            capture_output=True,
            text=True,
        )
        line.to_the_end()
    counts = json.loads(process.stderr.splitlines()[-1])
    assert counts["passed"] + counts["rejected"] == 8
    assert "station stopped" not in counts["reasons"], process.stderr
    assert "station line1 stopped: the source has ended" in process.stderr
    assert counts["passed"] == sum(verdict.verdict is Outcome.GOOD for verdict in line.verdicts) > 0


def test_a_gate_that_hears_nothing_says_after_five_seconds_what_it_waits_for() -> None:
    endpoint = free_endpoint()
    done = subprocess.run(
        command("gate", "--connect", endpoint, "--wait-s", 7, "--station", "line9"), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "waiting for station line9: nothing heard for 5 s" in done.stderr
    assert f"nothing heard from 'line9' at {endpoint}" in done.stderr


def test_a_travel_that_leaves_no_time_for_a_budget_is_one_line() -> None:
    done = ran("gate", "--travel-ms", 100)
    assert done.returncode == 2
    assert "leave nothing of --travel-ms 100 for the station's budget" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_edge_gate_prints_lines_for_people_and_leaves_when_nothing_is_heard(endpoint: Endpoint) -> None:
    process = run_gate(endpoint, "--wait-s", 0.3)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out.strip()) == (2, "decided: 0 passed, 0 rejected")


def test_edge_gate_explains_why_it_rejected_the_parts_that_were_on_their_way_when_the_run_ended(
    endpoint: Endpoint,
) -> None:
    with station_at(endpoint) as station:
        process = run_gate(endpoint, "--travel-ms", 3_600_000)
        until(lambda: any(isinstance(request, AskSnapshot) for request in station.requests), lambda: time.sleep(0.01))
        station.good()
        station.say(station.station.verdict(time.monotonic_ns(), says="reject"))
        station.say(station.station.state(time.monotonic_ns(), State.STOPPED))
        out, _ = process.communicate(timeout=20)
    *_, counts, why = out.splitlines()
    assert counts == "decided: 0 passed, 2 rejected (2 station stopped)"
    assert why == f"station stopped, 2 parts: {Why.STATION_STOPPED.meaning}"


@pytest.mark.parametrize("who", [["listen"], ["listen", "--json"], ["gate"], ["gate", "--json"]])
def test_no_text_of_a_station_reaches_the_terminal_as_a_command(endpoint: Endpoint, who: list[str]) -> None:
    bad = "a\x1b[2J\r\n\u202eb\x9b"
    options = ["--connect", endpoint.verdicts, "--once", *(["--control", endpoint.control] if "gate" in who else [])]
    with station_at(endpoint) as station:
        process = subprocess.Popen(command(*who, *options), stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(line.decode() for line in process.stdout or []))
        reader.start()
        deadline = time.monotonic() + 20
        while not any("u202e" in line for line in lines):
            assert time.monotonic() < deadline, lines
            station.say(station.station.verdict(time.monotonic_ns(), says="late", part=bad, detail=bad))
            time.sleep(0.1)
        station.say(station.station.state(time.monotonic_ns(), State.STOPPED))
        process.wait(20)
        reader.join(20)
    assert "".join(lines).replace("\n", "").isprintable(), lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--connect", "nowhere"], "--control"),
        (["--connect", "tcp://127.0.0.1:1", "--control", "a", "--control", "b"], "2 --control for 1 --connect"),
        (["--connect", "ftp://127.0.0.1:1"], "no endpoint"),
        (["--name", "a b"], "controller name"),
        (["--log", "/nowhere/gate.jsonl"], "--log"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line(options: list[str], said: str) -> None:
    done = ran("gate", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.timeout(60)  # without the line it waits for ever
@pytest.mark.parametrize("who", ["gate", "listen"])
def test_a_station_of_another_name_is_named(who: str) -> None:
    with running_line("--source", "demo", "--size", "160x90", "--station", "oven2") as line:
        waiting = subprocess.Popen(
            command(who, "--connect", line.endpoint, "--station", "oven3"), stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        said = ""
        while "oven2" not in said:
            said = waiting.stderr.readline()
            assert said, f"edge-{who} ended and named no other station"
        assert f"the station at {line.endpoint} is called 'oven2', not 'oven3'" in said
        assert "--station oven2" in said
        waiting.terminate()
        waiting.wait(20)
        waiting.stderr.close()


@pytest.mark.timeout(60)  # without the line it waits for ever
def test_a_line_that_waits_for_a_controller_says_so_from_the_start() -> None:
    line = subprocess.Popen(
        command("run", "--source", "demo", "--size", "160x90", "--require", "oven-gate", "--no-records", "--bind",
                free_endpoint()), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert line.stderr is not None
    said = ""
    while "oven-gate" not in said:
        said = line.stderr.readline()
        assert said, "the line ended and said nothing of its controller"
    assert "suspended" in said
    line.terminate()
    line.communicate(timeout=30)
