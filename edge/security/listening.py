"""Opens a listening TCP socket at an address that a person gave, on loopback unless the network is meant."""

import os
import socket

from edge.errors import ChannelError
from edge.security.loopback import check_reach


def listen(
    endpoint: str, subject: str, danger: str, is_meant: bool, example: int, statement: str = "--insecure"
) -> socket.socket:
    """Listen at `endpoint`, HOST:PORT, or PORT on loopback. `subject` names what is served there in errors.

    `danger` says what anybody on the network can do then; `is_meant` that the person gave `statement`. `example` is a
    port. Raises ChannelError, in one line, if the endpoint is invalid, in use, or open to the network without that.
    """
    host, port = _parse(endpoint, subject, example)
    check_reach(host, is_meant, f"{subject} at {endpoint} {danger}", "use 127.0.0.1", statement)
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # create_server adds the address
        raise ChannelError(f"cannot serve {subject} at {endpoint}: {reason}; choose another port") from error


def bound(listening: socket.socket) -> str:
    """HOST:PORT of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(endpoint: str, subject: str, example: int) -> tuple[str, int]:
    """Address and port of HOST:PORT or PORT."""
    host, _, port = endpoint.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    try:
        number = int(port)
        if not 0 <= number <= 65535:
            raise ValueError(number)
        address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0][4][0]
    except (ValueError, OSError) as error:
        raise ChannelError(
            f"{endpoint!r} is no place for {subject}; one looks like 127.0.0.1:{example} or {example}"
        ) from error
    return str(address).partition("%")[0], number
