"""HTTP of an OCI registry: one repository, its login, and where a login may go.

Docker's own clients follow what a registry tells them; this one sends a login to the registry's host, or to the token
service that the registry names, and nowhere else: not along a redirect, and not without TLS unless that is meant.
"""

import base64
import binascii
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urljoin, urlsplit

from edge.errors import BundleError
from edge.security.loopback import is_loopback

TIMEOUT_S = 30.0
"""Longest silence of a registry."""

MOST_REDIRECTS = 5
LARGEST_ANSWER = 64 << 10
"""Bytes of an answer of a token service."""

LOGIN = "it wants a login: docker login, or oras login"
_STATUS = {403: "access is denied", 404: "it is not there", 429: "too many requests; try later"}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_REDIRECTS = (301, 302, 303, 307, 308)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class RegistryClient:
    """Requests to one repository of a registry. Plain HTTP is for loopback, unless `plain_http` says that it is meant.

    All methods raise BundleError, in one line.
    """

    def __init__(self, host: str, name: str, actions: str, plain_http: bool = False) -> None:
        """`actions` are those that a token is asked for: `pull`, or `pull,push`."""
        self._host, self._name, self._actions = host, name, actions
        self._is_plain = plain_http or is_loopback(_bare(host))
        self._base = f"{'http' if self._is_plain else 'https'}://{host}/v2/{name}/"
        self._login = _docker_login(host)
        self._authorization: str | None = None
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, what: str, most: int, headers: dict[str, str]) -> bytes:
        """The content of an answer of at most `most` bytes."""
        with self._asked("GET", self._base + what, headers=headers) as response:
            content: bytes = response.read(most + 1)
        if len(content) > most:
            raise BundleError(f"{self._host}: {what} is larger than {most} bytes")
        return content

    def pieces(self, what: str, size: int) -> Iterator[bytes]:
        """The content of an answer in pieces."""
        with self._asked("GET", self._base + what) as response:
            while piece := response.read(size):
                yield piece

    def put(self, what: str, content: bytes, kind: str) -> None:
        """Put a content of this media type there."""
        with self._asked("PUT", self._base + what, content, {"Content-Type": kind}):
            pass

    def upload(self, digest: str, content: IO[bytes] | bytes, size: int) -> None:
        """Upload a blob, unless it is there."""
        try:
            with self._asked("HEAD", f"{self._base}blobs/{digest}"):
                return
        except _AbsentError:
            pass  # it has to be uploaded
        with self._asked("POST", f"{self._base}blobs/uploads/", b"") as response:
            place = urljoin(self._base, response.headers.get("Location", ""))
        if urlsplit(place)[:2] != urlsplit(self._base)[:2]:
            raise BundleError(f"{self._host} wants the upload at {urlsplit(place).netloc}, which is another place")
        place += f"{'&' if urlsplit(place).query else '?'}{urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._asked("PUT", place, content, headers):
            pass

    @contextmanager
    def _asked(self, method: str, url: str, data: Any = None, headers: dict[str, str] | None = None) -> Iterator[Any]:
        """The answer to a request: with the login if the registry asks for one, and after its redirects."""
        try:
            with self._answered(method, url, data, headers or {}) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    raise _AbsentError(f"{self._host}: {self._name}: {_STATUS[404]}") from None
                why = LOGIN if error.code == 401 else _STATUS.get(error.code, f"HTTP status {error.code}")
                raise BundleError(f"{self._host}: {self._name}: {why}") from None
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            raise BundleError(f"{self._host} cannot be reached: {str(cause) or type(error).__name__}") from error

    def _answered(self, method: str, url: str, data: Any, headers: dict[str, str]) -> Any:
        for attempt in (0, 1):
            try:
                return self._followed(method, url, data, headers)
            except urllib.error.HTTPError as error:
                if error.code != 401 or attempt:
                    raise
                with error:
                    self._authorization = self._authorized(error.headers.get("WWW-Authenticate", ""))
                if hasattr(data, "seek"):
                    data.seek(0)
        raise AssertionError

    def _followed(self, method: str, url: str, data: Any, headers: dict[str, str]) -> Any:
        """The answer after redirects, along which no login goes and which keep TLS."""
        for _ in range(MOST_REDIRECTS):
            is_own = urlsplit(url)[:2] == urlsplit(self._base)[:2]
            login = {"Authorization": self._authorization} if is_own and self._authorization else {}
            request = urllib.request.Request(url, data, headers | login, method=method)
            try:
                return self._opener.open(request, timeout=TIMEOUT_S)
            except urllib.error.HTTPError as error:
                if error.code not in _REDIRECTS or method not in ("GET", "HEAD"):
                    if error.code == 401 and not is_own:
                        raise BundleError(f"{self._host}: {urlsplit(url).netloc} wants a login for a file") from None
                    raise
                with error:
                    url = urljoin(url, error.headers.get("Location", ""))
            self._check_scheme(url)
        raise BundleError(f"{self._host} leads from one address to the next")

    def _check_scheme(self, url: str) -> None:
        if urlsplit(url).scheme not in (("http", "https") if self._is_plain else ("https",)):
            raise BundleError(f"{self._host} leads to {url[:100]!r}, without TLS")

    def _authorized(self, challenge: str) -> str:
        """The header that answers a challenge: a token of the service that it names, or the login itself."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            if self._login is None:
                raise BundleError(f"{self._host}: {LOGIN}")
            return f"Basic {self._login}"
        said = dict(_CHALLENGE.findall(rest))
        if kind.lower() != "bearer" or "realm" not in said:
            raise BundleError(f"{self._host} asks for a login of an unknown kind")
        self._check_scheme(said["realm"])
        query = {"scope": f"repository:{self._name}:{self._actions}"}
        query |= {"service": said["service"]} if "service" in said else {}
        login = {} if self._login is None else {"Authorization": f"Basic {self._login}"}
        url = f"{said['realm']}{'&' if urlsplit(said['realm']).query else '?'}{urlencode(query)}"
        with self._opener.open(urllib.request.Request(url, headers=login), timeout=TIMEOUT_S) as response:
            content = response.read(LARGEST_ANSWER)
        try:
            answer = json.loads(content)
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise BundleError(f"{self._host}: its token service gives no token")
        return f"Bearer {token}"


class _AbsentError(BundleError):
    """It is not there."""


def _bare(host: str) -> str:
    """The host without its port and brackets."""
    return str(urlsplit(f"//{host}").hostname or "")


def _docker_login(host: str) -> str | None:
    """The login for this host in docker's configuration, in base64 as it stands there; None without one.

    Credential helpers are not asked: they are programs that this command would run.
    """
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        said = json.loads((folder / "config.json").read_text())["auths"][host]["auth"]
        base64.b64decode(said, validate=True).decode()
    except (OSError, ValueError, KeyError, TypeError, binascii.Error):
        return None
    return str(said)
