"""The OPC UA server of edge-plc: real processes, real certificates, and a client that reads and subscribes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.line import ran, running_line
from support.opcua import EXECUTING, PATIENCE_S, Reader, reads, serving
from support.plc import plc_at, running_plc, until
from support.verdicts import verdict

from edge.errors import ConfigError
from edge.plc import opcua
from edge.plc.board import Board
from edge.plc.codes import Code
from edge.plc.process_image import Entry, Readable
from edge.plc.settings import OpcuaTable
from edge.plc.vision_nodes import LAST_RESULT, NODES, OF_STATE, result_values, state_values
from edge.verdict import State

PASS = Entry("pass", "ab12", 7, "P7", 4711, Code.CLEAR)
REJECT = verdict(verdict="reject", reason="defect", score=0.75, kind="oil stain", kind_number=2, kind_probability=0.75)


def test_every_node_has_a_value_and_every_state_a_name_of_the_companion_specification() -> None:
    own = [f"{LAST_RESULT}.{name}" for name in list(result_values(PASS))[:11]]
    given = [*state_values(EXECUTING, None, None), *own, "ResultManagement.Result"]
    assert sorted(given) == sorted(node.path for node in NODES)
    assert set(OF_STATE) == set(State)
    assert {shown.state for shown in OF_STATE.values()} == {"Preoperational", "Operational", "Error", "Halted"}


def test_state_and_the_last_result_are_read_and_nothing_is_written() -> None:
    async def look(reader: Reader) -> None:
        await reader.until("VisionStateMachine.State", "executing")
        assert await reader.read("VisionStateMachine.Ready") is True
        assert await reader.read("ResultManagement.LastResult.PartId") is None, "there is none yet"
        server.enter("line1", PASS)
        server.enter("line1", replace(PASS, event="acknowledged", seq=8))
        await reader.until("ResultManagement.LastResult.ResultId", "ab12-7")
        told = json.loads(await reader.read("ResultManagement.Result"))
        assert (told["PartId"], told["Epoch"], told["Seq"], told["Number"]) == ("P7", "ab12", 7, 4711)
        assert (told["Event"], told["Code"], told["Reason"]) == ("pass", 1, "clear")
        for path, kind, _ in NODES:
            with pytest.raises(ua.UaError):
                await reader.node(path).write_value([] if kind.endswith("[]") else "x")
        assert await reader.read("VisionStateMachine.Ready") is True

    with serving() as server:
        reads(server.endpoint, look)


class Changes:
    """Collects what a subscription delivers."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.events: list[Any] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        if value:
            self.results.append(json.loads(value)["Seq"])

    def event_notification(self, event: Any) -> None:
        self.events.append((event.Event, event.Number, event.Epoch, event.Seq, event.Kind, event.KindNumber))


def test_a_subscriber_gets_each_result_in_order_as_a_value_and_as_an_event() -> None:
    async def look(reader: Reader) -> None:
        await reader.until("VisionStateMachine.State", "executing")
        changes = Changes()
        subscription = await reader.client.create_subscription(50, changes)
        await subscription.subscribe_data_change(reader.node("ResultManagement.Result"), queuesize=100)
        kind = reader.client.get_node(f"ns={reader.theirs};i=1024")  # ResultReadyEventType
        (own,) = await kind.get_children(refs=ua.ObjectIds.HasSubtype)
        where = reader.client.get_node(f"ns={reader.index};s=line1")
        await subscription.subscribe_events(where, own, queuesize=100)
        for seq in range(1, 31):
            server.enter("line1", Entry("fail", "ab12", seq, f"P{seq}", seq, Code.DEFECT, REJECT if seq % 2 else None))
        async with asyncio.timeout(PATIENCE_S):
            while len(changes.results) < 30 or len(changes.events) < 30:
                await asyncio.sleep(0.02)
        assert changes.results == list(range(1, 31))
        kinds = {0: ("", 0), 1: ("oil stain", 2)}
        assert changes.events == [("fail", seq, "ab12", seq, *kinds[seq % 2]) for seq in range(1, 31)]

    with serving() as server:
        reads(server.endpoint, look)


def test_of_a_station_that_is_not_heard_nothing_is_known_and_an_alarm_says_so() -> None:
    async def look(reader: Reader) -> None:
        await reader.until("VisionStateMachine.Ready", False)
        assert await reader.read("VisionStateMachine.CurrentState") is None
        assert await reader.read("Counters.Accepted") is None
        assert await reader.read("Alarms.Active") == ["the station is not heard"]

    with serving(image=Readable()) as server:
        reads(server.endpoint, look)


def test_without_updates_every_value_is_said_to_be_unknown(tmp_path: Path) -> None:
    with serving() as other:  # a free port, and settings that a server takes
        settings = other._settings | {"bind": "127.0.0.1:0"}
    settings["bind"] = other.endpoint
    process = subprocess.Popen([sys.executable, "-m", "edge.plc.opcua_server"], stdin=subprocess.PIPE)
    assert process.stdin is not None

    async def look(reader: Reader) -> None:
        assert process.stdin is not None
        for _ in range(3):
            process.stdin.write(json.dumps({"line1": (state_values(EXECUTING, None, None), [])}).encode() + b"\n")
            process.stdin.flush()
            await reader.until("VisionStateMachine.State", "executing")
        await reader.until("VisionStateMachine.Ready", None)
        assert await reader.read("VisionStateMachine.State") is None

    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        reads(other.endpoint, look)
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0, "it ends with its input"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_hangs_is_started_again_and_holds_up_nobody(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua, "HUNG_S", 2.0)
    monkeypatch.setattr(opcua, "RESTART_S", 0.1)

    async def look(reader: Reader) -> None:
        await reader.until("VisionStateMachine.State", "executing")

    with serving() as server:
        reads(server.endpoint, look)
        starts = server.starts
        assert server.process is not None
        os.kill(server.process.pid, number)
        for seq in range(1, 3 * opcua.MOST_AT_ONCE):  # never waits
            server.enter("line1", Entry("fail", "ab12", seq, f"P{seq}", seq, Code.DEFECT))
        until(lambda: server.starts > starts)
        reads(server.endpoint, look)


def test_a_server_that_has_grown_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua, "LOOK_S", 0.1)
    monkeypatch.setattr(opcua, "RESTART_S", 0.1)
    monkeypatch.setattr(opcua, "MOST_MEMORY", 1)
    with serving() as server:
        until(lambda: server.starts > 1)


# ------------------------------------------------------------------------------------------------------ certificates


def certificate(folder: Path, name: str, days: int = 1) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as `openssl req -x509` makes them."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:{name}")]), False)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / f"{name}.der", folder / f"{name}.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.DER))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, secret


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "trusted").mkdir()
    for name, days in (("server", 1), ("client", 1), ("stranger", 1), ("expired", -1)):
        certificate(folder, name, days)
    for name in ("client", "expired"):
        (folder / "trusted" / f"{name}.der").write_bytes((folder / f"{name}.der").read_bytes())
    (folder / "password").touch(0o600)
    (folder / "password").write_text("s3cret\n")
    return folder


def closed(keys: Path, **changes: Any) -> OpcuaTable:
    given = {"bind": "0", "cert": keys / "server.der", "key": keys / "server.pem", "trusted": keys / "trusted"}
    return OpcuaTable(**(given | {"user": "mes", "password_file": keys / "password"} | changes))


def as_client(
    keys: Path, name: str, user: str | None = "mes", password: str = "s3cret"
) -> Callable[[Client], Awaitable[None]]:
    async def prepare(client: Client) -> None:
        client.application_uri = f"urn:{name}"
        await client.set_security_string(
            f"Basic256Sha256,SignAndEncrypt,{keys / name}.der,{keys / name}.pem,{keys / 'server.der'}"
        )
        if user is not None:
            client.set_user(user)
            client.set_password(password)

    return prepare


async def state(reader: Reader) -> str:
    await reader.until("VisionStateMachine.State", "executing")
    return "read"


def test_only_a_trusted_certificate_with_user_and_password_reads(keys: Path) -> None:
    async def plain(client: Client) -> None:
        pass

    with serving(closed(keys)) as server:
        assert reads(server.endpoint, state, as_client(keys, "client")) == "read"
        for prepare in (
            as_client(keys, "client", user=None),
            as_client(keys, "client", password="wrong"),
            as_client(keys, "client", user="admin"),
            as_client(keys, "stranger"),
            as_client(keys, "expired"),
            plain,
        ):
            with pytest.raises((ua.UaError, TimeoutError, ConnectionError)):
                reads(server.endpoint, state, prepare)
        assert reads(server.endpoint, state, as_client(keys, "client")) == "read"


def test_the_namespace_has_the_index_that_the_guide_names(keys: Path) -> None:
    async def look(reader: Reader) -> int:
        return reader.index

    with serving() as server:
        assert reads(server.endpoint, look) == 2


def test_a_key_in_der_and_a_certificate_in_pem_are_taken_whatever_their_names(keys: Path) -> None:
    cert = x509.load_der_x509_certificate((keys / "server.der").read_bytes())
    key = serialization.load_pem_private_key((keys / "server.pem").read_bytes(), None)
    der = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (keys / "own.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (keys / "own.key").write_bytes(key.private_bytes(*der))
    with serving(closed(keys, cert=keys / "own.crt", key=keys / "own.key")) as server:
        assert reads(server.endpoint, state, as_client(keys, "client")) == "read"


def test_on_loopback_a_certificate_without_a_user_encrypts_for_anybody(keys: Path) -> None:
    table = closed(keys, trusted=None, user=None, password_file=None)
    with serving(table) as server:
        assert reads(server.endpoint, state, as_client(keys, "stranger", user=None)) == "read"


def test_a_folder_without_a_trusted_certificate_is_refused(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="none is empty; copy the clients' certificates there"):
        opcua.OpcuaServer(Board(1), ["line1"], list, closed(keys, trusted=tmp_path / "none"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('bind = "0.0.0.0:0"', "is open to the network; give cert, key, trusted, user and password_file"),
        ('cert = "a"', "cert and key belong together"),
        ('user = "a"', "user and password_file belong together"),
        ('user = "a"\npassword_file = "a"', "need an encrypted channel; give cert and key"),
        ('cert = "a"\nkey = "a"', "a cannot be read; give a file in PEM or DER"),
        ('bind = "x"', "is no place for OPC UA; one looks like 127.0.0.1:4840"),
        ("port = 3", "port"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "line.toml"
    file.write_text(f'[plc]\ninsecure = true\n[plc.modbus]\nbind = "0"\n[plc.opcua]\n{lines}\n')
    done = ran("plc", "--config", file)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_a_running_line_is_read_over_opc_ua(tmp_path: Path) -> None:
    with opcua.listen("0", "", "", True, 0) as probe:
        endpoint = opcua.bound(probe)
    file = tmp_path / "line.toml"
    with running_line(
        "--source", "demo", "--size", "320x180", "--limit", 12, "--rate", "20/s", "--wait-subscribers", 2
    ) as line:
        said = f'connect = "{line.endpoint}"\n[plc.opcua]\nbind = "{endpoint}"\n'
        file.write_text(f'[plc]\ninsecure = true\nallow_simulated = true\n[[plc.stations]]\nstation = "line1"\n{said}')
        with running_plc(tmp_path, "--config", file, "--hold-ms", 60_000) as bridge, plc_at(bridge.port) as plc:
            until(lambda: plc.cycle() is not None and len(plc.decided) >= 8)

            async def look(reader: Reader) -> None:
                async with asyncio.timeout(PATIENCE_S):
                    while not await reader.read("ResultManagement.LastResult.Seq"):
                        await asyncio.sleep(0.02)
                told = json.loads(await reader.read("ResultManagement.Result"))
                assert told["Epoch"] == await reader.read("ResultManagement.LastResult.Epoch")
                assert told["PartId"].startswith(("A", "B"))
                assert told["Number"] == told["Seq"]
                await reader.client.load_data_type_definitions()
                assert (await reader.read("ResultManagement.Results.Latest.InternalRecipeId")).Id == "demo"
                assert await reader.read("ResultManagement.Results.Latest.IsSimulated") is True

            reads(endpoint, look)
        line.to_the_end()
