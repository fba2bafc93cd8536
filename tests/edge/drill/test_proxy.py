"""The bad network of the drill, with real sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from edge.drill.proxy import Proxy
from edge.errors import ChannelError

PATIENCE_S = 20.0


def connected(endpoint: str) -> socket.socket:
    host, _, port = endpoint.removeprefix("tcp://").partition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


@contextlib.contextmanager
def answering(prefix: bytes) -> Iterator[str]:
    """Endpoint of a server that returns each message with a prefix."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(65536):
                peer.sendall(prefix + data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with answering(b"") as upstream, Proxy(upstream) as between:
        yield between


def received(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := peer.recv(65536)):
        data += more
    return data


def is_silent(peer: socket.socket, seconds: float = 0.2) -> bool:
    peer.settimeout(seconds)
    try:
        peer.recv(1)
    except TimeoutError:
        return True
    finally:
        peer.settimeout(PATIENCE_S)
    return False


def test_what_goes_in_comes_out_in_order(proxy: Proxy) -> None:
    data = bytes(range(256)) * 4000
    with connected(proxy.endpoint) as peer:
        threading.Thread(target=peer.sendall, args=(data,)).start()
        assert received(peer, len(data)) == data


def test_a_partition_holds_all_and_tells_nobody_and_a_flush_brings_all(proxy: Proxy) -> None:
    with connected(proxy.endpoint) as peer:
        peer.sendall(b"before")
        assert received(peer, 6) == b"before"
        proxy.partition()
        peer.sendall(b"one ")
        peer.sendall(b"two")
        assert is_silent(peer)
        proxy.flush()
        assert received(peer, 7) == b"one two"
        peer.sendall(b"after")
        assert received(peer, 5) == b"after"


def test_who_connects_during_a_partition_is_served_after_it(proxy: Proxy) -> None:
    proxy.partition()
    with connected(proxy.endpoint) as peer:
        peer.sendall(b"hello")
        assert is_silent(peer)
        proxy.flush()
        assert received(peer, 5) == b"hello"


def test_a_partition_holds_the_end_of_a_connection_back_too() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Proxy(f"tcp://127.0.0.1:{server.getsockname()[1]}") as proxy,
        connected(proxy.endpoint) as peer,
    ):
        theirs, _ = server.accept()
        proxy.partition()
        theirs.sendall(b"last words")
        theirs.close()
        assert is_silent(peer)
        proxy.flush()
        assert received(peer, 11) == b"last words"


def test_a_delay_comes_to_each_way_and_keeps_the_order(proxy: Proxy) -> None:
    with connected(proxy.endpoint) as peer:
        proxy.delay(100)
        begun = time.monotonic()
        for number in range(50):
            peer.sendall(b"%02d" % number)
        assert received(peer, 100) == b"".join(b"%02d" % number for number in range(50))
        assert time.monotonic() - begun >= 0.2
        proxy.delay(0)


def test_a_cut_resets_what_is_open_and_takes_new_ones(proxy: Proxy) -> None:
    with connected(proxy.endpoint) as peer:
        peer.sendall(b"x")
        assert received(peer, 1) == b"x"
        assert proxy.connections == 1
        proxy.cut()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
    with connected(proxy.endpoint) as peer:
        peer.sendall(b"y")
        assert received(peer, 1) == b"y"


def test_what_a_cut_finds_held_is_lost(proxy: Proxy) -> None:
    with connected(proxy.endpoint) as peer:
        proxy.partition()
        peer.sendall(b"never")
        proxy.cut()
        proxy.flush()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_refused_is_refused_and_what_is_open_stays(proxy: Proxy) -> None:
    with connected(proxy.endpoint) as peer:
        peer.sendall(b"x")
        assert received(peer, 1) == b"x"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connected(proxy.endpoint)
        peer.sendall(b"y")
        assert received(peer, 1) == b"y"
    endpoint = proxy.endpoint
    proxy.accept()
    assert proxy.endpoint == endpoint
    with connected(endpoint) as peer:
        peer.sendall(b"z")
        assert received(peer, 1) == b"z"


def test_the_upstream_can_be_switched(proxy: Proxy) -> None:
    with answering(b"other ") as other, connected(proxy.endpoint) as old:
        old.sendall(b"a")
        assert received(old, 1) == b"a"
        proxy.switch(other)
        with connected(proxy.endpoint) as new:
            new.sendall(b"b")
            assert received(new, 7) == b"other b"
        old.sendall(b"c")
        assert received(old, 1) == b"c"


def test_an_upstream_that_does_not_listen_cuts_the_client_off() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        upstream = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with Proxy(upstream) as proxy, pytest.raises(ConnectionResetError), connected(proxy.endpoint) as peer:
            peer.recv(1)


def test_nothing_is_left_behind(proxy: Proxy) -> None:
    before = set(threading.enumerate())
    with Proxy(proxy.endpoint) as second, connected(second.endpoint) as peer:
        peer.sendall(b"x")
        assert received(peer, 1) == b"x"
        second.partition()
    assert not [one for one in set(threading.enumerate()) - before if one.name == "edge-proxy"]
    with pytest.raises(ConnectionRefusedError):
        connected(second.endpoint)


@pytest.mark.parametrize("upstream", ["", "here", "tcp://here", "tcp://127.0.0.1:x", "ipc:///tmp/a", "127.0.0.1:5570"])
def test_what_is_no_endpoint_is_said_in_one_line(upstream: str) -> None:
    with pytest.raises(ChannelError, match="is no endpoint"):
        Proxy(upstream)


def test_zeromq_loses_nothing_in_a_partition_and_comes_back_after_a_cut() -> None:
    context = zmq.Context()
    try:
        publisher, subscriber = context.socket(zmq.XPUB), context.socket(zmq.SUB)
        publisher.set(zmq.XPUB_VERBOSER, 1)
        for one in (publisher, subscriber):
            one.set(zmq.RCVTIMEO, int(PATIENCE_S * 1000))
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        with Proxy(f"tcp://127.0.0.1:{port}") as proxy:
            subscriber.connect(proxy.endpoint)
            subscriber.subscribe(b"")
            assert publisher.recv() == b"\1"
            proxy.partition()
            for number in range(100):
                publisher.send(str(number).encode())
            assert not subscriber.poll(200)
            proxy.flush()
            assert [int(subscriber.recv()) for _ in range(100)] == list(range(100))
            proxy.cut()
            assert publisher.recv() == b"\0"
            while not publisher.poll(10):  # ZeroMQ subscribes again at the subscriber's next call
                subscriber.poll(10)
            assert publisher.recv() == b"\1"
            publisher.send(b"again")
            assert subscriber.recv() == b"again"
    finally:
        context.destroy(linger=0)
