"""A hostile peer of a station in a process of its own: it repeats one attack as fast as possible until it is killed.

`python -m edge.drill.attacker FLOOD VERDICTS CONTROL VIEWERS [KEYS]`; FLOOD is one of `FLOODS`, KEYS a file that
`edge-keys export` wrote. It runs at the lowest priority, because an attacker on another machine would use no CPU here.
"""

import itertools
import os
import socket as sockets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import zmq

from edge.channel.client_security import ClientKeys, read_client_keys, secure
from edge.channel.control_messages import Acknowledge, AskReplay, Fate, Hello, Request, Trigger, Welcome, parse_reply
from edge.security.certificate import Pair

GREETING = b"\xff" + b"\0" * 7 + b"\x01\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32
"""Greeting of ZMTP 3.0 without encryption."""

_READY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
READY = bytes([4, len(_READY)]) + _READY
FRAME_OF_MANY = b"\x01\x00"
"""An empty frame of a message that continues."""

LAST_FRAME = b"\x00\x00"

MOST_OPEN = 4_000
MOST_TRICKLES = 100
SETTLES_S = 0.05
LONG_TOPIC = 100
PATIENCE_S = 1.0


@dataclass(frozen=True)
class Target:
    """The endpoints of a station, and the attacker's keys, if any."""

    verdicts: str
    control: str
    viewers: str
    keys: ClientKeys | None

    @property
    def endpoints(self) -> tuple[str, str, str]:
        """Verdicts, control, viewers."""
        return self.verdicts, self.control, self.viewers


@contextmanager
def _connected(kind: int, endpoint: str, keys: ClientKeys | None) -> "Iterator[zmq.Socket[bytes]]":
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDTIMEO, int(PATIENCE_S * 1000))
        if keys is not None:
            secure(socket, keys)
        socket.connect(endpoint)
        yield socket


def _tcp(endpoint: str) -> sockets.socket:
    url = urlsplit(endpoint)
    return sockets.create_connection((url.hostname, url.port), PATIENCE_S)


@contextmanager
def greeted(endpoint: str, settles_s: float = SETTLES_S) -> Iterator[sockets.socket]:
    """A connection without encryption after its handshake. Raises OSError."""
    with _tcp(endpoint) as connection:
        connection.sendall(GREETING)
        came = 0
        while came < len(GREETING):
            piece = connection.recv(len(GREETING) - came)
            if not piece:
                raise ConnectionResetError
            came += len(piece)
        connection.sendall(READY)
        connection.recv(2)
        time.sleep(settles_s)  # ZeroMQ refuses data that arrive in one segment with the handshake
        yield connection


def connections(target: Target) -> None:
    """Silent connections, as many as possible; closed ones are opened again."""
    with ExitStack() as held:
        for number in itertools.count():
            with suppress(OSError):
                held.enter_context(_tcp(target.endpoints[number % 3]))
            if number % MOST_OPEN == MOST_OPEN - 1:
                held.pop_all().close()


def noise(target: Target) -> None:
    """Random bytes instead of a handshake, and handshakes that break off."""
    for number in itertools.count():
        with suppress(OSError), _tcp(target.endpoints[number % 3]) as connection:
            connection.sendall(GREETING + READY if number % 2 else os.urandom(200))
            connection.sendall(os.urandom(1 << 16))


def strangers(target: Target) -> None:
    """Handshakes with unknown keys. Without the station's public key the station sees them as noise."""
    server = target.keys.station if target.keys else Pair.new().public
    while True:
        with zmq.Context() as context:
            for endpoint in target.endpoints * 10:
                socket = context.socket(zmq.DEALER)
                secure(socket, ClientKeys(Pair.new(), server))
                socket.connect(endpoint)
            time.sleep(0.05)
            context.destroy(linger=0)


def subscriptions(target: Target) -> None:
    """Long topics, all distinct, to viewers and verdicts in turn."""
    for number in itertools.count():
        with _connected(zmq.SUB, (target.viewers, target.verdicts)[number % 2], target.keys) as socket:
            for topic in range(5_000):
                socket.subscribe(f"{number}-{topic}-".ljust(LONG_TOPIC, "x"))
            time.sleep(0.5)


def endless(target: Target) -> None:
    """A message that never ends. With keys, where each frame is encrypted, a message of very many frames."""
    if target.keys is None:
        while True:
            with suppress(OSError), greeted(target.control) as connection:
                while True:
                    connection.sendall(FRAME_OF_MANY * 10_000)
    while True:
        with _connected(zmq.DEALER, target.control, target.keys) as socket, suppress(zmq.Again):
            socket.send_multipart([b""] * 200_000)
            time.sleep(0.5)


def frames(target: Target) -> None:
    """Complete messages of very many frames, each below the limits on bytes."""
    if target.keys is None:
        while True:
            with suppress(OSError), greeted(target.control) as connection:
                connection.sendall(FRAME_OF_MANY * 100_000 + LAST_FRAME)
                while connection.recv(1 << 16):
                    pass
    while True:
        with _connected(zmq.DEALER, target.control, target.keys) as socket, suppress(zmq.Again):
            socket.send_multipart([b""] * 8_000)
            time.sleep(0.01)


def trickle(target: Target) -> None:
    """Unfinished messages over many connections, each of which stays within the limits of one connection."""
    while True:
        with suppress(OSError), ExitStack() as held:
            open_ = [held.enter_context(greeted(target.control, 0.0)) for _ in range(MOST_TRICKLES)]
            time.sleep(SETTLES_S)
            for connection in open_:
                connection.sendall(FRAME_OF_MANY * 3_500)
            while True:
                for connection in open_:
                    connection.sendall(FRAME_OF_MANY * 250)
                time.sleep(0.5)


def _requests(target: Target, request: Callable[[str], Request], reads: bool) -> None:
    """Send requests as fast as possible; `request` makes one from the epoch. `reads`: whether answers are read."""
    while True:
        with _connected(zmq.DEALER, target.control, target.keys) as socket, suppress(zmq.Again):
            asked = request(_epoch(socket)).model_dump_json().encode()
            for _ in range(20_000):
                socket.send(asked)
                while reads and socket.poll(0):
                    socket.recv()


def _epoch(socket: "zmq.Socket[bytes]") -> str:
    """The station's epoch, asked with a hello; "0" without an answer."""
    socket.send(Hello(client="attacker").model_dump_json().encode())
    while socket.poll(int(PATIENCE_S * 1000)):
        reply = parse_reply(socket.recv())
        if isinstance(reply, Welcome):
            return reply.epoch
    return "0"


def triggers(target: Target) -> None:
    """Triggers for parts that do not exist."""
    _requests(target, lambda epoch: Trigger(part="forged"), reads=True)


def replays(target: Target) -> None:
    """Replays of the whole run, repeatedly, without reading the answers."""
    _requests(target, lambda epoch: AskReplay(epoch=epoch, from_seq=1, to_seq=2**53), reads=False)


def acknowledgements(target: Target) -> None:
    """Acknowledgements, repeated, that the first part was rejected."""
    _requests(target, lambda epoch: Acknowledge(epoch=epoch, seq=1, fate=Fate.REJECTED), reads=True)


_ALL = (connections, noise, strangers, subscriptions, endless, frames, trickle, triggers, replays, acknowledgements)
FLOODS: dict[str, Callable[[Target], None]] = {flood.__name__: flood for flood in _ALL}


def main(flood: str, verdicts: str, control: str, viewers: str, keys: str | None = None) -> None:
    """Run one flood forever."""
    os.nice(19)
    FLOODS[flood](Target(verdicts, control, viewers, read_client_keys(Path(keys)) if keys else None))


if __name__ == "__main__":
    main(*sys.argv[1:])
