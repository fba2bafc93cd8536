"""The checks of every request, around the whole application: host, session, login, origin, token, and response headers.

No route can forget them: a request that changes something reaches no view without a session's token.
"""

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.errors import ConfigError
from edge.page.access.sessions import Session, Sessions
from edge.page.access.users import PageRole, Users
from edge.security.loopback import is_loopback

log = logging.getLogger("edge.page")

MOST_FORM_BYTES = 16 << 10
FORM_S = 10.0
"""A form that is not complete after this time is refused."""

OPEN = ("/login", "/static/", "/preferences", "/healthz")
"""Paths without a login."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Rules:
    """Who is let in. Without `users` everybody who reaches the page has the role `run`: only on loopback."""

    host: str
    users: Users | None = None
    is_tls: bool = False
    names: tuple[str, ...] = ()
    """Host names under which browsers may ask, beside addresses."""
    sessions: Sessions = field(default_factory=Sessions)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie. A browser accepts the prefix only with Secure, and of the host itself."""
        return "__Host-edge-page" if self.is_tls else "edge-page"

    def set_cookie(self, value: str, lives_s: int | None = None) -> str:
        """The header that sets the session's cookie."""
        secure = "; Secure" if self.is_tls else ""
        age = "" if lives_s is None else f"; Max-Age={lives_s}"
        return f"{self.cookie}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"

    def session(self, headers: Headers) -> Session | None:
        """The session of a request, with the role that its user has now; None without one."""
        cookie = cookie_of(headers, self)
        session = self.sessions.find(cookie) if cookie else None
        if session is not None and session.user is not None and self.users is not None:
            try:
                user = self.users.read().get(session.user)
            except ConfigError as error:
                log.warning("%s", error)
                user = None
            if user is None:
                self.sessions.end_of(session.user)
                return None
            if not _same(user.scrypt, session.proof):  # the password has been changed since the login
                self.sessions.end(cookie or "")
                return None
            session.role = user.role
        return session

    def knows_host(self, host: str) -> bool:
        """Whether a browser that asks for this host means this page: a name of somebody else's may point here, too
        (DNS rebinding). An address is always meant; on loopback only one of loopback.
        """
        name = _host_name(host)
        if name is None:
            return False
        if is_loopback(self.host):
            return is_loopback(name)
        return name in self.names or _is_address(name)


class Guard:
    """An ASGI application around the page's."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        """`scope["edge.session"]` and `scope["edge.form"]` are what the inner application gets."""
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, and answer it or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        new_cookie: list[str] = []

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                for cookie in new_cookie:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        refusal = await self._check(scope, receive, new_cookie)
        await (refusal or self._app)(scope, receive, with_headers)

    async def _check(self, scope: Scope, receive: Receive, new_cookie: list[str]) -> ASGIApp | None:
        """Why the request is refused, as an answer; None if it is passed on."""
        headers, rules = Headers(scope=scope), self._rules
        if not rules.knows_host(headers.get("host", "")):
            return PlainTextResponse("this page is not served under that host name; edge-page --name allows one", 421)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("no such method", 405)
        session = rules.session(headers)
        is_open = any(scope["path"] == path or (path[-1] == "/" and scope["path"].startswith(path)) for path in OPEN)
        if session is None:
            if scope["method"] == "POST":
                return PlainTextResponse("the session is over; load the page again", 403)
            is_static = scope["path"].startswith("/static/") or scope["path"] == "/healthz"
            session = Session(None, None) if is_static else None
            if session is None:
                role = PageRole.RUN if rules.users is None else None
                cookie, session = rules.sessions.begin(None, role)
                new_cookie.append(rules.set_cookie(cookie))
        scope["edge.session"] = session
        scope["edge.form"] = {}
        if session.role is None and not is_open:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return PlainTextResponse("log in first", 401)
        if scope["method"] == "POST":
            return await self._check_post(scope, receive, headers, session)
        return None

    async def _check_post(
        self, scope: Scope, receive: Receive, headers: Headers, session: Session
    ) -> PlainTextResponse | None:
        if not _is_own_site(headers):
            return PlainTextResponse("a form of another site", 403)
        try:
            form = await asyncio.wait_for(_form(headers, receive), FORM_S)
        except TimeoutError:
            return PlainTextResponse("the form did not come", 408, {"Connection": "close"})
        if form is None:
            return PlainTextResponse("no form, or too large a one", 413)
        if not _same(form.get("token", ""), session.token):
            return PlainTextResponse("the form is too old; load the page again", 403)
        scope["edge.form"] = form
        return None


def cookie_of(headers: Headers, rules: Rules) -> str | None:
    """The session's cookie of a request."""
    return _cookies(headers.getlist("cookie")).get(rules.cookie)


def _cookies(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        try:
            found |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        except CookieError:
            continue
    return found


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def _is_own_site(headers: Headers) -> bool:
    """Whether a post comes from a page of this very host, as the browser says; a program that says nothing is no
    browser, and has to know the token.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    try:
        if origin is not None:
            return urlsplit(origin).netloc == headers.get("host", "")
        referer = headers.get("referer")
        return site == "same-origin" or referer is None or urlsplit(referer).netloc == headers["host"]
    except ValueError:  # no address
        return False


async def _form(headers: Headers, receive: Receive) -> dict[str, str] | None:
    """The fields of a form, the last of several with one name; None if it is none, or too large."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > MOST_FORM_BYTES:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def _host_name(host: str) -> str | None:
    """The name of a Host header without its port, in lower case; None if it is none."""
    try:
        url = urlsplit(f"//{host}")
        name, _ = url.hostname, url.port
    except ValueError:
        return None
    return name if name and url.netloc == host and not url.username else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
