"""edge-plc on Modbus TCP: real processes, a real station, and two clients that are not ours."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.line import Line, free_endpoint, ran, running_line
from support.plc import ACKNOWLEDGE_AT, TRIGGER_AT, Plc, plc_at, running_plc, until
from support.scripted_station import Peer, peer
from support.simulated_station import ModelledStation

from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.plc.board import Board
from edge.plc.codes import Code, Error
from edge.plc.modbus_server import MOST_CONNECTIONS, ModbusServer
from edge.plc.process_image import Readable
from edge.plc.registers import MAP_VERSION, WRITTEN_AT, Status, base
from edge.verdict import Outcome

TRIAL = ("--insecure", "--allow-simulated")


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(2)
    yield board
    board.close()


@pytest.fixture
def server(board: Board) -> Iterator[ModbusServer]:
    server = ModbusServer(board, "0")
    server.start()
    yield server
    server.close()


def port_of(server: ModbusServer) -> int:
    return int(server.endpoint.rpartition(":")[2])


# ------------------------------------------------------------------------------------------------------ the server


def test_a_read_in_one_request_is_of_one_moment(board: Board, server: ModbusServer) -> None:
    images = [Readable(valid=True, code=Code.DEFECT, number=n, seq=n, part=str(n)) for n in (0x1111_2222, 0x3333_4444)]
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            for image in images:
                board.show(0, image)

    thread = threading.Thread(target=change)
    board.show(0, images[0])
    thread.start()
    try:
        with plc_at(port_of(server)) as plc:
            for _ in range(300):
                words = plc.read()
                assert words[2:4] == words[8:10]
                assert words[2:4] in ([0x1111, 0x2222], [0x3333, 0x4444])
    finally:
        is_over.set()
        thread.join()


def test_both_kinds_of_registers_have_the_same_content_for_each_station(board: Board, server: ModbusServer) -> None:
    board.show(1, Readable(valid=True, code=Code.DEFECT, number=7))
    with plc_at(port_of(server)) as plc:
        for read in (plc.client.read_holding_registers, plc.client.read_input_registers):
            assert read(0, count=3).registers == [MAP_VERSION, 2, 100]
            assert read(base(0), count=60).registers == [0] * 60
            assert read(base(1), count=4).registers == [Status.VALID | Status.FAIL, 0, 0, 7]


def test_what_the_plc_writes_comes_whole_and_only_into_its_own_registers(board: Board, server: ModbusServer) -> None:
    with plc_at(port_of(server), station=1) as plc:
        plc.write(TRIGGER_AT, 1, 2, 3, 4)
        plc.write(WRITTEN_AT, 1)
        until(lambda: len(board._writes) == 2)
        (_, first), (station, second) = board.writes()
        assert (station, first.trigger, second.trigger) == (1, False, True)
        assert (second.trigger_number, second.acknowledged) == (0x10002, 0x30004)
        assert plc.read(WRITTEN_AT, 5) == [1, 1, 2, 3, 4]
        for address, words in ((0, [1]), (WRITTEN_AT - 1, [0, 0]), (WRITTEN_AT + 4, [0, 0]), (99, [0])):
            assert plc.client.write_registers(base(1) + address, words).isError()
        assert plc.client.write_registers(0, [1]).isError()
        assert plc.client.write_coil(base(1) + WRITTEN_AT, True).isError()
        assert plc.client.read_holding_registers(base(2), count=1).isError()
        assert not list(board.writes())


def test_more_connections_than_allowed_close_the_oldest(server: ModbusServer) -> None:
    host, _, port = server.endpoint.rpartition(":")
    sockets = [socket.create_connection((host, int(port)), timeout=60) for _ in range(MOST_CONNECTIONS)]
    with plc_at(port_of(server)) as plc:
        assert plc.read(0, 1) == [0]
        assert sockets[0].recv(1) == b"", "the oldest was closed"
    for one in sockets:
        one.close()


# ------------------------------------------------------------------------------------------------------ a station


def verdicts_of(line: Line) -> dict[int, Outcome]:
    return {verdict.seq: verdict.verdict for verdict in line.verdicts}


def test_a_running_line_is_read_through_the_handshake(tmp_path: Path) -> None:
    log = tmp_path / "plc.jsonl"
    with running_line("--source", "demo", "--limit", 40, "--rate", "20/s", "--wait-subscribers", 2) as line:
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
    with running_line("--source", "demo", "--trigger", "external", "--limit", 3, "--wait-subscribers", 2) as line:
        options = ("--connect", line.endpoint, "--numbers", "plc", "--hold-ms", 20_000, *TRIAL)
        with running_plc(tmp_path, *options) as bridge, plc_at(bridge.port) as plc:
            for number in numbers:
                until(lambda: Status.TRIGGER_READY in plc.cycle())
                plc.trigger(number)
                until(lambda: Status.TRIGGER_ACKNOWLEDGED in plc.cycle())
                assert plc.words[14:16] == [number >> 16, number & 0xFFFF]
                plc.write(WRITTEN_AT, 0)
                until(lambda: Status.EXPOSED in plc.cycle())
                assert plc.words[38:40] == [number >> 16, number & 0xFFFF]
                until(lambda number=number: plc.cycle() is not None and number in {n for _, n in plc.decided})
        line.to_the_end()
        assert [verdict.part for verdict in line.verdicts] == [str(number) for number in numbers]
        assert [number for _, number in plc.decided] == numbers


def test_a_trigger_that_the_station_refuses_is_an_error(tmp_path: Path) -> None:
    with running_line("--source", "demo", "--rate", "5/s", "--wait-subscribers", 2) as line:
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
    with running_line("--source", "demo", "--limit", 6, "--rate", "20/s", "--wait-subscribers", 2) as line:
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


def test_a_plc_reads_what_another_one_writes(board: Board, server: ModbusServer) -> None:
    with plc_at(port_of(server)) as one, plc_at(port_of(server)) as two:
        one.write(ACKNOWLEDGE_AT, 5, 6)
        assert two.read(ACKNOWLEDGE_AT, 2) == [5, 6]
        assert isinstance(two, Plc)
