"""Admission of peers to a station, and their removal; both sides log the reason. Real processes and TCP."""

import resource
import socket as sockets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq
from support.keyed_station import PATIENCE_S, KeyedStation, running_keyed_station
from support.line import free_endpoint, ran

from edge.channel.client_security import ClientKeys, read_client_keys, secure
from edge.channel.publisher import Publisher
from edge.channel.subscriber import Subscriber
from edge.security.certificate import Pair, fingerprint, spoken, to_z85
from edge.security.keystore import KeyStore
from edge.verdict import Verdict


@pytest.fixture
def station(store: KeyStore) -> Iterator[KeyedStation]:
    with running_keyed_station(store.folder) as station:
        yield station


def exported(store: KeyStore, name: str) -> ClientKeys:
    file = store.folder.parent / f"{name}.key"
    store.export(name, file)
    return read_client_keys(file)


class Listener:
    """A subscriber in its own thread, with the received messages and the log lines."""

    def __init__(self, endpoint: str, keys: ClientKeys | None) -> None:
        self.subscriber = Subscriber(endpoint, "line1", keys, self._said)
        self.log: list[str] = []
        self.seqs: list[int] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _said(self, line: str) -> None:
        self.log.append(line)

    def _listen(self) -> None:
        while not self._ends.is_set():
            for received in self.subscriber.messages(0.1):
                if isinstance(received.message, Verdict):
                    self.seqs.append(received.message.seq)
                if self._ends.is_set():
                    break

    def hears(self, more: int = 20) -> None:
        """Wait for `more` further verdicts."""
        wanted = len(self.seqs) + more
        _until(lambda: len(self.seqs) >= wanted, f"{more} more verdicts; it was told {self.log}")

    def is_told(self, *words: str) -> str:
        """Wait for a log line with these words, and return it."""

        def found() -> list[str]:
            return [line for line in self.log if all(word in line for word in words)]

        _until(lambda: bool(found()), f"a line with {words}; it was told {self.log}")
        return found()[0]

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.subscriber.close()


@contextmanager
def listening(endpoint: str, keys: ClientKeys | None) -> Iterator[Listener]:
    listener = Listener(endpoint, keys)
    try:
        yield listener
    finally:
        listener.close()


def _until(is_true: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.02)


def test_a_client_with_its_key_file_hears_every_verdict(store: KeyStore, station: KeyedStation) -> None:
    with listening(station.verdicts, exported(store, "gate")) as gate:
        gate.hears()
    assert gate.seqs == list(range(gate.seqs[0], gate.seqs[0] + len(gate.seqs)))
    assert gate.log == []


def test_an_unknown_client_key_is_refused_and_both_logs_name_it(store: KeyStore, station: KeyedStation) -> None:
    stranger = ClientKeys(Pair.new(), store.station().public)
    with listening(station.verdicts, stranger) as listener:
        key = spoken(fingerprint(stranger.own.public))
        listener.is_told("refuses this key", key)
        assert "127.0.0.1" in station.says("refused", key, "no client of this station")
    assert listener.seqs == []


def test_a_wrong_server_key_is_refused_and_both_logs_name_it(store: KeyStore, station: KeyedStation) -> None:
    mistaken = ClientKeys(exported(store, "gate").own, Pair.new().public)
    with listening(station.verdicts, mistaken) as listener:
        listener.is_told("not the station of this key file")
        station.says("refused", "expects another station's key")
    assert listener.seqs == []


def test_a_peer_without_keys_is_refused_and_both_logs_name_it(station: KeyedStation) -> None:
    with listening(station.verdicts, None) as listener:
        listener.is_told("asks for keys")
        station.says("speaks without a key")
    assert listener.seqs == []


def test_a_client_with_keys_hears_nothing_of_a_station_without_and_says_so(store: KeyStore) -> None:
    endpoint = free_endpoint()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = Publisher(context, "line1", endpoint)
    with listening(endpoint, exported(store, "gate")) as listener:
        listener.is_told("runs without keys")
    assert publisher.subscribers() == 0
    publisher.close()
    context.term()


def test_edge_listen_says_why_it_hears_nothing(store: KeyStore, station: KeyedStation) -> None:
    file = store.folder.parent / "laptop.key"
    store.add("laptop")
    store.export("laptop", file)
    store.revoke("laptop")
    options = ("--connect", station.verdicts, "--wait-s", 2)
    for extra, why in (((), "asks for keys"), (("--keys", file), "refuses this key (400)")):
        done = ran("listen", *options, *extra)
        assert done.returncode == 2
        assert why in done.stderr
    station.says("the key of laptop is revoked")


def test_a_revoked_client_is_cut_off_and_no_other_loses_a_verdict(store: KeyStore, station: KeyedStation) -> None:
    store.add("laptop")
    gate_keys, laptop_keys = exported(store, "gate"), exported(store, "laptop")
    with listening(station.verdicts, gate_keys) as gate, listening(station.verdicts, laptop_keys) as laptop:
        gate.hears()
        laptop.hears()
        store.revoke("laptop")
        station.says("laptop may no longer connect", "connections cut: 1")
        laptop.is_told("refuses this key")
        station.says("refused 127.0.0.1: the key of laptop is revoked")
        last = laptop.seqs[-1]
        gate.hears(50)
        assert laptop.seqs[-1] == last
    assert gate.seqs == list(range(gate.seqs[0], gate.seqs[0] + len(gate.seqs)))
    assert gate.log == []


def test_a_key_added_while_the_station_runs_is_admitted(store: KeyStore, station: KeyedStation) -> None:
    pair = Pair.new()
    with listening(station.verdicts, ClientKeys(pair, store.station().public)) as laptop:
        laptop.is_told("refuses this key")
        KeyStore(store.folder).add("laptop", to_z85(pair.public))
        laptop.hears()
    station.says("laptop may connect")


def test_a_name_given_to_a_new_key_does_not_let_the_revoked_one_stay(store: KeyStore, station: KeyedStation) -> None:
    old = exported(store, "gate")
    with listening(station.verdicts, old) as gate:
        gate.hears()
        store.revoke("gate")
        store.add("gate")
        gate.is_told("refuses this key")


@contextmanager
def dealing(endpoint: str, keys: ClientKeys) -> "Iterator[zmq.Socket[bytes]]":
    """A socket to the control endpoint."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.set(zmq.LINGER, 0)
    secure(dealer, keys)
    dealer.connect(endpoint)
    yield dealer
    dealer.close()
    context.term()


def test_a_message_carries_the_name_of_the_key_and_a_revoked_one_gets_no_answer(
    store: KeyStore, station: KeyedStation
) -> None:
    with dealing(station.control, exported(store, "gate")) as dealer:
        dealer.send(b"I am laptop")
        assert dealer.poll(PATIENCE_S * 1000)
        assert dealer.recv_multipart()[0] == b"gate"
        store.revoke("gate")
        station.says("gate may no longer connect", "connections cut: 1")
        dealer.send(b"still here")
        assert not dealer.poll(500)


def test_a_client_that_connected_and_was_silent_is_cut_at_its_first_message(
    store: KeyStore, station: KeyedStation
) -> None:
    with dealing(station.control, exported(store, "gate")) as dealer:
        watch = dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        assert watch.poll(PATIENCE_S * 1000)
        watch.recv_multipart()
        store.revoke("gate")
        station.says("gate may no longer connect", "connections cut: 0")
        dealer.send(b"hello")
        assert watch.poll(PATIENCE_S * 1000), "it was disconnected"
        assert not dealer.poll(0)
        dealer.disable_monitor()
        watch.close()


def test_a_flood_of_unknown_keys_and_of_noise_delays_nobody_and_fills_no_log(
    store: KeyStore, station: KeyedStation
) -> None:
    server, flood = store.station().public, zmq.Context()
    with listening(station.verdicts, exported(store, "gate")) as gate:
        gate.hears()
        for _ in range(300):
            dealer = flood.socket(zmq.DEALER)
            secure(dealer, ClientKeys(Pair.new(), server))
            dealer.connect(station.verdicts)
            with sockets.create_connection(station.verdicts.removeprefix("tcp://").split(":")) as noise:
                noise.sendall(b"\xff" * 100)
        gate.hears(100)
        station.says("no client of this station")
    flood.destroy(linger=0)
    assert gate.seqs == list(range(gate.seqs[0], gate.seqs[0] + len(gate.seqs)))
    assert len(station.log.read_text().splitlines()) < 30


def test_while_strangers_take_all_connections_a_client_is_admitted_and_a_revoked_one_cut(
    store: KeyStore, station: KeyedStation
) -> None:
    resource.prlimit(station.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    store.add("laptop")
    laptop_keys, gate_keys = exported(store, "laptop"), exported(store, "gate")
    where = (station.verdicts, station.control, station.verdicts)
    attacker = subprocess.Popen([sys.executable, "-m", "edge.drill.attacker", "connections", *where])
    try:
        with listening(station.verdicts, laptop_keys) as laptop:
            laptop.hears()
            station.says("connections have said nothing yet")
            with listening(station.verdicts, gate_keys) as gate:
                gate.hears()
                store.revoke("laptop")
                station.says("laptop may no longer connect", "connections cut: 1")
                laptop.is_told("refuses this key")
                last = laptop.seqs[-1]
                gate.hears(50)
                assert laptop.seqs[-1] == last
        assert attacker.poll() is None
    finally:
        attacker.kill()
        attacker.wait()


def test_a_rotated_key_is_for_the_next_run_and_the_station_says_so(store: KeyStore, station: KeyedStation) -> None:
    keys = exported(store, "gate")
    store.rotate()
    station.says("keeps the one it began with until it is restarted")
    with listening(station.verdicts, keys) as gate:
        gate.hears()


def test_a_damaged_file_in_the_folder_keeps_nobody_else_out(store: KeyStore, station: KeyedStation) -> None:
    keys = exported(store, "gate")
    bad = store.folder / "clients" / "bad.key"
    bad.touch(mode=0o600)
    station.says(str(bad), "damaged")
    with listening(station.verdicts, keys) as gate:
        gate.hears()
