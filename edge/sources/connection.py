"""The connection to a camera on the network: what FFmpeg is told, and its refusals in one line each."""

import socket
import ssl
import time
from base64 import b64encode
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

from edge.errors import SourceError
from edge.sources.address import redacted, scheme

if TYPE_CHECKING:
    from av.container import InputContainer

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp")

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Of those that answer a connection before they send pictures."""

KNOCKS_S = 0.05
"""From one knock that was refused to the next; one that is not answered at all is given up after ten times as long."""


MOST_REDIRECTS = 5
"""Within one host; a server that sends on more often goes round in circles."""


def connect(address: str, name: str, open_s: float, read_s: float, awaited_s: float = 0.0) -> "InputContainer":
    """Open the address and find a video stream in it. `name` is what errors call it. Raises SourceError.

    `open_s` is the patience with a camera until it has answered, `read_s` that with a silent connection from then on.
    The port of one that was lost is waited for, `awaited_s` at most.
    """
    kind = scheme(address)
    if kind not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise SourceError(f"{name}: no stream begins with {kind}://; give {known}…")
    plain, options = _options(address, name)
    _await(plain, awaited_s)
    container = _opened(plain, name, options, open_s, read_s)
    if not container.streams.video:
        container.close()
        raise SourceError(f"{name}: there is no video in this stream")
    if container.format.name == "hls":
        container.close()
        raise SourceError(f"{name}: HLS shows what was seconds ago; give the camera's rtsp:// address")
    return container


def _opened(address: str, name: str, options: dict[str, str], open_s: float, read_s: float) -> "InputContainer":
    """What FFmpeg opens at this address, or where its host sends us on to."""
    import av
    import av.error

    for _ in range(1 + MOST_REDIRECTS):
        until = time.monotonic() + open_s
        try:
            return av.open(address, options=options, timeout=(open_s, read_s))
        except (av.error.FFmpegError, UnicodeError, ValueError) as error:
            has_waited = time.monotonic() > until  # a handshake cut short then is called invalid data
            onward = None if has_waited or scheme(address) not in ("http", "https") else _sent_on(address, name, open_s)
            if onward is None:
                raise SourceError(_silent(name, open_s) if has_waited else explained(name, error, open_s)) from None
            address = onward
    raise SourceError(f"{name}: it sends us on and on; give the address of the pictures themselves")


def _sent_on(address: str, name: str, patience_s: float) -> str | None:
    """Where a server of HTTP sends us on to; None if it does not. Raises SourceError if that is another host: nobody
    asked for its pictures, and the password is none of its business.
    """
    try:
        parts = urlsplit(address)
        asked: HTTPConnection
        if parts.scheme == "https":
            asked = HTTPSConnection(parts.netloc.rpartition("@")[2], timeout=patience_s, context=_unverified())
        else:
            asked = HTTPConnection(parts.netloc.rpartition("@")[2], timeout=patience_s)
        with closing(asked):
            asked.request("GET", urlunsplit(("", "", parts.path or "/", parts.query, "")), headers=_login(parts))
            answer = asked.getresponse()
            location = answer.getheader("Location") if 300 <= answer.status < 400 else None
        target = urlsplit(urljoin(address, location or ""))
    except (OSError, HTTPException, ValueError):
        return None
    if location is None:
        return None
    if (target.scheme, target.hostname) not in ((parts.scheme, parts.hostname), ("https", parts.hostname)):
        where = redacted(urlunsplit(target))
        raise SourceError(f"{name}: it sends us on to {where}; give that address if it is the camera's")
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(target._replace(netloc=f"{login}@{target.netloc}" if login else target.netloc))


def _unverified() -> ssl.SSLContext:
    """As FFmpeg has it: see `edge.sources.stream`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


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
    if scheme(address) in ("http", "https"):
        return address, options | {"max_redirects": "0"}
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
