"""Binding a socket: on its I/O thread, with every failure said in one line, at a path that only its owner can open."""

import errno
import os
import socket as network
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import zmq

from edge.channel.limits import BIND_PATIENCE_S
from edge.errors import ChannelError, TakenError

VERDICTS_THREAD, CONTROL_THREAD, VIEWERS_THREAD = 1, 2, 4
"""Which of the context's I/O threads, as a bit, reads which socket: a flood on one is not read in another's time."""

IO_THREADS = 3

_AGAIN_S = 0.2
_IPC = "ipc://"

_T = TypeVar("_T")


def bind(socket: "zmq.Socket[bytes]", endpoint: str, option: str) -> str:
    """Bind, and return the endpoint with the port that was taken. `option` is the flag that chooses another one.

    The file of an `ipc://` path has mode 0600. One that a dead station left is replaced.

    Raises TakenError if the endpoint is in use, ChannelError if it is none; the socket is closed then.
    """
    try:
        if endpoint.startswith(_IPC):
            _bind_path(socket, endpoint)
        else:
            socket.bind(endpoint)
    except ChannelError:
        socket.close(0)
        raise
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == zmq.EADDRINUSE:
            raise _taken(endpoint, option) from error
        raise ChannelError(
            f"cannot bind {endpoint}: {error.strerror}; an endpoint looks like tcp://127.0.0.1:5570"
        ) from error
    last = socket.get(zmq.LAST_ENDPOINT)
    return last.decode().rstrip("\0") if isinstance(last, bytes) else str(last)


def take_thread(socket: "zmq.Socket[bytes]", thread: int) -> None:
    """Let one of the context's I/O threads, if it has several, read this socket. To be called before it is bound."""
    if int(socket.context.get(zmq.IO_THREADS)) >= IO_THREADS:
        socket.set(zmq.AFFINITY, thread)


def patiently(bind: Callable[[], _T], say: Callable[[str], None]) -> _T:
    """What `bind` returns. While it raises TakenError it is tried again, for BIND_PATIENCE_S, which is said once."""
    ends = time.monotonic() + BIND_PATIENCE_S
    is_said = False
    while True:
        try:
            return bind()
        except TakenError as error:
            if time.monotonic() >= ends:
                raise
            if not is_said:
                say(f"{error}; trying again for {BIND_PATIENCE_S:g} s")
                is_said = True
        time.sleep(_AGAIN_S)


def check_path(endpoint: str) -> None:
    """Raise ChannelError if another user could put a socket of his own at an `ipc://` path, or where it is none.

    Who may write in its folder may; an abstract name, with `@`, has no folder and no permissions.
    """
    path = endpoint.removeprefix(_IPC)
    if path == endpoint:
        return
    if path.startswith("@") or not path.startswith("/"):
        raise ChannelError(f"{endpoint}: give an absolute path, in a folder that only its owner can write")
    folder = Path(path).parent
    try:
        found = folder.stat()
    except OSError as error:
        raise ChannelError(f"{endpoint}: {folder}: {error.strerror}; make it: mkdir -m 700 {folder}") from error
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        raise ChannelError(
            f"{endpoint}: other users can write in {folder} and so speak as the station; take a folder of your own: "
            "mkdir -m 700"
        )


def _bind_path(socket: "zmq.Socket[bytes]", endpoint: str) -> None:
    """Bind a path. ZeroMQ removes without a word what lies there: a live socket, or a file of any kind."""
    path = endpoint.removeprefix(_IPC)
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        mode = 0
    if mode and not stat.S_ISSOCK(mode):
        raise ChannelError(f"{endpoint}: {path} is there and is no socket; choose another path")
    if mode and _is_answered(path):
        raise zmq.ZMQError(zmq.EADDRINUSE)
    before = os.umask(0o177)
    try:
        socket.bind(endpoint)
    finally:
        os.umask(before)


def _is_answered(path: str) -> bool:
    """Whether somebody listens at a path, though he may be too busy to answer."""
    with network.socket(network.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _taken(endpoint: str, option: str) -> TakenError:
    remedy = f"another station runs there; stop it, or choose another endpoint with {option}"
    return TakenError(f"{endpoint} is in use: {remedy}")
