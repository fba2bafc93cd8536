"""Binding of sockets: to an I/O thread, with one-line errors, and for paths with owner-only permissions."""

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
"""The context's I/O threads, as bits, of each socket: a flood on one socket does not delay the others."""

IO_THREADS = 3

_AGAIN_S = 0.2
_IPC = "ipc://"

_T = TypeVar("_T")


def bind(socket: "zmq.Socket[bytes]", endpoint: str, option: str) -> str:
    """Bind, and return the endpoint with the actual port. `option` is the flag that changes the endpoint.

    The file of an `ipc://` path has mode 0600. The file of a dead station is replaced.

    Raises TakenError if the endpoint is in use, ChannelError if it is invalid; the socket is closed then.
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
    """Assign this socket to one of the context's I/O threads, if it has several. Call it before the socket is bound."""
    if int(socket.context.get(zmq.IO_THREADS)) >= IO_THREADS:
        socket.set(zmq.AFFINITY, thread)


def patiently(bind: Callable[[], _T], say: Callable[[str], None]) -> _T:
    """The result of `bind`. While it raises TakenError it is retried for BIND_PATIENCE_S; `say` logs that once."""
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
    """Raise ChannelError if another user could place a socket at an `ipc://` path, or if the path is invalid.

    Users who can write in its folder could; an abstract name, with `@`, has no folder and no permissions.
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
    """Bind a path. ZeroMQ would silently remove what lies there: a live socket, or a file of any kind."""
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
    """Whether a process listens at a path, even if it is too busy to answer."""
    with network.socket(network.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _taken(endpoint: str, option: str) -> TakenError:
    remedy = f"another program, such as a station, has it; stop that one, or choose another endpoint with {option}"
    return TakenError(f"{endpoint} is in use: {remedy}")
