"""Requests allowed for each role at a running station, with real processes, keys and sockets."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from support.line import DEMO_BUNDLE, SILENCE_S, Asking, command, free_endpoint, ran

from edge.channel.client_security import read_client_keys, secure
from edge.channel.control_messages import (
    Acknowledge,
    AskSnapshot,
    Fate,
    Hello,
    Refused,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
)
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.subscriber import Subscriber
from edge.errors import KeyFileError
from edge.records.audit import audit
from edge.security.certificate import Certificate
from edge.security.keystore import KeyStore
from edge.security.roles import Role
from edge.verdict import Verdict


@dataclass
class Station:
    """A running station with a key of each role, and its published messages."""

    folder: Path
    endpoint: str
    process: "subprocess.Popen[str]"

    @contextmanager
    def asking(self, role: Role) -> Iterator[Asking]:
        """A connection to the control socket with the key of this role."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            secure(socket, read_client_keys(self.folder / f"{role}.key"))
            socket.connect(neighbour_endpoint(self.endpoint, CONTROL))
            yield Asking(socket)

    def stop(self) -> str:
        """End the station in order; its log."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        return said


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder, endpoint = tmp_path_factory.mktemp("roles"), free_endpoint()
    store = KeyStore(folder / "keys")
    store.init()
    for role in Role:
        store.add(role, role=role)
        store.export(role, folder / f"{role}.key")
    options = (
        "--source", "demo", "--size", "320x180", "--rate", "30/s", "--trigger", "external", "--budget-ms", 20_000,
        "--bundle", DEMO_BUNDLE, "--bind", endpoint, "--keys", store.folder, "--records", folder / "records",
    )  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command("run", *options), stdout=subprocess.DEVNULL, stderr=log, text=True)
    try:
        yield Station(folder, endpoint, process)
    finally:
        process.kill()
        process.wait()


def _trigger(ask: Asking, part: str) -> Triggered:
    """Trigger until the station accepts a trigger."""
    ends = time.monotonic() + SILENCE_S
    while not isinstance(reply := ask(Trigger(part=part)), Triggered):
        assert time.monotonic() < ends, reply
        time.sleep(0.2)
    return reply


def test_each_role_may_do_what_it_says_and_no_more(station: Station) -> None:
    with station.asking(Role.TRIGGER) as ask:
        triggered = _trigger(ask, "A1")
    listener = Subscriber(station.endpoint, "line1", read_client_keys(station.folder / "see.key"))
    may = {Role.SEE: set(), Role.ACKNOWLEDGE: {"ack"}, Role.TRIGGER: {"trigger"}, Role.CONTROL: {"ack", "trigger"}}
    for role in Role:
        with station.asking(role) as ask:
            welcome = ask(Hello(client="somebody"))
            assert isinstance(welcome, Welcome)
            assert welcome.client == role, "the name of the key counts"
            assert isinstance(ask(AskSnapshot()), Snapshot)
            ask.socket.send(
                Acknowledge(epoch=triggered.epoch, seq=triggered.seq, fate=Fate.MISSED).model_dump_json().encode()
            )
            if "ack" not in may[role]:
                refused = ask.next()
                assert isinstance(refused, Refused)
                needs = "this needs acknowledge or control (edge-keys add --role)"
                assert refused == Refused(request="ack", why=f"the key of {role} has the role {role}; {needs}")
            reply = ask(Trigger(part=f"by-{role}"))
            assert isinstance(reply, Triggered) == ("trigger" in may[role]), reply
    parts: set[str] = set()
    for received in listener.messages(SILENCE_S):
        parts |= {received.message.part} if isinstance(received.message, Verdict) else set()
        if "by-control" in parts:
            break
    listener.close()
    assert {"by-trigger", "by-control"} <= parts
    assert not {"by-see", "by-acknowledge"} & parts
    station.stop()
    said = (station.folder / "log").read_text()
    assert "refused see: ack" in said
    assert "refused acknowledge: trigger" in said
    with sqlite3.connect(f"file:{station.folder}/records/journal.db?mode=ro", uri=True) as journal:
        by = {name for (name,) in journal.execute("SELECT DISTINCT client FROM acknowledgements")}
    assert by == {"acknowledge", "control"}
    assert audit(station.folder / "records").is_sound


def test_the_role_stands_in_the_key_file_and_is_listed(tmp_path: Path) -> None:
    def keys(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return ran("keys", *arguments, "--keys", tmp_path / "keys")

    assert keys("init").returncode == 0
    assert "acknowledge" in keys("add", "gate1").stdout
    assert "see" in keys("add", "page", "--role", "see").stdout
    old = tmp_path / "keys" / "clients" / "old.key"
    old.touch(mode=0o600)
    old.write_bytes(Certificate(bytes(range(32)), name="old").render())
    listed = {one["name"]: one["role"] for one in json.loads(keys("list", "--json").stdout)["clients"]}
    assert listed == {"gate1": "acknowledge", "page": "see", "old": "control"}, "a key without a role keeps its rights"
    shown = keys("list").stdout
    assert all(role in shown for role in listed.values())
    refused = keys("add", "plc", "--role", "owner")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_key_file_with_a_role_that_there_is_not_admits_nobody_and_is_named(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.init()
    store.add("gate")
    path = store.folder / "clients" / "gate.key"
    path.write_text(path.read_text().replace('"acknowledge"', '"everything"'))
    complaints: list[KeyFileError] = []
    assert not store.admission(complaints.append).admitted
    assert str(complaints[0]) == (f"{path}: 'everything' is no role; write one of see, acknowledge, trigger, control")
