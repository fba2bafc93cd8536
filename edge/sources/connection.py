"""The connection to a camera on the network: what FFmpeg is told, and its refusals in one line each."""

import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from edge.errors import SourceError
from edge.sources.address import scheme

if TYPE_CHECKING:
    from av.container import InputContainer

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp")

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Of those that answer a connection before they send pictures."""

KNOCKS_S = 0.05
"""From one knock that was refused to the next; one that is not answered at all is given up after ten times as long."""


def connect(address: str, name: str, open_s: float, read_s: float, awaited_s: float = 0.0) -> "InputContainer":
    """Open the address and find a video stream in it. `name` is what errors call it. Raises SourceError.

    `open_s` is the patience with a camera until it has answered, `read_s` that with a silent connection from then on.
    The port of one that was lost is waited for, `awaited_s` at most.
    """
    try:
        import av
        import av.error
    except ImportError:
        raise SourceError(f"{name}: streams need the package av; pip install 'edge-inspect[streams]'") from None
    kind = scheme(address)
    if kind not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise SourceError(f"{name}: no stream begins with {kind}://; give {known}…")
    plain, options = _options(address, name)
    _await(plain, awaited_s)
    until = time.monotonic() + open_s
    try:
        container = av.open(plain, options=options, timeout=(open_s, read_s))
    except (av.error.FFmpegError, UnicodeError, ValueError) as error:
        has_waited = time.monotonic() > until  # a handshake cut short then is called invalid data
        raise SourceError(_silent(name, open_s) if has_waited else explained(name, error, open_s)) from None
    if not container.streams.video:
        container.close()
        raise SourceError(f"{name}: there is no video in this stream")
    if container.format.name == "hls":
        container.close()
        raise SourceError(f"{name}: HLS shows what was seconds ago; give the camera's rtsp:// address")
    return container


def _await(address: str, patience_s: float) -> None:
    """Return when the address answers, or when patience is over."""
    until = time.monotonic() + patience_s
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return
    while parts.scheme in PORTS and host is not None and time.monotonic() < until:
        try:
            socket.create_connection((host, port), 10 * KNOCKS_S).close()
        except OSError:
            time.sleep(KNOCKS_S)
        else:
            return


def _options(address: str, name: str) -> tuple[str, dict[str, str]]:
    """The address without what is meant for us, and what FFmpeg is told."""
    options = {"fflags": "nobuffer", "fpsprobesize": "0"}  # nobody asks for the rate; finding it takes half a second
    if scheme(address) not in ("rtsp", "rtsps"):
        return address, options
    try:
        parts = urlsplit(address)
    except ValueError:
        return address, options
    asked = parse_qsl(parts.query, keep_blank_values=True)
    transport = dict(asked).get("transport", "tcp")
    if transport not in ("tcp", "udp"):
        raise SourceError(f"{name}: transport is tcp or udp")
    if "transport" in dict(asked):
        rest = urlencode([(key, value) for key, value in asked if key != "transport"])
        address = urlunsplit(parts._replace(query=rest))
    return address, options | {"rtsp_transport": transport, "allowed_media_types": "video"}


def explained(name: str, error: Exception, patience_s: float) -> str:
    """One line, without the error's own words: they repeat the address with its password."""
    import av.error

    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            return f"{name}: user and password are refused; give them as {scheme(name)}://USER:PASSWORD@HOST/…"
        case av.error.HTTPNotFoundError():
            return f"{name}: the camera has no stream of this path"
        case av.error.ConnectionRefusedError():
            return f"{name}: nothing answers at this host and port; check both, and that the camera is on"
        case av.error.ExitError() | av.error.TimeoutError():
            return _silent(name, patience_s)
        case av.error.InvalidDataError():
            return f"{name}: what comes is no video that FFmpeg knows"
        case av.error.FFmpegError() if error.errno == 5:  # FFmpeg says no more of names that nobody knows
            return f"{name}: the host cannot be reached, or broke off; check its name and the network"
        case av.error.FFmpegError():
            return f"{name}: {error.strerror}"
    return f"{name}: no address that can be opened"


def _silent(name: str, for_s: float) -> str:
    return f"{name}: silent for {for_s:.0f} s; check address, cable and power of the camera"
