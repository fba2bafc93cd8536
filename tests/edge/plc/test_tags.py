"""edge-plc as a client of a PLC: servers of S7 and EtherNet/IP, and the function blocks of docs/plc on their memory."""

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.line import free_endpoint, ran
from support.plc import EdgePlc, plc_at, running_plc, until
from support.scripted_station import Peer, peer
from support.tag_plc import ACKNOWLEDGE, Kind, ModelPlc, TagBlock
from support.tag_servers import LogixServer, S7Server

from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.plc.registers import Status

PARTS = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def settings(folder: Path, endpoint: str, table: str, port: int) -> Path:
    """A file with one station, and a PLC at this port."""
    file = folder / "line.toml"
    file.write_text(
        f'[plc]\ninsecure = true\nhold_ms = 60000\nlog = "plc.jsonl"\n[[plc.stations]]\nstation = "line1"\n'
        f'connect = "{endpoint}"\n{table}address = "127.0.0.1:{port}"\ntimeout_ms = 250\nperiod_ms = 40\n'
    )
    return file


@contextmanager
def site(folder: Path, table: str, port: int) -> Iterator[tuple[Peer, EdgePlc]]:
    """A station of the tests' own, and edge-plc."""
    endpoint = free_endpoint()
    with (
        peer(endpoint, neighbour_endpoint(endpoint, CONTROL)) as station,
        running_plc(folder, "--config", settings(folder, endpoint, table, port)) as bridge,
    ):
        yield station, bridge


def says(seq: int) -> str:
    return "reject" if seq % 5 == 0 else "good"


def entries(folder: Path, event: str) -> list[Any]:
    rows = [json.loads(row) for row in (folder / "plc.jsonl").read_text().splitlines()]
    return [row["number"] for row in rows if row["event"] == event]


@pytest.mark.parametrize("kind", ["s7", "logix"])
def test_every_part_comes_once_and_every_pass_is_proven_also_if_the_plc_is_away_in_between(
    tmp_path: Path, kind: Kind
) -> None:
    server = S7Server(free_port()) if kind == "s7" else LogixServer(free_port())
    plc = ModelPlc(kind, server)
    with ExitStack() as at_end:
        station, bridge = at_end.enter_context(site(tmp_path, server.table, server.port))
        at_end.callback(server.stop)
        server.start()
        plc.start()
        at_end.callback(plc.close)
        until(lambda: plc.is_living)
        for seq in range(1, PARTS + 1):
            station.good(says=says(seq))
            if seq == PARTS // 2:  # the next parts are judged while the PLC is away
                until(lambda: len(plc.taken) >= PARTS // 2 - 2)
                server.stop()
                until(lambda: not plc.is_living)
            if seq == PARTS // 2 + 3:
                server.start()
            until(lambda seq=seq: seq - len(set(plc.taken)) <= 6)  # eight results are kept
        until(lambda: len(entries(tmp_path, "acknowledged")) == PARTS)
        bridge.process.terminate()
        assert bridge.ended() == 0
        assert not any(server.words()), "zeros are left behind"
    numbers = list(range(1, PARTS + 1))
    goods = [seq for seq in numbers if says(seq) == "good"]
    assert [number for number, _ in itertools.groupby(plc.taken)] == numbers
    assert entries(tmp_path, "acknowledged") == numbers
    assert entries(tmp_path, "pass") == goods
    assert plc.opened == goods
    lines = [line for line in bridge.said.read_text().splitlines() if f"127.0.0.1:{server.port}" in line]
    assert sum("connected" in line for line in lines) >= 2, lines
    assert any("it is tried again" in line for line in lines)


def test_the_pass_bit_that_a_killed_edge_plc_leaves_in_the_plc_opens_no_gate(tmp_path: Path) -> None:
    server, block = S7Server(free_port()), TagBlock("s7")
    server.start()
    with site(tmp_path, server.table, server.port) as (station, bridge):
        until(lambda: server.words()[0] & Status.READY)
        station.good()
        until(lambda: server.words()[0] & Status.PASS)
        bridge.process.kill()
        bridge.ended()
    server.stop()
    assert server.words()[:4] == [Status.VALID | Status.PASS | Status.READY, 0, 0, 1]
    for _ in range(1_000):
        said = block.cycle(server.words(), AtGate=True, GateNumber=1)
        assert (said[ACKNOWLEDGE], block["GateOpen"]) == ([0, 0], False)


def test_a_plc_that_does_not_answer_delays_no_result_over_modbus(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with site(tmp_path, S7Server.table, silent.getsockname()[1]) as (station, bridge), plc_at(bridge.port) as plc:
            silent.accept()  # and nothing more is said
            until(lambda: Status.READY in plc.cycle())
            for seq in range(1, PARTS + 1):
                station.good(says=says(seq))
                until(lambda seq=seq: plc.cycle() is not None and len(plc.decided) == seq)
        assert [number for _, number in plc.decided] == list(range(1, PARTS + 1))
        assert [number for (_, number), passed in plc.decided.items() if passed] == [
            seq for seq in range(1, PARTS + 1) if says(seq) == "good"
        ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[plc.s7]\ndb = 1\naddress = "192.0.2.1"', "authenticates nobody; keep that network to the PLC"),
        ('[plc.logix]\naddress = "192.0.2.1"', "say insecure = true"),
        ('[plc.s7]\ndb = 1\naddress = "x:y"', "address = 'x:y' is none; one looks like 192.168.10.3"),
        ('[plc.s7]\naddress = "127.0.0.1"', "s7.db is missing"),
        ('[plc.logix]\naddress = "127.0.0.1"\ntag = "1 2"', "logix.tag"),
        ('[plc.logix]\naddress = "127.0.0.1"\ntimeout_ms = 900', "logix.timeout_ms"),
        ('[plc.s7]\ndb = 1\naddress = "127.0.0.1"\n[plc.logix]\naddress = "127.0.0.1"', "give one"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "line.toml").write_text(f"[plc]\ninsecure = true\n{lines}\n")
    done = ran("plc", "--config", tmp_path / "line.toml", "--modbus", 0)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
