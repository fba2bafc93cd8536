"""Limits of the channel that no honest peer reaches, and those that a slow attacker does."""

import os
import socket as sockets
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running import free_endpoint

from edge.channel import connections
from edge.channel.channel import Channel
from edge.channel.connections import Connection, Connections
from edge.channel.control import Acknowledge, Fate
from edge.channel.credentials import read_client_keys
from edge.channel.endpoints import CONTROL, beside
from edge.channel.keystore import KeyStore
from edge.channel.limits import CONTROL_ALLOWANCE, MOST_GROWTH, PUBLISHED_ALLOWANCE, Allowance
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.gate import Rules

SECOND = 1_000_000_000


class Peer:
    """A connection of which a test says how many bytes came; the time is the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowance: Allowance) -> None:
        self.cuts: list[tuple[str, str]] = []
        self.watch = Connections(lambda *_: None, lambda _, limit, why: self.cuts.append((limit, why)))
        self.pair = sockets.socketpair()
        number = self.pair[0].fileno()
        door: Any = SimpleNamespace(allowance=allowance, has_keys=True)
        self.connection = Connection(number, os.fstat(number).st_ino, "192.0.2.7", SECOND, door)
        self.watch._open[number] = self.connection
        self.allowance, self.received, self.now = allowance, 0, SECOND
        monkeypatch.setattr(self.watch, "_received", lambda _: self.received)

    def sends(self, a_second: int, seconds: int) -> None:
        """So many bytes each second, none of which ends a message."""
        for _ in range(seconds):
            self.received += a_second
            self.now += SECOND
            self.watch._look_at(self.connection, self.allowance, self.now)


@pytest.mark.parametrize("allowance", [CONTROL_ALLOWANCE, PUBLISHED_ALLOWANCE], ids=["control", "published"])
def test_signs_of_life_alone_are_never_taken_for_a_message_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, allowance: Allowance
) -> None:
    peer = Peer(monkeypatch, allowance)
    peer.sends(10 * 64, 86_400)
    assert peer.cuts == [], "ten encrypted pings of ZeroMQ a second, for a day"
    peer.sends(1_200, 600)
    assert [limit for limit, _ in peer.cuts] == ["message"]


def test_for_each_growth_of_memory_one_connection_is_cut_that_ended_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer, memory = Peer(monkeypatch, CONTROL_ALLOWANCE), [0]
    monkeypatch.setattr(connections, "resident_bytes", lambda: memory[0])
    peer.watch._resident = 0
    peer.sends(640, 60)
    peer.watch._bound_growth()
    assert peer.cuts == []
    memory[0] = MOST_GROWTH
    peer.watch._bound_growth()
    assert peer.cuts == [("memory", "37 kB without a message, while memory grew")]
    peer.connection.is_cut = False
    peer.watch._bound_growth()
    assert len(peer.cuts) == 1, "memory that stays where it is, is not the next connection's"


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
    where = Endpoint(endpoint, beside(endpoint, CONTROL), read_client_keys(tmp_path / "gate1.key"))
    gate = Controller([where], "line1", "gate1", SteadyBelt(1.0, 0.05), lambda decision: None, Rules())
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
