"""Where a station's sockets are: verdicts at one endpoint, control and viewers beside it."""

import contextlib
import ipaddress
import re
import socket

from edge.errors import ChannelError

CONTROL, VIEWERS = 1, 2
"""What is added to the port of the verdicts."""

LAST_PORT = 65535

_NAMES = {CONTROL: "control", VIEWERS: "viewers"}


def neighbour_endpoint(verdicts: str, offset: int) -> str:
    """The endpoint `offset` ports after that of the verdicts; of `ipc://PATH`, `ipc://PATH.control` or `.viewers`.

    What is no endpoint comes back as it is, for ZeroMQ to refuse. Raises ChannelError if there is no such port.
    """
    if verdicts.startswith("ipc://"):
        return f"{verdicts}.{_NAMES[offset]}"
    match = re.search(r":(\d+)$", verdicts)
    if match is None:
        return verdicts
    port = int(match[1]) + offset
    if port > LAST_PORT >= port - offset:
        raise ChannelError(f"{verdicts} has no port {offset} after it for {_NAMES[offset]}; give --{_NAMES[offset]}")
    return f"{verdicts[: match.start()]}:{port}"


def further(verdicts: str, number: int) -> str:
    """Where the verdicts of a station are that follows `number` others, the first of which is at `verdicts`: three
    ports on for each; of `ipc://PATH`, `ipc://PATH.NUMBER`. What is no endpoint comes back as it is.

    Raises ChannelError if there is no such port.
    """
    match = re.search(r":(\d+)$", verdicts)
    if number == 0 or (match is None and not verdicts.startswith("ipc://")):
        return verdicts
    if match is None:
        return f"{verdicts}.{number}"
    port = int(match[1]) + number * (VIEWERS + 1)
    if port > LAST_PORT:
        raise ChannelError(f"{verdicts} has no port {port} for station number {number + 1}; give it a bind of its own")
    return f"{verdicts[: match.start()]}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_endpoint(stations: int = 1) -> str:
    """A loopback endpoint for the verdicts of so many stations that nobody uses now, nor those beside it: for
    trials and measurements.
    """
    while True:
        with contextlib.ExitStack() as probes:
            port = 0
            try:
                for offset in range((VIEWERS + 1) * stations):
                    probe = probes.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port and port + offset))
                    port = port or probe.getsockname()[1]
            except (OSError, OverflowError):
                continue
            return f"tcp://127.0.0.1:{port}"
