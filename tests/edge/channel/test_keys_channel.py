"""The channel's keys: files that only their owner can access, and access control that withstands every peer."""

import json
import os
import socket as sockets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_IMODE
from string import printable

import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from support.line import free_endpoint, ran
from support.verdicts import verdict

from edge.channel import access_control, refusals
from edge.channel.access_control import Doorkeeper
from edge.channel.client_security import ClientKeys, read_client_keys, secure
from edge.channel.connections import Connection, Connections
from edge.channel.limits import CONTROL_ALLOWANCE
from edge.channel.publisher import Publisher, check_endpoint
from edge.channel.subscriber import Subscriber
from edge.errors import ChannelError, KeyFileError
from edge.security.certificate import Certificate, Pair, fingerprint, from_z85, spoken, to_z85
from edge.security.keystore import KeyStore, default_folder
from edge.security.roles import Guest, Role


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# ---------------------------------------------------------------------------------------------------------- files


def test_no_file_is_ever_readable_by_others_whatever_the_umask(
    tmp_path: Path, no_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    open_, mkdir = os.open, os.mkdir
    monkeypatch.setattr(os, "open", _noting(open_, modes))
    monkeypatch.setattr(os, "mkdir", _noting(mkdir, modes))
    store = KeyStore(tmp_path / "keys")
    store.init()
    store.add("gate")
    store.add("laptop")
    store.revoke("laptop")
    store.rotate()
    store.export("gate", tmp_path / "gate.key")
    monkeypatch.undo()
    assert len(modes) >= 9
    assert not any(mode & 0o077 for mode in modes), "as created, not as narrowed afterwards"
    for path in [store.folder, *store.folder.rglob("*"), tmp_path / "gate.key"]:
        assert S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def _noting(call: Callable[..., object], modes: list[int]) -> Callable[..., object]:
    """Wraps `call`; the mode of each path right after the call is appended to `modes`."""

    def noted(path: str, *arguments: object, **named: object) -> object:
        result = call(path, *arguments, **named)
        modes.append(S_IMODE(os.stat(path).st_mode))
        return result

    return noted


def test_nothing_is_overwritten(store: KeyStore, tmp_path: Path) -> None:
    out = tmp_path / "gate.key"
    store.export("gate", out)
    before = {path: path.read_bytes() for path in [out, *store.folder.rglob("*.key")]}
    for again in (store.init, lambda: store.add("gate"), lambda: store.export("gate", out)):
        with pytest.raises(KeyFileError, match="exists"):
            again()
    store.rotate()
    old = next(store.folder.glob("station.2*.key"))
    assert old.read_bytes() == before.pop(store.folder / "station.key")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602])
def test_a_secret_that_others_may_use_is_not_read(store: KeyStore, tmp_path: Path, mode: int) -> None:
    out = tmp_path / "gate.key"
    store.export("gate", out)
    for path, read in ((out, lambda: read_client_keys(out)), (store.folder / "station.key", store.station)):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
            read()


def test_a_folder_that_others_may_use_is_not_trusted(store: KeyStore) -> None:
    (store.folder / "clients").chmod(0o770)
    with pytest.raises(KeyFileError, match="chmod 700"):
        store.station()


def test_an_export_is_a_certificate_that_other_programs_read(store: KeyStore, tmp_path: Path) -> None:
    out = tmp_path / "gate.key"
    store.export("gate", out)
    public, secret = zmq.auth.load_certificate(out)
    keys = read_client_keys(out)
    assert (from_z85(public.decode()), from_z85((secret or b"").decode())) == (keys.own.public, keys.own.secret)
    assert keys.station == store.station().public
    assert f'server-key = "{to_z85(keys.station)}"' in out.read_text()


def test_a_client_may_keep_its_secret_to_itself(store: KeyStore, tmp_path: Path) -> None:
    pair, out = Pair.new(), tmp_path / "plc.key"
    assert not store.add("plc", to_z85(pair.public)).has_secret
    store.export("plc", out)
    assert "secret-key" not in out.read_text()
    with pytest.raises(KeyFileError, match="holds no secret key"):
        read_client_keys(out)
    with out.open("a") as file:
        file.write(f'    secret-key = "{to_z85(pair.secret)}"\n')
    assert read_client_keys(out) == ClientKeys(pair, store.station().public)


def test_a_secret_of_another_pair_is_refused(store: KeyStore, tmp_path: Path) -> None:
    out = tmp_path / "gate.key"
    out.touch(mode=0o600)
    out.write_bytes(Certificate(Pair.new().public, Pair.new().secret, store.station().public).render())
    with pytest.raises(KeyFileError, match="not one pair"):
        read_client_keys(out)


@pytest.mark.parametrize("content", [b"", b"public-key = short", b"\xff\x00", b'public-key = "' + b"~" * 40 + b'"'])
def test_what_is_no_certificate_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.key"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"^[^\n]*no CURVE certificate[^\n]*$"):
        read_client_keys(file)


@given(st.text(max_size=60) | st.text(printable, min_size=40, max_size=40))
def test_a_text_is_32_bytes_in_one_way_or_no_key(text: str) -> None:
    try:
        key = from_z85(text)
    except ValueError:
        return
    assert len(key) == 32
    assert to_z85(key) == text


@given(st.binary(min_size=32, max_size=32))
def test_every_key_survives_its_text(key: bytes) -> None:
    assert from_z85(to_z85(key)) == key


def test_a_revoked_key_stays_revoked_and_its_name_is_free(store: KeyStore) -> None:
    public = to_z85(Certificate.read(store.folder / "clients" / "gate.key").public)
    store.revoke("gate")
    with pytest.raises(KeyFileError, match="for ever"):
        store.add("gate", public)
    store.add("gate")
    assert [(c.name, c.is_revoked) for c in store.clients()] == [("gate", False), ("gate", True)]


def test_a_revocation_that_was_interrupted_holds_and_can_be_ended(store: KeyStore) -> None:
    held = (store.folder / "clients" / "gate.key").read_bytes()
    store.revoke("gate")
    file = store.folder / "clients" / "gate.key"
    file.touch(mode=0o600)
    file.write_bytes(held)  # as if the machine had stopped before the file was removed
    assert store.admission(pytest.fail).admitted == {}
    with pytest.raises(KeyFileError, match="revoked"):
        store.export("gate", store.folder / "out.key")
    store.revoke("gate")
    assert not file.exists()


def test_fingerprints_are_those_of_the_32_bytes(store: KeyStore) -> None:
    assert fingerprint(bytes(32)) == "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
    assert spoken("66687aad") == "6668 7aad"


def test_where_the_keys_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_KEYS", "/a")
    assert default_folder() == Path("/a")
    monkeypatch.delenv("EDGE_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/b")
    assert default_folder() == Path("/b/edge-inspect/keys")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_folder() == Path.home() / ".config/edge-inspect/keys"


def test_with_keys_the_open_network_is_allowed_and_without_them_they_are_named() -> None:
    check_endpoint("tcp://0.0.0.0:5570", allow_insecure=False, has_keys=True)
    with pytest.raises(ChannelError, match="edge-keys init"):
        check_endpoint("tcp://0.0.0.0:5570", allow_insecure=False)


# -------------------------------------------------------------------------------------------------------- command


def _edge_keys(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ran("keys", *arguments)


def test_the_command_makes_shows_revokes_and_rotates(tmp_path: Path) -> None:
    keys = ("--keys", tmp_path / "keys")
    made = json.loads(_edge_keys("init", *keys, "--json").stdout)
    added = json.loads(_edge_keys("add", "gate", *keys, "--json").stdout)
    shown = json.loads(_edge_keys("fingerprint", *keys, "--json").stdout)
    assert shown == {"station": made["station"], "clients": {"gate": added["fingerprint"]}}
    assert _edge_keys("export", "gate", "--out", tmp_path / "gate.key", *keys).returncode == 0
    assert fingerprint(read_client_keys(tmp_path / "gate.key").own.public) == added["fingerprint"]
    rotated = json.loads(_edge_keys("rotate", *keys, "--json").stdout)
    assert rotated["export_anew"] == ["gate"]
    assert rotated["station"] != made["station"]
    assert _edge_keys("revoke", "gate", *keys).stdout.startswith("revoked")
    (listed,) = json.loads(_edge_keys("list", *keys, "--json").stdout)["clients"]
    gone = {"name": "gate", "fingerprint": added["fingerprint"], "has_secret": False, "is_revoked": True, "role": None}
    assert listed == gone


@pytest.mark.parametrize(
    "wrong",
    [("list", "--keys", "nowhere"), ("add", "../x"), ("add", "x", "--public-key", "abc"), ("revoke", "nobody"),
     ("export", "nobody", "--out", "x"), ("export", "gate", "--out", "nowhere/x"), ("fingerprint", "nobody")],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_exit_code_2(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...]
) -> None:
    monkeypatch.setenv("EDGE_KEYS", str(store.folder))
    done = _edge_keys(*wrong)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr


def test_a_listener_with_a_key_file_that_others_can_read_is_told(store: KeyStore, tmp_path: Path) -> None:
    out = tmp_path / "gate.key"
    store.export("gate", out)
    out.chmod(0o644)
    done = ran("listen", "--keys", out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"chmod 600 {out}" in done.stderr


# ----------------------------------------------------------------------------------------------------- doorkeeper


class Door:
    """A doorkeeper with one guarded socket in this process, and its log lines."""

    def __init__(self, store: KeyStore, endpoint: str) -> None:
        self.said: list[str] = []
        self.context = zmq.Context()
        self.keeper = Doorkeeper(self.context, store, self.said.append)
        self.socket = self.context.socket(zmq.ROUTER)
        self.keeper.guard(self.socket, CONTROL_ALLOWANCE)
        self.socket.bind(endpoint)

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *error: object) -> None:
        self.keeper.close()
        self.context.destroy(linger=0)

    def serve_until(self, is_true: Callable[[], object]) -> None:
        ends = time.monotonic() + 20
        while not is_true():
            assert time.monotonic() < ends, self.said
            self.keeper.serve()
            time.sleep(0.001)


@pytest.fixture
def door(store: KeyStore) -> Iterator[Door]:
    with Door(store, free_endpoint()) as door:
        yield door


def connect(door: Door, keys: ClientKeys, message: bytes = b"hello") -> "zmq.Socket[bytes]":
    """A client in its own context that has sent a message."""
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.set(zmq.LINGER, 0)
    secure(dealer, keys)
    dealer.connect(str(door.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()))
    dealer.send(message)
    return dealer


def gone(*dealers: "zmq.Socket[bytes]") -> None:
    for dealer in dealers:
        dealer.context.destroy(linger=0)


def keys_of(store: KeyStore, name: str) -> ClientKeys:
    certificate = Certificate.read(store.folder / "clients" / f"{name}.key")
    assert certificate.secret is not None
    return ClientKeys(Pair(certificate.public, certificate.secret), store.station().public)


@pytest.mark.parametrize(
    "garbage",
    [[b""], [b"1.0"], [b"1.0", b"7"], [b"\xff"] * 7, [b"x" * 100_000] * 3,
     [b"1.0", b"7", b"edge", b"", b"", b"PLAIN", b"a"],
     [b"1.0", b"7", b"elsewhere", b"", b"", b"CURVE", b"k" * 32],
     [b"1.0", b"7", b"edge", b"", b"", b"CURVE", b"k" * 31]],
)  # fmt: skip
def test_garbage_instead_of_a_question_is_refused_and_the_next_client_is_served(
    store: KeyStore, door: Door, garbage: list[bytes]
) -> None:
    asker = door.context.socket(zmq.REQ)
    asker.connect("inproc://zeromq.zap.01")
    asker.send_multipart(garbage)
    door.serve_until(lambda: asker.poll(0))
    assert asker.recv_multipart()[2:4] == [b"400", b"refused"]
    asker.close()
    dealer = connect(door, keys_of(store, "gate"))
    door.serve_until(lambda: door.socket.poll(0))
    gone(dealer)


def test_nobody_is_admitted_when_nobody_answers_for_the_door(store: KeyStore, door: Door) -> None:
    keys = keys_of(store, "gate")
    door.keeper.close()
    dealer = connect(door, keys)
    assert not door.socket.poll(500)
    gone(dealer)


def test_one_turn_does_a_bounded_piece_of_a_flood(door: Door) -> None:
    askers = [door.context.socket(zmq.REQ) for _ in range(120)]
    for asker in askers:
        asker.connect("inproc://zeromq.zap.01")
        asker.send(b"garbage")
    door.keeper.serve()
    assert sum(bool(asker.poll(0)) for asker in askers) <= 50
    assert door.keeper.due_in_s == 0, "the loop is to come back at once"
    door.serve_until(lambda: all(asker.poll(0) for asker in askers))
    for asker in askers:
        asker.close()


def test_unread_events_of_a_flood_do_not_stop_the_sockets(store: KeyStore, door: Door) -> None:
    dealer = connect(door, keys_of(store, "gate"))
    door.serve_until(lambda: door.socket.poll(0))
    sender = door.socket.recv_multipart()[0]
    host, port = door.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode().removeprefix("tcp://").split(":")
    for number in range(800):  # more events than ZeroMQ queues, while the loop does not run
        with sockets.create_connection((host, int(port))):
            time.sleep(0.02 * (number % 40 == 39))  # otherwise the kernel's backlog is full, and connecting takes 1 s
    door.socket.send_multipart([sender, b"answer"])
    assert dealer.poll(5000)
    gone(dealer)


def test_a_descriptor_that_is_anothers_by_now_is_left_alone() -> None:
    ours, theirs = sockets.socketpair()
    connections = Connections(pytest.fail, pytest.fail)
    number = ours.fileno()
    connections.cut(Connection(number, os.fstat(theirs.fileno()).st_ino, "", 0))
    theirs.sendall(b"still open")
    assert ours.recv(100) == b"still open"
    connections.cut(Connection(number, os.fstat(number).st_ino, "", 0))
    assert ours.recv(100) == b""
    connections.close()
    ours.close()
    theirs.close()


def test_a_client_over_a_local_socket_is_named_and_cut_too(store: KeyStore, tmp_path: Path) -> None:
    with Door(store, f"ipc://{tmp_path}/control") as door:
        dealer = connect(door, keys_of(store, "gate"))
        door.serve_until(lambda: door.socket.poll(0))
        assert door.keeper.met(door.socket.recv_multipart(copy=False)[-1]) == Guest("gate", Role.ACKNOWLEDGE)
        store.revoke("gate")
        door.serve_until(lambda: any("connections cut: 1" in line for line in door.said))
        door.serve_until(lambda: any("the key of gate is revoked" in line for line in door.said))
        gone(dealer)


def test_a_connection_that_has_ended_is_forgotten(store: KeyStore, door: Door) -> None:
    dealer = connect(door, keys_of(store, "gate"))
    door.serve_until(lambda: door.socket.poll(0))
    door.keeper.met(door.socket.recv_multipart(copy=False)[-1])
    assert len(door.keeper.connections.sweep()) == 1
    gone(dealer)
    door.serve_until(lambda: not door.keeper.connections.sweep())


def test_a_folder_that_cannot_be_read_for_long_admits_nobody(store: KeyStore, door: Door) -> None:
    dealer = connect(door, keys_of(store, "gate"))
    door.serve_until(lambda: door.socket.poll(0))
    assert door.keeper.met(door.socket.recv_multipart(copy=False)[-1]) is not None
    away = store.folder.rename(store.folder.with_name("away"))
    door.serve_until(lambda: any("gate may no longer connect" in line for line in door.said))
    assert any("connections cut: 1" in line for line in door.said)
    away.rename(store.folder)
    door.serve_until(lambda: "gate" in door.keeper.clients)
    gone(dealer)


def test_while_the_folder_cannot_be_read_for_a_moment_the_same_clients_are_admitted(
    store: KeyStore, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_of(store, "gate")
    monkeypatch.setattr(access_control, "UNREADABLE_S", 60.0)
    away = store.folder.rename(store.folder.with_name("away"))
    door.serve_until(lambda: any("no folder of keys" in line for line in door.said))
    dealer = connect(door, keys)
    door.serve_until(lambda: door.socket.poll(0))
    away.rename(store.folder)
    store.revoke("gate")
    door.serve_until(lambda: any("may no longer connect" in line for line in door.said))
    gone(dealer)


def test_what_was_published_before_the_end_still_arrives(store: KeyStore) -> None:
    context, endpoint = zmq.Context(), free_endpoint()
    keeper = Doorkeeper(context, store, pytest.fail)
    publisher = Publisher(context, "line1", endpoint, doorkeeper=keeper)
    subscriber = Subscriber(endpoint, "line1", keys_of(store, "gate"), pytest.fail)
    ends = time.monotonic() + 20
    while not publisher.subscribers():
        assert time.monotonic() < ends
        keeper.serve()
    for seq in range(1, 101):
        publisher.send(verdict(seq=seq))
    publisher.close()
    keeper.close()
    context.term()
    assert len(list(subscriber.messages(0.5))) == 100
    subscriber.close()


# ------------------------------------------------------------------------------------------------------- refusals


def test_a_flood_of_refusals_is_a_few_lines_and_their_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    book = refusals.Refusals(said.append)
    for number in range(1000):
        book.note("unknown", f"key {number}")
        book.note("revoked", "the key of gate")
    assert said == ["key 0", "the key of gate", "key 1", "key 2", "key 3", "key 4"]
    assert book.count == 2000
    said.clear()
    book.flush()
    assert said == [], "the window is not over"
    book._ends_ns = 0
    book.flush()
    assert said == [
        "the key of gate (999 times more in 60 s)",
        "995 others refused in 60 s, of the kind: unknown",
    ]
    said.clear()
    book.note("revoked", "the key of gate")
    book.note("unknown", "key 0")
    assert said == ["key 0"], "what goes on is said once a window, what comes anew at once"
