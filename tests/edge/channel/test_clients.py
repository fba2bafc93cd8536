"""The minimal clients of docs/clients, in three languages, against a scripted station and a live one."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.line import DEMO_BUNDLE, ROOT, command, free_endpoint

from edge.channel.client_security import read_client_keys
from edge.channel.subscriber import Subscriber
from edge.drill.proxy import Proxy
from edge.security.certificate import to_z85
from edge.security.keystore import KeyStore
from edge.verdict import Outcome, State, Verdict

CLIENTS = ROOT / "docs" / "clients"
DECIDE_MS = 2000
PATIENCE_S = 20


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[str]]:
    """Function that returns the command line of gate.c, compiled on first use, strictly and with the sanitizers."""
    binary = tmp_path_factory.mktemp("gate") / "gate"

    def build() -> list[str]:
        if shutil.which("gcc") is None:
            pytest.skip("no gcc here")
        if not binary.exists():
            strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-fsanitize=address,undefined"]
            source = [*strict, "-fno-sanitize-recover", "-o", str(binary), str(CLIENTS / "gate.c"), "-lzmq"]
            done = subprocess.run(["gcc", *source], capture_output=True, text=True)
            if "zmq.h" in done.stderr or "cannot find -lzmq" in done.stderr:
                pytest.skip("no libzmq to compile with here (Debian: libzmq3-dev)")
            assert done.returncode == 0, done.stderr
        return [str(binary)]

    return build


@pytest.fixture(params=["gate.py", "gate.c", "gate.mjs"])
def client(request: pytest.FixtureRequest, compiled: Callable[[], list[str]]) -> list[str]:
    """The command line of one of the clients."""
    if request.param == "gate.c":
        return compiled()
    if request.param == "gate.py":
        return [sys.executable, str(CLIENTS / "gate.py")]
    if shutil.which("node") is None:
        pytest.skip("no node here")
    if not (CLIENTS / "node_modules" / "zeromq").is_dir():
        pytest.skip("no zeromq for node: npm install --ignore-scripts in docs/clients")
    return ["node", str(CLIENTS / "gate.mjs")]


class Gate:
    """A running client, and its output line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """Wait for the next line of output."""
        return self._lines.get(timeout=PATIENCE_S)

    def said(self) -> list[str]:
        """The lines that have arrived and were not returned yet."""
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return lines


@contextmanager
def running(client: list[str], *arguments: object, **environ: str) -> Iterator[Gate]:
    """A running client, killed at the end of the context."""
    process = subprocess.Popen(
        [*client, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environ,
    )  # fmt: skip
    try:
        yield Gate(process)
    finally:
        process.kill()
        _, complaint = process.communicate()
        assert "Sanitizer" not in complaint
        assert "runtime error" not in complaint


class Station:
    """A station that publishes the messages of a test. Its clock is `ahead_ns` ahead of this machine's clock."""

    def __init__(self, encrypted: bool = True, ahead_ns: int = 0) -> None:
        self.ahead_ns = ahead_ns
        self.epoch, self.environ = "aa", {}
        self._context = zmq.Context()
        self._publisher, self._control = self._context.socket(zmq.XPUB), self._context.socket(zmq.ROUTER)
        if encrypted:
            (public, secret), (client_public, client_secret) = zmq.curve_keypair(), zmq.curve_keypair()
            for socket in (self._publisher, self._control):
                socket.curve_server, socket.curve_secretkey = True, secret
            keys = {"SERVER": public, "PUBLIC": client_public, "SECRET": client_secret}
            self.environ = {f"EDGE_{whose}_KEY": key.decode() for whose, key in keys.items()}
        self.endpoints = []
        for socket in (self._publisher, self._control):
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            self.endpoints.append(f"tcp://127.0.0.1:{port}")
        self._control.set(zmq.RCVTIMEO, PATIENCE_S * 1000)
        self._publisher.set(zmq.RCVTIMEO, PATIENCE_S * 1000)

    def now(self) -> int:
        return time.monotonic_ns() + self.ahead_ns

    def wait_for_subscriber(self) -> None:
        assert self._publisher.recv() == b"\1evp1/line1/"

    def raw(self, kind: str, payload: bytes) -> None:
        self._publisher.send_multipart([f"evp1/line1/{kind}/".encode(), payload])

    def say(self, kind: str, replace: tuple[bytes, bytes] = (b"", b""), **what: Any) -> None:
        """Publish a message in which the first text of `replace` is replaced by the second."""
        about = {"protocol": "evp1", "station": "line1", "epoch": self.epoch, "boot": 1, "simulated": False}
        self.raw(kind, json.dumps(about | what).encode().replace(*replace))

    def beat(self, last_seq: int, ready: bool = True, age_ms: float = 0, lease_ms: float = 60_000, **more: Any) -> None:
        """Publish a heartbeat. Its lease is long, except in tests of silence."""
        sent = self.now() - int(age_ms * 1e6)
        until = sent + int(lease_ms * 1e6)
        self.say("heartbeat", sent=sent, valid_until=until, ready=ready, last_seq=last_seq, ledger={"a": [1]}, **more)

    def verdict(self, seq: Any, verdict: str = "good", reason: str = "clear", age_ms: float = 5, **more: Any) -> None:
        timing = {"captured": self.now() - int(age_ms * 1e6), "in_ring": None, "published": self.now()}
        rest = {"score": 1e-3, "defects": [{"box": {"x": 1}, "peak": -2.5}], "detail": 'a "quoted\\ }'}
        what = {"seq": seq, "part": f"p{seq}", "verdict": verdict, "reason": reason, "timing": timing}
        self.say("verdict", **what | rest | more)

    def answer_ping(self) -> None:
        """Answer one ping."""
        sender, request = self._control.recv_multipart()
        ping = json.loads(request)
        assert ping["type"] == "ping"
        pong = {"type": "pong", "nonce": ping["nonce"], "epoch": self.epoch, "now": self.now()}
        self._control.send_multipart([sender, json.dumps(pong).encode()])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def station() -> Iterator[Station]:
    scripted = Station()
    yield scripted
    scripted.close()


@contextmanager
def at_gate(client: list[str], station: Station, **environ: str) -> Iterator[Gate]:
    """A client that has subscribed to the scripted station."""
    with running(client, station.endpoints[0], "line1", DECIDE_MS, **station.environ, **environ) as gate:
        station.wait_for_subscriber()
        yield gate


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        *(
            (["tcp://127.0.0.1:1", "line1", decide_ms], "DECIDE_MS is a whole number, 1 to 60000")
            for decide_ms in ("abc", "nan", "-5", "1e9", "0", "60001", "", "1 ", "+1")
        ),
        ([], "usage:"),
        (["tcp://127.0.0.1:1", "line1"], "usage:"),
        (["tcp://127.0.0.1:1", "line1", "500", "tcp://127.0.0.1:2", "more"], "usage:"),
        (["nowhere", "line1", "500"], "nowhere"),
        (["tcp://127.0.0.1:1", "line1", "500", "nowhere"], "nowhere"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line_and_exit_code_2(
    client: list[str], arguments: list[str], complaint: str
) -> None:
    done = subprocess.run([*client, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_only_an_in_time_good_is_passed(client: list[str], station: Station) -> None:
    with at_gate(client, station) as gate:
        station.verdict(4)
        station.beat(4)
        station.verdict(5, part='ü "5"')
        station.verdict(6, "reject", "defect")
        station.verdict(7, "unknown", "late")
        station.verdict(8, "good", "defect")
        station.verdict(9, age_ms=DECIDE_MS + 500)
        station.verdict(10, age_ms=-500)
        station.verdict(11, simulated=True)
        station.verdict(12)
        lines = [gate.line() for _ in range(9)]
    verb, seq, part = lines[1].split(" ", 2)
    assert (verb, seq, json.loads(part)) == ("pass", "5", 'ü "5"')
    del lines[1]
    assert lines == [
        'reject 4 "p4" no heartbeat', 'reject 6 "p6" "defect"', 'reject 7 "p7" "late"', 'reject 8 "p8" "defect"',
        'reject 9 "p9" late', 'reject 10 "p10" late', 'reject 11 "p11" simulated', 'pass 12 "p12"',
    ]  # fmt: skip


def test_simulated_passes_where_that_is_meant(client: list[str], station: Station) -> None:
    with at_gate(client, station, EDGE_SIMULATED="1") as gate:
        station.beat(0)
        station.verdict(1, simulated=True)
        assert gate.line() == 'pass 1 "p1"'


def test_a_gap_is_rejected_and_what_fills_it_later_is_ignored(client: list[str], station: Station) -> None:
    with at_gate(client, station) as gate:
        station.beat(0)
        station.verdict(1)
        station.verdict(1)
        station.verdict(4)
        station.verdict(3)
        station.verdict(2)
        station.beat(6)
        station.verdict(6)
        station.verdict(7)
        lines = [gate.line() for _ in range(5)]
        assert lines == ['pass 1 "p1"', "reject 2..3 - gap", 'pass 4 "p4"', "reject 5..6 - gap", 'pass 7 "p7"']
        assert gate.said() == []


def test_a_new_epoch_rejects_what_is_on_the_belt_and_the_old_one_never_comes_back(
    client: list[str], station: Station
) -> None:
    with at_gate(client, station) as gate:
        station.beat(7)
        station.epoch = "bb"
        station.verdict(2)
        assert [gate.line() for _ in range(3)] == [
            "reject all new epoch", "reject 1..1 - gap", 'reject 2 "p2" no heartbeat',
        ]  # fmt: skip
        station.beat(2)
        station.epoch = "aa"
        station.verdict(8)
        station.beat(8, age_ms=1000, lease_ms=300)
        station.epoch = "bb"
        station.verdict(3)
        assert gate.line() == 'pass 3 "p3"'


def test_two_stations_of_one_name_are_a_fault(client: list[str], station: Station) -> None:
    with at_gate(client, station) as gate:
        station.beat(0)
        station.epoch = "bb"
        station.beat(0)
        station.epoch = "aa"
        station.beat(0)
        assert [gate.line() for _ in range(2)] == ["reject all new epoch", "reject all two stations of one name"]
        assert gate.process.wait(PATIENCE_S) == 1


def test_silence_rejects_all_until_a_heartbeat_comes(client: list[str], station: Station) -> None:
    with at_gate(client, station) as gate:
        station.beat(0, lease_ms=300)
        assert gate.line() == "reject all heartbeat lost"
        station.verdict(1)
        station.beat(1, age_ms=5000, lease_ms=300)  # from before the silence
        station.verdict(2)
        station.beat(2)
        station.verdict(3)
        station.beat(3, ready=False)
        station.beat(3, age_ms=100)  # older than the previous heartbeat, which contradicts it
        station.verdict(4)
        assert [gate.line() for _ in range(4)] == [
            'reject 1 "p1" no heartbeat', 'reject 2 "p2" no heartbeat', 'pass 3 "p3"', 'reject 4 "p4" not ready',
        ]  # fmt: skip


def test_goods_that_a_partition_held_up_are_late(client: list[str], station: Station) -> None:
    with Proxy(station.endpoints[0]) as proxy, running(client, proxy.endpoint, "line1", 400, **station.environ) as gate:
        station.wait_for_subscriber()
        station.beat(0)
        station.verdict(1)
        assert gate.line() == 'pass 1 "p1"'
        proxy.partition()
        for seq in (2, 3, 4):
            station.verdict(seq)
        time.sleep(0.5)
        proxy.flush()
        assert [gate.line() for _ in range(3)] == [f'reject {seq} "p{seq}" late' for seq in (2, 3, 4)]
        station.verdict(5)
        assert gate.line() == 'pass 5 "p5"'


GARBAGE = [
    b"", b"{", b"{}", b"[]", b"null", b'"good"', b"\0\xff" * 50, b"{" * 5000, b"[" * 5000, b'{"seq":' * 5000,
    b'{"protocol":"evp1","station":"line1","epoch":"aa","seq":2}', b'{"a":"\\', b'{"a":"', b'{"a":1', b'{"a":1,',
    b'{"protocol":"evp1","station":"line1","epoch":"aa","last_seq":' + b"9" * 400 + b"}",
]  # fmt: skip
WRONG: list[dict[str, Any]] = [
    {"seq": 0}, {"seq": -1}, {"seq": 1.5}, {"seq": "2"}, {"seq": None}, {"seq": True}, {"seq": [2]},
    {"protocol": "evp2"}, {"station": "line2"}, {"part": None}, {"part": 7}, {"epoch": None},
    {"timing": None}, {"timing": {}}, {"timing": {"captured": None}}, {"timing": [1]}, {"timing": {"captured": 1.5}},
]  # fmt: skip


def test_garbage_passes_nothing_and_stops_nothing(client: list[str], station: Station) -> None:
    with at_gate(client, station) as gate:
        station.beat(1)
        for kind in ("verdict", "heartbeat", "welcome"):
            for payload in GARBAGE:
                station.raw(kind, payload)
        for wrong in WRONG:
            station.verdict(wrong.get("seq", 2), **{name: what for name, what in wrong.items() if name != "seq"})
        for no_text in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf5\x80\x80\x80", b"\xf0\x80\x80\x80"):
            station.verdict(2, replace=(b"p2", no_text))
        station.raw("verdict/more", b"{}")
        station._publisher.send(b"evp1/line1/verdict/")
        station._publisher.send_multipart([b"evp1/line1/verdict/", b"{}", b"{}"])
        station.verdict(2)
        assert gate.line() == 'pass 2 "p2"'


def test_a_clock_is_asked_for_and_a_verdict_that_was_held_up_is_late(client: list[str]) -> None:
    station = Station(ahead_ns=10**15)
    try:
        with running(client, station.endpoints[0], "line1", DECIDE_MS, station.endpoints[1], **station.environ) as gate:
            station.wait_for_subscriber()
            station.beat(0)
            station.verdict(1)
            assert gate.line() == 'reject 1 "p1" no heartbeat', "the station's time is not known"
            seq = 2
            while True:  # the first ping may be from before the first heartbeat, and a pong takes its time
                station.answer_ping()
                station.verdict(seq)
                line = gate.line()
                if line == f'pass {seq} "p{seq}"':
                    break
                assert line == f'reject {seq} "p{seq}" no heartbeat'
                seq += 1
            station.verdict(seq + 1, age_ms=DECIDE_MS + 1)
            assert gate.line() == f'reject {seq + 1} "p{seq + 1}" late'
    finally:
        station.close()


def test_without_the_right_key_nothing_comes_and_nothing_passes(client: list[str], station: Station) -> None:
    station.environ["EDGE_SERVER_KEY"] = zmq.curve_keypair()[0].decode()
    with running(client, station.endpoints[0], "line1", DECIDE_MS, **station.environ) as gate:
        station._publisher.set(zmq.RCVTIMEO, 1500)
        with pytest.raises(zmq.Again):
            station._publisher.recv()
        assert gate.said() == []


def test_a_live_station_with_keys_is_followed_to_its_end(client: list[str], tmp_path: Path) -> None:
    endpoint, store = free_endpoint(), KeyStore(tmp_path / "keys")
    store.init()
    keys = {}
    for name in ("gate", "listener"):
        store.add(name)
        store.export(name, tmp_path / name)
        keys[name] = read_client_keys(tmp_path / name)
    environ = {
        "EDGE_SERVER_KEY": to_z85(keys["gate"].station),
        "EDGE_PUBLIC_KEY": to_z85(keys["gate"].own.public),
        "EDGE_SECRET_KEY": to_z85(keys["gate"].own.secret),
        "EDGE_SIMULATED": "1",
    }
    options = ["--bundle", DEMO_BUNDLE, "--bind", endpoint, "--wait-subscribers", 2, "--budget-ms", 20_000]
    options += ["--keys", store.folder, "--no-records"]
    pace = ["--source", "demo", "--size", "320x180", "--limit", 60, "--rate", "50/s"]
    subscriber = Subscriber(endpoint, "line1", keys["listener"])
    station = subprocess.Popen(command("run", *options, *pace), stderr=subprocess.PIPE)
    try:
        with running(client, endpoint, "line1", 20_000, **environ) as gate:
            verdicts = {}
            for received in subscriber.messages(PATIENCE_S):
                if isinstance(received.message, Verdict):
                    verdicts[received.message.seq] = received.message
                elif received.message.state is State.STOPPED:
                    break
            lines = [gate.line() for _ in verdicts]
            assert gate.line() == "reject all heartbeat lost"
            assert gate.said() == []
    finally:
        subscriber.close()
        station.kill()
        station.communicate()
    assert [int(line.split()[1]) for line in lines] == list(verdicts) == list(range(1, 61))
    passed = {int(line.split()[1]) for line in lines if line.startswith("pass ")}
    doubted = {int(line.split()[1]) for line in lines if line.endswith(("no heartbeat", "not ready"))}
    good = {seq for seq, verdict in verdicts.items() if verdict.verdict is Outcome.GOOD}
    assert passed
    assert passed == good - doubted
    assert all(
        json.loads(line.split(" ", 2)[2]) == verdicts[int(line.split()[1])].part for line in lines if line[0] == "p"
    )
