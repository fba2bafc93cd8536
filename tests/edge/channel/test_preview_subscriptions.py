"""Who subscribes to previews, and what waits for a viewer that does not read them."""

import os
import socket as sockets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zmq
from support.line import free_endpoint
from support.page import heartbeat
from support.records import until

from edge.channel.channel import Channel
from edge.channel.endpoints import VIEWERS, neighbour_endpoint
from edge.channel.limits import MOST_PREVIEW_BYTES
from edge.channel.preview import About, topic_of
from edge.channel.publisher import Publisher
from edge.drill.attacker import GREETING
from edge.verdict import Heartbeat

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


def test_messages_are_given_to_the_viewers_thread_only_while_one_is_connected() -> None:
    """A thread that is woken for nobody takes the interpreter from the one that publishes verdicts."""
    with publisher() as (station, endpoint):
        viewers = station._viewers
        assert viewers is not None
        given: list[bytes] = []
        put = viewers._given.put_nowait
        viewers._given.put_nowait = lambda frames: (given.append(frames[0]), put(frames))  # type: ignore[assignment]
        station.send(heartbeat())
        assert not given
        with viewer(endpoint, zmq.SUB) as one:
            one.subscribe(b"")
            until(lambda: _comes(station, one))
            assert given
        until(lambda: not viewers._previews.is_anybody_there)


def _comes(station: Publisher, viewer: "zmq.Socket[bytes]") -> bool:
    """Whether a heartbeat that is sent now, or was before, reaches the viewer."""
    station.send(heartbeat())
    return bool(viewer.poll(50))


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


@pytest.mark.parametrize("subscribed", [TOPIC, b""])
def test_previews_that_wait_for_several_viewers_which_do_not_read_have_one_limit_together(subscribed: bytes) -> None:
    with publisher() as (station, endpoint), ExitStack() as stack:
        stack.enter_context(asking(endpoint))
        until(lambda: station.wants_previews)
        before = _resident()
        for _ in range(4):  # each stops reading at another time, so that they do not share what waits for them
            stalled(stack, endpoint, subscribed)
            for _ in range(700):
                show(station)
        assert _resident() - before < 4 * MOST_PREVIEW_BYTES, "700 of them are 46 MB"


def test_viewers_that_do_not_read_previews_are_cut_and_the_others_miss_no_verdict() -> None:
    bound = free_endpoint()
    endpoint = neighbour_endpoint(bound, VIEWERS)
    with closing(Channel("line1", bound)) as channel, ExitStack() as stack:
        station, acted = channel.publisher, channel.doorkeeper.acted
        honest = stack.enter_context(viewer(endpoint, zmq.SUB))
        honest.subscribe(b"")
        silent = [stalled(stack, endpoint, topic) for topic in (TOPIC, b"", TOPIC)]
        until(lambda: station.wants_previews)
        heard, sent = Heard(), 0
        ends = time.monotonic() + 120
        while acted.get("memory", 0) < len(silent) and time.monotonic() < ends:
            for _ in range(10):
                show(station)
            sent += 1
            station.send(heartbeat(last_seq=sent))
            heard.read(honest, sent)
        assert acted.get("memory", 0) == len(silent)
        previews = heard.previews
        for one in silent:
            one.close()  # ZeroMQ would connect again
        stack.enter_context(asking(endpoint))
        until(lambda: station.wants_previews)
        while heard.previews == previews and time.monotonic() < ends:
            show(station)
            sent += 1
            station.send(heartbeat(last_seq=sent))
            heard.read(honest, sent)
        assert heard.previews > previews, "the memory of those that were cut is free again"
        assert heard.beats == list(range(1, sent + 1))


@dataclass
class Heard:
    """What a viewer has heard."""

    beats: list[int] = field(default_factory=list)
    previews: int = 0

    def read(self, socket: "zmq.Socket[bytes]", last: int) -> None:
        """Read until this heartbeat has come."""
        while (self.beats or [0])[-1] < last:
            assert socket.poll(60_000), "no heartbeat came"
            topic, payload, *_ = socket.recv_multipart()
            if topic == TOPIC:
                self.previews += 1
            else:
                self.beats.append(Heartbeat.model_validate_json(payload).last_seq)


LARGEST = b"\xff\xd8\xff" + bytes(65_000)


def show(station: Publisher) -> None:
    """Publish a preview, when the one before it has been given to ZeroMQ."""
    until(lambda: station._viewers is not None and station._viewers._given.empty())
    station.send_preview(About(station="line1", epoch="ab12", seq=1, width=640, height=360), LARGEST + os.urandom(9))


@contextmanager
def asking(endpoint: str) -> Iterator["zmq.Socket[bytes]"]:
    """A viewer that asks for the previews of the station, and reads them all."""
    is_over = threading.Event()

    def read(socket: "zmq.Socket[bytes]") -> None:
        while not is_over.is_set():
            if socket.poll(50):
                socket.recv_multipart()

    with viewer(endpoint, zmq.SUB) as socket:
        socket.subscribe(TOPIC)
        thread = threading.Thread(target=read, args=(socket,))
        thread.start()
        try:
            yield socket
        finally:
            is_over.set()
            thread.join()


def stalled(stack: ExitStack, endpoint: str, topic: bytes) -> "zmq.Socket[bytes]":
    """A viewer that reads nothing, with small buffers on its side."""
    context = stack.enter_context(zmq.Context())
    socket = stack.enter_context(context.socket(zmq.SUB))
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.RCVHWM, 1)
    socket.set(zmq.RCVBUF, 4096)
    socket.subscribe(topic)
    socket.connect(endpoint)
    time.sleep(0.5)  # it has subscribed
    return socket


def _resident() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
