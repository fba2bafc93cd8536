"""Options of the sockets of tag writers."""

import socket
import struct


def drop_unsent(connection: socket.socket) -> None:
    """Let `close`, also that of a process that is killed, drop what is not sent: no write may arrive later."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
