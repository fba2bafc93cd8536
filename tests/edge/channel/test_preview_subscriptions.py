"""Who subscribes to previews, and what waits for a viewer that does not read them."""

import os
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zmq
from support.line import free_endpoint
from support.records import until

from edge.channel.endpoints import VIEWERS, neighbour_endpoint
from edge.channel.limits import SHOWN_WAITING as SHOWN_WAITING
from edge.channel.preview import About, topic_of
from edge.channel.publisher import Publisher
from edge.drill.attacker import GREETING

TOPIC = topic_of("line1")


@contextmanager
def publisher() -> Iterator[tuple[Publisher, str]]:
    """A publisher without keys, and the endpoint of its viewers."""
    endpoint = free_endpoint()
    viewers = neighbour_endpoint(endpoint, VIEWERS)
    with zmq.Context() as context:
        running = Publisher(context, "line1", endpoint, viewers)
        try:
            yield running, viewers
        finally:
            running.close()


@contextmanager
def viewer(endpoint: str, kind: int = zmq.XSUB) -> Iterator["zmq.Socket[bytes]"]:
    """A peer that says what it likes about its subscriptions."""
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(endpoint)
        yield socket


@pytest.mark.parametrize("end", ["unsubscribes", "disconnects"])
def test_previews_end_with_a_viewer_that_has_subscribed_several_times(end: str) -> None:
    with publisher() as (station, endpoint):
        with viewer(endpoint) as twice:
            for _ in range(3):
                twice.send(b"\1" + TOPIC)
            until(lambda: station.wants_previews)
            time.sleep(0.5)  # the other two subscriptions are read, too
            if end == "unsubscribes":
                for _ in range(3):
                    twice.send(b"\0" + TOPIC)  # ZeroMQ sends only the last of them
                until(lambda: not station.wants_previews)
        until(lambda: not station.wants_previews)


def test_a_viewer_that_ends_subscriptions_which_it_never_had_takes_previews_from_nobody() -> None:
    with publisher() as (station, endpoint), viewer(endpoint) as honest:
        honest.send(b"\1" + TOPIC)
        until(lambda: station.wants_previews)
        with _raw_subscriber(endpoint) as other:
            for _ in range(5):
                other.sendall(_frame(b"\0" + TOPIC))
            time.sleep(1.0)
            assert station.wants_previews


def _frame(payload: bytes) -> bytes:
    return bytes([0, len(payload)]) + payload


@contextmanager
def _raw_subscriber(endpoint: str) -> Iterator[sockets.socket]:
    """A connection after its handshake as SUB, without ZeroMQ, which sends no end of what it has not begun."""
    url = urlsplit(endpoint)
    with sockets.create_connection((url.hostname, url.port), 60) as connection:
        connection.sendall(GREETING)
        came = 0
        while came < len(GREETING):
            came += len(connection.recv(len(GREETING) - came))
        ready = b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
        connection.sendall(bytes([4, len(ready)]) + ready)
        assert connection.recv(2)
        time.sleep(0.2)  # ZeroMQ refuses data that arrive in one segment with the handshake
        yield connection


def test_what_waits_for_a_viewer_that_does_not_read_is_bounded_with_previews_among_it() -> None:
    largest = b"\xff\xd8\xff" + bytes(65_000)
    with publisher() as (station, endpoint), viewer(endpoint, zmq.SUB) as socket:
        socket.set(zmq.RCVHWM, 1)
        socket.subscribe(TOPIC)
        until(lambda: station.wants_previews)
        before = _resident()
        for seq in range(1, 1501):
            about = About(station="line1", epoch="ab12", seq=seq, width=640, height=360)
            until(lambda: station._viewers is not None and station._viewers._given.empty())
            station.send_preview(about, largest)
        assert _resident() - before < 1.5 * SHOWN_WAITING * len(largest), "1500 of them are 98 MB"


def _resident() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
