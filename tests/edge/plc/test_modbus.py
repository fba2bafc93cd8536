"""edge-plc on Modbus TCP: real processes, a real station, and two clients that are not ours."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.line import DEMO_BUNDLE, Line, free_endpoint, ran, running_line
from support.plc import ACKNOWLEDGE_AT, plc_at, running_plc, until
from support.scripted_station import Peer, peer
from support.simulated_station import ModelledStation

from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.cli.plc_bridge import open_bridge
from edge.errors import ChannelError
from edge.plc.codes import Code, Error
from edge.plc.modbus_server import ModbusServer
from edge.plc.mqtt import MqttPublisher
from edge.plc.registers import STATION, WRITTEN_AT, Control, Status, base
from edge.plc.settings import settings_of
from edge.verdict import Outcome, Reason

TRIAL = ("--insecure", "--allow-simulated")
PRODUCT_AT = next(register.offset for register in STATION if register.name == "product_with")


# ------------------------------------------------------------------------------------------------------ a station


def verdicts_of(line: Line) -> dict[int, Outcome]:
    return {verdict.seq: verdict.verdict for verdict in line.verdicts}


def test_a_running_line_is_read_through_the_handshake(tmp_path: Path) -> None:
    log = tmp_path / "plc.jsonl"
    with running_line(
        "--source", "demo", "--size", "320x180", "--limit", 40, "--rate", "20/s", "--wait-subscribers", 2
    ) as line:
        with running_plc(tmp_path, "--connect", line.endpoint, "--hold-ms", 20_000, "--log", log, *TRIAL) as bridge:
            with plc_at(bridge.port) as plc:
                until(lambda: plc.cycle() and len(plc.decided) == 40)
            line.to_the_end()
        outcomes = verdicts_of(line)
        assert [number for _, number in plc.decided] == list(range(1, 41))
        assert not plc.twice
        passed = [number for (_, number), passes in plc.decided.items() if passes]
        assert set(passed) <= {seq for seq, outcome in outcomes.items() if outcome is Outcome.GOOD}
        assert passed
        lines = [json.loads(row) for row in log.read_text().splitlines()]
        assert {row["number"] for row in lines if row["event"] == "pass"} >= set(passed)


def test_the_plc_triggers_parts_with_its_own_numbers(tmp_path: Path) -> None:
    numbers = [4_000_000_000, 7, 8]
    serials = {4_000_000_000: [0x534E, 0x3437], 7: [0, 0], 8: [0x4142] * 16}
    with running_line(
        "--source", "demo", "--size", "320x180", "--trigger", "external", "--limit", 3, "--wait-subscribers", 2
    ) as line:
        options = ("--connect", line.endpoint, "--numbers", "plc", "--hold-ms", 20_000, *TRIAL)
        with running_plc(tmp_path, *options) as bridge, plc_at(bridge.port) as plc:
            for number in numbers:
                until(lambda: Status.TRIGGER_READY in plc.cycle())
                plc.write(WRITTEN_AT + 5, *serials[number])
                plc.trigger(number)
                until(lambda: Status.TRIGGER_ACKNOWLEDGED in plc.cycle())
                assert plc.words[14:16] == [number >> 16, number & 0xFFFF]
                plc.write(WRITTEN_AT, 0)
                until(lambda: Status.EXPOSED in plc.cycle())
                assert plc.words[38:40] == [number >> 16, number & 0xFFFF]
                until(lambda number=number: plc.cycle() is not None and number in {n for _, n in plc.decided})
        line.to_the_end()
        assert [verdict.part for verdict in line.verdicts] == [str(number) for number in numbers]
        assert [verdict.fields for verdict in line.verdicts] == [{"serial": "SN47"}, None, {"serial": "AB" * 16}]
        assert [number for _, number in plc.decided] == numbers


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_edge_plc_ends_when_its_modbus_server_does() -> None:
    said = {"insecure": True, "modbus": {"bind": "0"}, "stations": [{"station": "line1", "connect": free_endpoint()}]}
    with contextlib.ExitStack() as until_then:
        bridge = open_bridge(settings_of(said, "a test"), lambda station, entry: None, lambda where: None, until_then)
        bridge.turn()
        (server,) = bridge._needed
        assert isinstance(server, ModbusServer)
        server._loop.call_soon_threadsafe(server._loop.stop)
        server.join(60)
        with pytest.raises(ChannelError, match="edge-plc-modbus has ended by an error"):
            bridge.turn()


def test_the_plc_changes_the_product_and_a_part_of_another_one_fails(tmp_path: Path) -> None:
    products = [f"{name}={DEMO_BUNDLE},number={number}" for name, number in (("left", 1), ("right", 7))]
    given = [word for product in products for word in ("--products", product)]
    with running_line(
        "--source", "demo", "--size", "320x180", "--trigger", "external", "--wait-subscribers", 2, *given
    ) as line:
        options = ("--connect", line.endpoint, "--numbers", "plc", "--hold-ms", 20_000, *TRIAL)
        with running_plc(tmp_path, *options) as bridge, plc_at(bridge.port) as plc:
            until(lambda: Status.TRIGGER_READY in plc.cycle() and plc.words[19] == 1)

            def select(number: int) -> Status:
                plc.write(PRODUCT_AT, number)
                plc.write(WRITTEN_AT, int(Control.SELECT))
                until(lambda: plc.cycle() & (Status.SELECTED | Status.NOT_SELECTED))
                answer = Status(plc.words[0])
                plc.write(WRITTEN_AT, 0)
                until(lambda: not plc.cycle() & (Status.SELECTED | Status.NOT_SELECTED))
                return answer

            def judge(number: int) -> None:
                plc.trigger(number)
                until(lambda: Status.TRIGGER_ACKNOWLEDGED in plc.cycle())
                plc.write(WRITTEN_AT, 0)
                until(lambda: plc.cycle() is not None and number in {n for _, n in plc.decided})

            assert Status.SELECTED in select(7)
            assert plc.words[19] == 7
            judge(1)
            assert Status.NOT_SELECTED in select(8)
            assert (plc.words[12], plc.words[19]) == (Error.PRODUCT_REFUSED, 7)
            plc.write(PRODUCT_AT, 1)
            judge(2)
            plc.write(PRODUCT_AT, 7)
            judge(3)
            line.until(3)
    first, second, third = line.verdicts
    assert [verdict.product for verdict in line.verdicts] == ["right"] * 3
    assert second.reason is Reason.PRODUCT
    assert "number 1, current is right" in str(second.detail)
    assert {first.reason, third.reason} <= {Reason.CLEAR, Reason.DEFECT}


def test_a_trigger_that_the_station_refuses_is_an_error(tmp_path: Path) -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "5/s", "--wait-subscribers", 2) as line:
        options = ("--connect", line.endpoint, "--numbers", "plc", *TRIAL)
        with running_plc(tmp_path, *options) as bridge, plc_at(bridge.port) as plc:
            until(lambda: Status.TRIGGER_READY in plc.cycle())
            plc.trigger(5)
            until(lambda: Status.MISSED_TRIGGER in plc.cycle())
            assert plc.words[12] == Error.REFUSED


class Rig:
    """A station of the tests' own, edge-plc, and a PLC."""

    def __init__(self, folder: Path, *options: object, station: ModelledStation | None = None) -> None:
        self._until = contextlib.ExitStack()
        self._endpoint = free_endpoint()
        self.station = self._station(station)
        options = ("--connect", self._endpoint, "--insecure", *options)
        self.bridge = self._until.enter_context(running_plc(folder, *options))
        self.plc = self._until.enter_context(plc_at(self.bridge.port))

    def _station(self, station: ModelledStation | None) -> Peer:
        return self._until.enter_context(peer(self._endpoint, neighbour_endpoint(self._endpoint, CONTROL), station))

    def status(self) -> Status:
        return Status(self.plc.read()[0])

    def passes_a_good(self) -> None:
        until(lambda: Status.READY in self.status())
        self.station.good()
        until(lambda: Status.PASS in self.status())

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self._until.close()


LONG = ("--hold-ms", 60_000)
"""The pass bit stays: no test depends on the speed of the machine."""


def test_a_station_that_dies_takes_the_pass_bit_and_ready(tmp_path: Path) -> None:
    with Rig(tmp_path, *LONG) as rig:
        rig.passes_a_good()
        rig.station.is_held = True
        until(lambda: Status.PASS not in rig.status())
        until(lambda: Status.READY not in rig.status())
        words = rig.plc.read()
        assert Status.FAIL in Status(words[0])
        assert Status.PASS not in Status(words[0])
        assert words[6] == Code.HEARTBEAT_LOST
        time.sleep(0.3)
        assert rig.plc.read()[1] == words[1], "alive stands still"


def test_an_edge_plc_that_is_killed_answers_nothing(tmp_path: Path) -> None:
    with Rig(tmp_path, *LONG) as rig:
        rig.passes_a_good()
        rig.bridge.process.kill()
        rig.bridge.process.wait()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", rig.bridge.port), timeout=60).close()


def test_an_edge_plc_that_was_started_again_shows_nothing_of_before(tmp_path: Path) -> None:
    station = ModelledStation(seq=100)
    with Rig(tmp_path, *LONG, station=station) as rig:
        until(lambda: Status.READY in rig.status())
        assert Status.VALID not in rig.status(), "what came before is history"
        rig.passes_a_good()
        assert rig.plc.read()[2:4] == [0, 101]


def test_an_edge_plc_that_was_frozen_shows_no_pass_bit_when_it_goes_on(tmp_path: Path) -> None:
    with Rig(tmp_path, *LONG) as rig:
        rig.passes_a_good()
        os.kill(rig.bridge.process.pid, signal.SIGSTOP)
        time.sleep(1.0)  # longer than any lease
        os.kill(rig.bridge.process.pid, signal.SIGCONT)
        assert Status.PASS not in rig.status(), "not even in the first answer"
        until(lambda: rig.plc.read()[6] == Code.HEARTBEAT_LOST)


def test_a_port_on_loopback_is_not_called_open_to_the_network(tmp_path: Path) -> None:
    for bind, is_open in (("0", False), ("0.0.0.0:0", True)):
        with running_plc(tmp_path, "--insecure", "--insecure-modbus", "--modbus", bind) as bridge:
            until(lambda bridge=bridge: "no keys: any process" in bridge.said.read_text())
            assert ("keep this network to the PLC" in bridge.said.read_text()) is is_open


def test_at_its_end_edge_plc_closes_its_port_before_it_waits_for_a_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def close(publisher: MqttPublisher) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(endpoints[0].rpartition(":")[2])), timeout=60)
        seen.append("the publisher after the server")
        close_it(publisher)

    close_it = MqttPublisher.close
    monkeypatch.setattr(MqttPublisher, "close", close)
    endpoints: list[str] = []
    said = {"insecure": True, "modbus": {"bind": "0"}, "mqtt": {"broker": "127.0.0.1:1"}, "stations": [
        {"station": "line1", "connect": free_endpoint()}]}  # fmt: skip
    with contextlib.ExitStack() as until_then:
        open_bridge(settings_of(said, "a test"), lambda station, entry: None, endpoints.append, until_then)
    assert seen


def test_a_plc_that_is_silent_gets_its_results_later_as_rejects(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        plc = rig.plc
        until(lambda: Status.READY in rig.status())
        for _ in range(12):
            rig.station.good()
        until(lambda: plc.read()[17] == 4)
        until(lambda: plc.read()[6] == Code.EXPIRED)
        until(lambda: plc.cycle() is not None and len(plc.decided) == 8)
        assert not any(plc.decided.values())
        until(lambda: len(rig.station.acks()) == 12)
        assert set(rig.station.acks().values()) == {"rejected", "late_reject"}


def test_keys_are_asked_for_as_from_a_gate(tmp_path: Path) -> None:
    def refused(*options: object) -> str:
        done = ran("plc", "--modbus", 0, *options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        return done.stderr

    assert "without keys any process that reaches it can speak as the station" in refused()
    assert "or --insecure if that is meant" in refused("--connect", "tcp://192.0.2.1:5570")
    assert "say --insecure-modbus if that is meant" in refused("--insecure", "--modbus", "0.0.0.0:0")
    assert "is no place for Modbus; one looks like 127.0.0.1:5020" in refused("--insecure", "--modbus", "x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "choose another port" in refused("--insecure", "--modbus", port)


def test_the_table_of_the_configuration_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"

    def said(text: str, *options: object) -> "subprocess.CompletedProcess[str]":
        file.write_text(text)
        return ran("plc", "--config", file, "--print-map", "csv", *options)

    two = '[[stations]]\nstation = "top"\n[[stations]]\nstation = "side"\n[plc]\nnumbers = "order"\n'
    assert re.findall(r"^(\d+),1,(\w+),status,", said(two).stdout, re.M) == [("100", "top"), ("200", "side")]
    assert "300,1" not in said(two).stdout
    one = '[plc]\n[[plc.stations]]\nstation = "a"\nconnect = "tcp://127.0.0.1:6000"\n'
    assert "100,1,a,status," in said(one).stdout
    for text, line in (
        ("[plc]\nnumber = 'plc'\n", "did you mean 'numbers'?"),
        ("[plc]\nhold_ms = -1\n", "hold_ms = -1: must be at least 0"),
        ("plc = 3\n", "write [plc] above its keys"),
    ):
        done = said(text)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert line in done.stderr
    file.write_text('source = "demo"\n[plc]\nname = "press4"\n')
    assert ran("run", "--config", file, "--print-config").returncode == 0


# ------------------------------------------------------------------------------------------------------ mbpoll


def mbpoll(port: int, *arguments: object) -> list[int]:
    """Registers that mbpoll reads, or writes with values among the arguments."""
    done = subprocess.run(
        ["mbpoll", "-m", "tcp", "-p", str(port), "-0", "-1", "-q", *map(str, arguments)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(value) for value in re.findall(r"^\[\d+\]:\s+(\d+)", done.stdout, re.M)]


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed (Debian: apt-get install mbpoll)")
def test_mbpoll_reads_a_running_line_through_the_handshake(tmp_path: Path) -> None:
    with running_line(
        "--source", "demo", "--size", "320x180", "--limit", 6, "--rate", "20/s", "--wait-subscribers", 2
    ) as line:
        options = ("--connect", line.endpoint, "--hold-ms", 60_000, *TRIAL)
        with running_plc(tmp_path, *options) as bridge:
            passed, failed = [], []
            for number in range(1, 6):
                until(lambda: mbpoll(bridge.port, "-r", base(0), "-c", 10, "127.0.0.1")[0] & Status.VALID)
                words = mbpoll(bridge.port, "-t", 3, "-r", base(0), "-c", 10, "127.0.0.1")
                assert words[2:4] == [0, number]
                (passed if words[0] & Status.PASS else failed).append(number)
                mbpoll(bridge.port, "-r", base(0) + ACKNOWLEDGE_AT, "127.0.0.1", 0, number)
        line.to_the_end()
        outcomes = verdicts_of(line)
    assert set(passed) <= {seq for seq, outcome in outcomes.items() if outcome is Outcome.GOOD}
    assert len(passed) + len(failed) == 5
