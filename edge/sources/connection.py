"""The connection to a network camera: FFmpeg's options, and its errors as one-line messages."""

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
"""Default ports of the schemes that accept a TCP connection before they send pictures."""

RETRY_INTERVAL_S = 0.05
"""Interval between refused connection attempts; an attempt without an answer times out after ten times this."""


MOST_REDIRECTS = 5
"""Redirects within one host; more are taken for a loop."""


def connect(address: str, name: str, open_s: float, read_s: float, reconnect_s: float = 0.0) -> "InputContainer":
    """Open the address and find a video stream in it. Error messages use `name`. Raises SourceError.

    `open_s` is the timeout until the camera has answered, `read_s` the timeout of a silent connection after that.
    If the camera was lost, wait up to `reconnect_s` for its port to accept a connection.
    """
    kind = scheme(address)
    if kind not in SCHEMES:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise SourceError(f"{name}: no stream begins with {kind}://; give {known}…")
    plain, options = _options(address, name)
    _wait_for_port(plain, reconnect_s)
    container = _opened(plain, name, options, open_s, read_s)
    if not container.streams.video:
        container.close()
        raise SourceError(f"{name}: there is no video in this stream")
    if container.format.name == "hls":
        container.close()
        raise SourceError(f"{name}: HLS shows what was seconds ago; give the camera's rtsp:// address")
    return container


def _opened(address: str, name: str, options: dict[str, str], open_s: float, read_s: float) -> "InputContainer":
    """The container that FFmpeg opens at this address, or at the address to which its host redirects."""
    import av
    import av.error

    for _ in range(1 + MOST_REDIRECTS):
        until = time.monotonic() + open_s
        try:
            return av.open(address, options=options, timeout=(open_s, read_s))
        except (av.error.FFmpegError, UnicodeError, ValueError) as error:
            has_waited = time.monotonic() > until  # FFmpeg reports a handshake that timed out as invalid data
            onward = (
                None
                if has_waited or scheme(address) not in ("http", "https")
                else _redirect_target(address, name, open_s)
            )
            if onward is None:
                raise SourceError(_silent(name, open_s) if has_waited else explained(name, error, open_s)) from None
            address = onward
    raise SourceError(f"{name}: more than {MOST_REDIRECTS} redirects; give the address of the pictures themselves")


def _redirect_target(address: str, name: str, patience_s: float) -> str | None:
    """The address to which an HTTP server redirects; None if it does not. Raises SourceError if that is another host:
    the user did not ask for its pictures, and it must not get the password.
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
        raise SourceError(f"{name}: it redirects to {where}, another host; give that address if it is the camera's")
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(target._replace(netloc=f"{login}@{target.netloc}" if login else target.netloc))


def _unverified() -> ssl.SSLContext:
    """No check of the certificate, as in FFmpeg: see `edge.sources.stream`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def _wait_for_port(address: str, patience_s: float) -> None:
    """Return when the address accepts a connection, or after `patience_s`."""
    until = time.monotonic() + patience_s
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return
    while parts.scheme in PORTS and host is not None and time.monotonic() < until:
        try:
            socket.create_connection((host, port), 10 * RETRY_INTERVAL_S).close()
        except OSError:
            time.sleep(RETRY_INTERVAL_S)
        else:
            return


def _options(address: str, name: str) -> tuple[str, dict[str, str]]:
    """The address without the settings for this program, and FFmpeg's options."""
    options = {"fflags": "nobuffer", "fpsprobesize": "0"}  # the rate is not needed; probing it takes half a second
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
    """A one-line message without FFmpeg's own text, which repeats the address with its password."""
    import av.error

    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            missing = "user and password are missing or wrong, or may not see this stream"
            return f"{name}: access is refused: {missing}; give them as {scheme(name)}://USER:PASSWORD@HOST/…"
        case av.error.HTTPNotFoundError():
            return f"{name}: the camera has no stream of this path"
        case av.error.ConnectionRefusedError():
            return f"{name}: nothing answers at this host and port; check both, and that the camera is on"
        case av.error.ExitError() | av.error.TimeoutError():
            return _silent(name, patience_s)
        case av.error.InvalidDataError():
            return f"{name}: what comes is no video that FFmpeg knows"
        case av.error.FFmpegError() if error.errno == 5:  # FFmpeg gives no details for unknown host names
            return f"{name}: the host cannot be reached, or broke off; check its name and the network"
        case av.error.FFmpegError():
            return f"{name}: {error.strerror}"
    return f"{name}: no address that can be opened"


def _silent(name: str, for_s: float) -> str:
    return f"{name}: silent for {for_s:.0f} s; check address, cable and power of the camera"
