"""The socket between the supervisor and a child: one packet for each message, so that none arrives in part."""

import select
import socket
from typing import Any

from edge.station.process.wire import MORE, decode, encode

PIECE = 64 * 1024
"""Longest packet in bytes; a longer message is sent in several."""


class MessageSocket:
    """One end, with the methods of `multiprocessing.connection.Connection`, and like it passed on to a new process. One
    thread receives; those that send take turns.
    """

    def __init__(self, end: socket.socket) -> None:
        """`end` is of type SOCK_SEQPACKET."""
        self._begin(end)

    def _begin(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray(PIECE)
        self._view = memoryview(self._buffer)
        self._poll = select.poll()  # Connection.poll makes a selector at every call
        self._poll.register(end.fileno(), select.POLLIN)

    def __getstate__(self) -> socket.socket:
        """What is passed on: the descriptor."""
        return self._socket

    def __setstate__(self, end: socket.socket) -> None:
        """Begin with a descriptor that was passed on."""
        self._begin(end)

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; waits while the other side is far behind. Raises BrokenPipeError or ConnectionResetError if
        it is gone.
        """
        data = encode(message)
        if len(data) <= PIECE:
            self._socket.send(data)
            return
        for start in range(0, len(data), PIECE - 1):
            piece = data[start : start + PIECE - 1]
            self._socket.send(MORE + piece)
        self._socket.send(MORE)

    def recv(self) -> Any:
        """The next message, for which it waits. Raises EOFError if the other side is gone."""
        return self._received(self._read())

    def receive_now(self) -> Any | None:
        """The next message; None if there is none. Raises as `recv` does."""
        try:
            size = self._read(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        return self._received(size)

    def _read(self, flags: int = 0) -> int:
        """The size of the next packet; 0 at the end. If the other side is gone and had not read everything, the system
        says so first, once, and then gives the packets that it had sent.
        """
        try:
            return self._socket.recv_into(self._buffer, 0, flags)
        except ConnectionResetError:
            return self._socket.recv_into(self._buffer, 0, flags)

    def _received(self, size: int) -> Any:
        if not size:
            raise EOFError
        if self._buffer[:1] != MORE:
            return decode(self._view[:size])
        data = bytearray()
        while size > 1:
            data += self._view[1:size]
            size = self._read()
        if not size:
            raise EOFError
        return decode(memoryview(data))

    def poll(self, timeout_s: float | None = 0.0) -> bool:
        """Whether `recv` returns at once, after at most `timeout_s` seconds; None: for ever."""
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def pair() -> tuple[MessageSocket, MessageSocket]:
    """Both ends. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return MessageSocket(ours), MessageSocket(theirs)
