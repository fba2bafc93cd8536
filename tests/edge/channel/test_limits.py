"""Limits of the channel: no honest peer reaches them, and slow attackers do."""

import os
import socket as sockets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zmq
from support.line import free_endpoint, running_line

from edge.channel import connections
from edge.channel.channel import Channel
from edge.channel.client_security import ClientKeys, read_client_keys, secure
from edge.channel.connections import Connection, Connections
from edge.channel.control_messages import Acknowledge, AskReplay, Fate, Ping, Refused, Request, Trigger, Triggered
from edge.channel.control_socket import Peer
from edge.channel.endpoints import CONTROL, VIEWERS, neighbour_endpoint
from edge.channel.limits import (
    CONTROL_ALLOWANCE,
    CONTROL_ALLOWANCE_WITHOUT_KEYS,
    DROPPED_AT_ONCE,
    MOST_GROWTH,
    MOST_SUBSCRIPTIONS,
    PUBLISHED_ALLOWANCE,
    TRIGGERS,
    Allowance,
    Pace,
)
from edge.channel.pace import Paces
from edge.drill.attacker import FRAME_OF_MANY, LAST_FRAME, greeted
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.gate import Rules
from edge.security.keystore import KeyStore
from edge.station.replay import Replays
from edge.verdict import State

SECOND = 1_000_000_000
PATIENCE_S = 20.0


@pytest.fixture
def channel() -> Iterator[Channel]:
    """A channel without keys."""
    channel = Channel("line1", free_endpoint())
    yield channel
    channel.close()


@dataclass
class Keyed:
    """A channel with keys, among them that of the gate."""

    channel: Channel
    keys: ClientKeys
    said: list[str]

    def until(self, condition: Callable[[], object]) -> None:
        """Serve the channel as a station does, until the condition holds."""
        ends = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < ends, (self.said, dict(self.channel.acted))
            self.channel.publisher.subscribers()
            list(self.channel.control.requests(64))
            self.channel.serve()
            time.sleep(0.002)

    @contextmanager
    def connected(self, kind: int, endpoint: str) -> "Iterator[zmq.Socket[bytes]]":
        """A socket with the gate's key in its own context."""
        with zmq.Context() as context, context.socket(kind) as socket:
            socket.set(zmq.LINGER, 0)
            secure(socket, self.keys)
            socket.connect(endpoint)
            yield socket


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Keyed]:
    store, said = KeyStore(tmp_path / "keys"), list[str]()
    store.init()
    store.add("gate1")
    store.export("gate1", tmp_path / "gate1.key")
    channel = Channel("line1", free_endpoint(), keys=store.folder, say=said.append)
    yield Keyed(channel, read_client_keys(tmp_path / "gate1.key"), said)
    channel.close()


class Sender:
    """A connection with simulated traffic and simulated time: a test sets the number of bytes that arrived."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowance: Allowance) -> None:
        self.cuts: list[tuple[str, str]] = []
        self.watch = Connections(lambda *_: None, lambda _, limit, why: self.cuts.append((limit, why)))
        self.pair = sockets.socketpair()
        number = self.pair[0].fileno()
        door: Any = SimpleNamespace(allowance=allowance)
        self.connection = Connection(number, os.fstat(number).st_ino, "192.0.2.7", SECOND, door)
        self.watch._open[number] = self.connection
        self.allowance, self.received, self.now = allowance, 0, SECOND
        monkeypatch.setattr(self.watch, "_received", lambda _: self.received)

    def joined_by(self, allowance: Allowance) -> tuple[Connection, Callable[[], None]]:
        """A further connection, to a socket with another allowance, and the function that closes it."""
        here, there = sockets.socketpair()
        door: Any = SimpleNamespace(allowance=allowance)
        one = Connection(here.fileno(), os.fstat(here.fileno()).st_ino, "192.0.2.8", SECOND, door)
        self.watch._open[here.fileno()] = one
        return one, lambda: (here.close(), there.close())[0]

    def sends(self, a_second: int, seconds: int) -> None:
        """Simulate `a_second` bytes per second for `seconds` seconds, without the end of a message."""
        for _ in range(seconds):
            self.received += a_second
            self.now += SECOND
            self.watch._check_one(self.connection, self.allowance, self.now)


@pytest.mark.parametrize("allowance", [CONTROL_ALLOWANCE, PUBLISHED_ALLOWANCE], ids=["control", "published"])
def test_signs_of_life_alone_are_never_taken_for_a_message_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, allowance: Allowance
) -> None:
    peer = Sender(monkeypatch, allowance)
    peer.sends(10 * 64, 86_400)
    assert peer.cuts == [], "ten encrypted pings of ZeroMQ a second, for a day"
    peer.sends(1_200, 600)
    assert [limit for limit, _ in peer.cuts] == ["message"]


def test_what_a_loop_that_was_held_up_has_not_read_is_not_taken_for_a_message_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = Sender(monkeypatch, CONTROL_ALLOWANCE)
    sender.watch.turned_ns = sender.now
    for _ in range(10):
        sender.received, sender.now = sender.received + 20_000, sender.now + SECOND // 10
        sender.watch._check(sender.now)
    sender.watch.turned_ns = sender.now
    sender.now += SECOND // 5
    sender.watch.turned_ns = sender.now
    sender.watch._check(sender.now)
    assert sender.cuts == [], "the loop has only just come back"
    for _ in range(6):
        sender.now += SECOND // 10
        sender.watch.turned_ns = sender.now
        sender.watch._check(sender.now)
    assert [limit for limit, _ in sender.cuts] == ["message"]


def test_many_messages_at_once_after_a_silence_are_not_taken_for_one_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = Sender(monkeypatch, CONTROL_ALLOWANCE_WITHOUT_KEYS)
    sender.sends(0, 60)
    sender.received, sender.now = sender.received + 9_490, sender.now + SECOND // 20
    sender.watch._check(sender.now)
    assert sender.cuts == [], "150 triggers, which the loop reads next"
    sender.connection.messages, sender.connection.heard_ns = 150, sender.now
    sender.now += SECOND
    sender.watch._check(sender.now)
    assert sender.cuts == []
    sender.received += 9_490
    for _ in range(12):
        sender.now += SECOND // 20
        sender.watch._check(sender.now)
    assert [limit for limit, _ in sender.cuts] == ["message"], "nothing of it was read in half a second"


def test_when_memory_grows_those_are_cut_whose_honest_peers_end_messages_all_the_time_and_others_only_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer, memory = Sender(monkeypatch, CONTROL_ALLOWANCE), [0]
    listener, closed = peer.joined_by(PUBLISHED_ALLOWANCE)
    monkeypatch.setattr(connections, "resident_bytes", lambda: memory[0])
    peer.watch._resident = 0
    peer.sends(640, 60)
    listener.since_message = 1 << 20  # signs of life, for hours
    peer.watch._bound_growth()
    assert peer.cuts == []
    memory[0] = MOST_GROWTH
    peer.watch._bound_growth()
    assert peer.cuts == [("memory", "37 kB without a message, while memory grew")]
    assert (peer.connection.is_cut, listener.is_cut) == (True, False)
    peer.watch._bound_growth()
    assert not listener.is_cut, "memory that stays where it is, is not the next connection's"
    memory[0] = 0
    peer.watch._bound_growth()
    memory[0] = MOST_GROWTH
    peer.watch._bound_growth()
    assert listener.is_cut, "from where memory was least, it has grown again"
    closed()


def test_a_message_of_very_many_frames_is_dropped_in_pieces_its_peer_cut_and_another_one_answered(
    channel: Channel,
) -> None:
    with greeted(channel.control.endpoint) as many, zmq.Context() as context, context.socket(zmq.DEALER) as gate:
        gate.set(zmq.LINGER, 0)
        many.sendall(FRAME_OF_MANY * 100_000 + LAST_FRAME)
        ends, turns, heard = time.monotonic() + PATIENCE_S, 0, list[Request]()
        while not channel.acted["message"]:
            assert time.monotonic() < ends
            turns += channel.control.has_more
            assert not list(channel.control.requests(64))
            channel.serve()
        gate.connect(channel.control.endpoint)
        gate.send(Ping(nonce=1).model_dump_json().encode())
        while not heard:
            assert time.monotonic() < ends
            turns += channel.control.has_more
            heard += [asked for _, asked in channel.control.requests(64)]
            channel.serve()
        assert heard == [Ping(nonce=1)]
        assert turns >= 100_000 // DROPPED_AT_ONCE, "a bounded piece in each turn"
        many.settimeout(PATIENCE_S)
        with suppress(ConnectionError):
            while many.recv(1000):
                pass


def test_connections_that_each_send_little_of_a_message_without_an_end_are_bounded_together(channel: Channel) -> None:
    with ExitStack() as open_, zmq.Context() as context, context.socket(zmq.DEALER) as gate:
        gate.set(zmq.LINGER, 0)
        gate.connect(channel.control.endpoint)
        many = [open_.enter_context(greeted(channel.control.endpoint)) for _ in range(100)]
        for one in many:
            one.sendall(FRAME_OF_MANY * 3_500)  # 7 kB, of which 8 are allowed
        ends, nonce, heard = time.monotonic() + PATIENCE_S, 0, list[Request]()
        while not channel.acted["message"] or len(heard) < 50:
            assert time.monotonic() < ends, dict(channel.acted)
            nonce += 1
            gate.send(Ping(nonce=nonce).model_dump_json().encode())
            heard += [asked for _, asked in channel.control.requests(64)]
            channel.serve()
            time.sleep(0.02)
        left = sum(c.unended for c in channel.doorkeeper.connections.sweep() if not c.is_cut)
        assert left <= CONTROL_ALLOWANCE_WITHOUT_KEYS.all_open_bytes
        assert heard == [Ping(nonce=number) for number in range(1, len(heard) + 1)], "the honest one is not cut"


def test_a_listener_that_changes_its_mind_has_no_more_subscriptions_than_it_has(keyed: Keyed) -> None:
    with keyed.connected(zmq.SUB, keyed.channel.publisher.endpoint) as listener:
        for number in range(3 * MOST_SUBSCRIPTIONS):
            listener.subscribe(str(number))
            listener.unsubscribe(str(number))
        listener.subscribe(b"evp1/line1/")
        keyed.until(lambda: keyed.channel.publisher.subscribers() == 1)
    assert not keyed.channel.acted


def test_a_message_of_a_connection_that_has_ended_marks_a_younger_one_only_until_that_speaks() -> None:
    watch = Connections(lambda *_: None, lambda *_: None)
    here, there = sockets.socketpair()
    assert watch.met(here.fileno(), b"viewer", "viewer", 1)
    assert watch.met(here.fileno(), b"gate", "gate")
    assert watch.of_key(b"viewer") == []
    (connection,) = watch.of_key(b"gate")
    assert (connection.name, connection.subscriptions) == ("gate", 0)
    here.close()
    there.close()


def test_of_a_keys_connections_that_goes_which_was_silent_longest(keyed: Keyed) -> None:
    with ExitStack() as open_:
        gates = [open_.enter_context(keyed.connected(zmq.DEALER, keyed.channel.control.endpoint)) for _ in range(4)]
        connections = keyed.channel.doorkeeper.connections
        for number, gate in enumerate(gates):
            gate.send(Ping(nonce=number).model_dump_json().encode())
            keyed.until(lambda number=number: len([c for c in connections.sweep() if c.heard_ns]) == number + 1)
        assert not keyed.channel.acted
        newcomer = open_.enter_context(keyed.connected(zmq.DEALER, keyed.channel.control.endpoint))
        first = min((c for c in connections.sweep() if c.heard_ns), key=lambda c: c.heard_ns or 0)
        newcomer.send(Ping(nonce=9).model_dump_json().encode())
        keyed.until(lambda: keyed.channel.acted["connections"])
        assert first.is_cut, "a gate whose network was lost comes in again"


def test_a_channel_ends_though_its_viewers_thread_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel("line1", free_endpoint())
    met = channel.doorkeeper.met
    monkeypatch.setattr(channel.doorkeeper, "met", lambda *note: (time.sleep(1.5), met(*note))[1])
    viewers = neighbour_endpoint(channel.publisher.endpoint, VIEWERS)
    with zmq.Context() as context, context.socket(zmq.SUB) as viewer:
        viewer.connect(viewers)
        viewer.subscribe(b"")
        time.sleep(1.0)
        channel.close()


def test_a_station_whose_guard_has_failed_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel("line1", free_endpoint())
    try:
        monkeypatch.setattr(channel.doorkeeper, "serve", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            for _ in range(1000):
                channel.serve()
                time.sleep(0.01)
    finally:
        channel.close()


def test_a_gate_that_owes_thousands_of_acknowledgements_is_not_cut_and_none_is_refused(tmp_path: Path) -> None:
    store, endpoint, owed = KeyStore(tmp_path / "keys"), free_endpoint(), 9_000
    store.init()
    store.add("gate1")
    store.export("gate1", tmp_path / "gate1.key")
    said: list[str] = []
    channel = Channel("line1", endpoint, keys=store.folder, say=said.append)
    where = Endpoint(endpoint, neighbour_endpoint(endpoint, CONTROL), read_client_keys(tmp_path / "gate1.key"))
    gate = Controller([where], "line1", "gate1", SteadyBelt(1000, 50), lambda decision: None, Rules())
    for seq in range(1, owed + 1):
        gate._acknowledge("ab12", seq, Fate.MISSED)
    heard: list[int] = []
    ends = time.monotonic() + 60
    while len(heard) < owed and time.monotonic() < ends:
        gate.turn()
        channel.serve()
        heard += [asked.seq for _, asked in channel.control.requests(64) if isinstance(asked, Acknowledge)]
    gate.close()
    channel.close()
    assert heard == list(range(1, owed + 1)), said
    assert not channel.acted, said


def test_a_peer_of_before_zmtp_3_is_refused_though_there_are_no_keys(channel: Channel) -> None:
    host, port = channel.publisher.endpoint.removeprefix("tcp://").split(":")
    with sockets.create_connection((host, int(port)), PATIENCE_S) as old:
        old.sendall(b"\x01\x00" + b"\x02\x00\x01" * 3)  # ZMTP 1.0: no name, and subscriptions to everything
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            assert channel.publisher.subscribers() == 0
            time.sleep(0.01)
        old.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionError):  # noqa: PT012
            while old.recv(100):
                pass
            raise ConnectionResetError


def test_a_key_that_connects_too_often_is_told_to_come_again_and_is_let_in_then(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed.channel.doorkeeper, "_newcomers", Paces(Pace(burst=2, a_second=1)))
    with ExitStack() as open_:
        gates = [open_.enter_context(keyed.connected(zmq.SUB, keyed.channel.publisher.endpoint)) for _ in range(3)]
        for gate in gates:
            gate.subscribe(b"")
        keyed.until(lambda: keyed.channel.acted["newcomers"])
        keyed.until(lambda: not any(gate.poll(0) for gate in gates) and keyed.channel.publisher.subscribers() == 3)
    assert any("refused the key of gate1: more than" in line for line in keyed.said)


def test_a_key_that_was_cut_for_what_it_sent_has_to_wait(keyed: Keyed) -> None:
    with keyed.connected(zmq.SUB, keyed.channel.publisher.endpoint) as many:
        for number in range(MOST_SUBSCRIPTIONS + 1):
            many.subscribe(f"evp1/line1/{number}")
        keyed.until(lambda: keyed.channel.acted["subscriptions"])
        keyed.until(lambda: keyed.channel.acted["penalty"])
        assert keyed.channel.acted["subscriptions"] == 1
        keyed.until(lambda: any("cut gate1 at 127.0.0.1: more than 16 subscriptions" in line for line in keyed.said))


def test_what_comes_faster_than_it_is_served_waits_and_is_read_later(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = keyed.channel.control
    monkeypatch.setattr(control, "_served", Paces(Pace(burst=5, a_second=10)))
    with keyed.connected(zmq.DEALER, control.endpoint) as gate:
        for nonce in range(20):
            gate.send(Ping(nonce=nonce).model_dump_json().encode())
        ends, heard = time.monotonic() + PATIENCE_S, list[Request]()
        while len(heard) < 5 and time.monotonic() < ends:
            heard += [asked for _, asked in control.requests(64)]
        assert len(heard) < 20
        assert not control.has_more
        assert 0 < control.due_in_s <= 0.1
        while len(heard) < 20 and time.monotonic() < ends:
            heard += [asked for _, asked in control.requests(64)]
    assert heard == [Ping(nonce=nonce) for nonce in range(20)]


class Told:
    """Replaces a control socket, and records the refusals."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def limit(self, peer: Peer, request: str, limit: str, why: str) -> None:
        self.refused.append(f"{limit}: {why}")


def test_a_peer_has_one_replay_at_a_time_and_all_together_a_few() -> None:
    told = Told()
    replays = Replays(cast(Any, told), "ab12", None)
    replays.remember(1, b"{}")
    for name in ("a", "a", "b", "c", "d", "e"):
        replays.ask(Peer((name.encode(),), name), AskReplay(epoch="ab12", from_seq=1, to_seq=1))
    assert told.refused == [
        "replays: the last replay is under way; ask again when it has ended",
        "replays: 4 replays are under way; ask again",
    ]


def test_triggers_beyond_the_pace_are_refused_and_each_of_the_others_has_a_verdict() -> None:
    options = ("--source", "demo", "--size", "320x180", "--rate", "30/s", "--trigger", "external")
    with running_line(*options) as line, line.asking() as ask:
        line.until_state(State.READY)
        for number in range(TRIGGERS.burst + 50):
            ask.socket.send(Trigger(part=f"A{number}").model_dump_json().encode())
        replies = [ask.next() for _ in range(TRIGGERS.burst + 50)]
        accepted = [reply.part for reply in replies if isinstance(reply, Triggered)]
        refused = [reply.why for reply in replies if isinstance(reply, Refused)]
        assert TRIGGERS.burst <= len(accepted) < TRIGGERS.burst + 50
        assert set(refused) == {"more than 100 triggers a second; trigger more slowly"}
        line.until(len(accepted))
    assert [verdict.part for verdict in line.verdicts] == accepted
