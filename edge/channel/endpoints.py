"""The endpoints of a station's sockets: verdicts at one endpoint, control and viewers next to it."""

import contextlib
import re
import socket

from edge.errors import ChannelError

STATION, VERDICTS = "line1", "tcp://127.0.0.1:5570"
"""Name and verdict endpoint of a station, unless others are given."""

CONTROL, VIEWERS = 1, 2
"""Offset from the port of the verdicts."""

LAST_PORT = 65535

_NAMES = {CONTROL: "control", VIEWERS: "viewers"}


def neighbour_endpoint(verdicts: str, offset: int) -> str:
    """The endpoint `offset` ports after that of the verdicts; for `ipc://PATH`, `ipc://PATH.control` or `.viewers`.

    An invalid endpoint is returned unchanged, for ZeroMQ to refuse. Raises ChannelError if there is no such port.
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


def has_port(endpoint: str) -> bool:
    """Whether the port of an endpoint is from 1 to 65535, or it has none: ZeroMQ connects to larger ones in silence."""
    match = re.search(r":(\d+)$", endpoint)
    return match is None or 0 < int(match[1]) <= LAST_PORT


def further(verdicts: str, number: int) -> str:
    """The verdict endpoint of the station with index `number` from 0, if that of the first is `verdicts`: three ports
    apart; for `ipc://PATH`, `ipc://PATH.NUMBER`. An invalid endpoint is returned unchanged.

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


def free_endpoint(stations: int = 1) -> str:
    """A loopback endpoint whose ports, for the verdicts, control and viewers of `stations` stations, are free now: for
    tests and measurements.
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
