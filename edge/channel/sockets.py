"""Binding a socket, with every failure said in one line."""

import os
import socket as network

import zmq

from edge.errors import ChannelError


def bind(socket: "zmq.Socket[bytes]", endpoint: str, option: str) -> str:
    """Bind, and return the endpoint with the port that was taken. `option` is the flag that chooses another one.

    Raises ChannelError if the endpoint is in use or is none; the socket is closed then.
    """
    try:
        if _is_answered(endpoint):
            raise zmq.ZMQError(zmq.EADDRINUSE)
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == zmq.EADDRINUSE:
            remedy = f"another station runs there; stop it, or choose another endpoint with {option}"
            raise ChannelError(f"{endpoint} is in use: {remedy}") from error
        raise ChannelError(
            f"cannot bind {endpoint}: {error.strerror}; an endpoint looks like tcp://127.0.0.1:5570"
        ) from error
    last = socket.get(zmq.LAST_ENDPOINT)
    return last.decode().rstrip("\0") if isinstance(last, bytes) else str(last)


def _is_answered(endpoint: str) -> bool:
    """Whether somebody listens at an `ipc://` path: ZeroMQ would take it away from him without a word."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or not os.path.exists(path):
        return False
    with network.socket(network.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
