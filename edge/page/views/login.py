"""Login, logout, and what a browser remembers: language and theme."""

import asyncio
import logging

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.channel.limits import Pace
from edge.channel.pace import Paces
from edge.page.access.guard import cookie_of
from edge.page.site import LANGUAGE, THEME, THEMES, Site, form_of

log = logging.getLogger("edge.page")

BY_ADDRESS = Pace(burst=10, a_second=1 / 30)
BY_NAME = Pace(burst=10, a_second=1 / 60)
BY_ALL = Pace(burst=60, a_second=1)
"""Attempts to log in: of one address, for one user, and of all together."""

YEAR_S = 365 * 86_400


class Login:
    """Lets users in."""

    def __init__(self, site: Site) -> None:
        """Nobody has tried yet."""
        self._site = site
        self._paces = Paces(BY_ADDRESS), Paces(BY_NAME), Paces(BY_ALL)
        self._turn = asyncio.Semaphore(1)

    async def form(self, request: Request) -> Response:
        """The form."""
        if self._site.rules.users is None:
            return RedirectResponse("/", 303)
        return self._site.page(request, "login.html.j2", problem=None)

    async def log_in(self, request: Request) -> Response:
        """Check name and password; one attempt at a time, a limited number of them."""
        site, form, users = self._site, form_of(request), self._site.rules.users
        if users is None:
            return RedirectResponse("/", 303)
        t, name, address = site.words(request), form.get("name", "")[:64], request.client.host if request.client else ""
        peers = zip(self._paces, (address, name, None), strict=True)
        if not all(paces.admits(peer) for paces, peer in peers):  # an attempt refused by its address costs no other
            log.warning("login of %r from %s refused: too many attempts", name, address)
            return site.page(request, "login.html.j2", 429, problem=t("login.wait"))
        async with self._turn:
            user = await run_in_threadpool(users.check, name, form.get("password", ""))
        if user is None:
            log.warning("login of %r from %s failed", name, address)
            return site.page(request, "login.html.j2", 403, problem=t("login.wrong"))
        log.info("%s has logged in from %s, role %s", name, address, user.role)
        if (old := cookie_of(request.headers, site.rules)) is not None:
            site.rules.sessions.end(old)  # a session of before the login must not become that of the user
        cookie, _ = site.rules.sessions.begin(name, user.role, user.scrypt)
        return RedirectResponse("/", 303, {"Set-Cookie": site.rules.set_cookie(cookie)})

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        if (cookie := cookie_of(request.headers, self._site.rules)) is not None:
            self._site.rules.sessions.end(cookie)
        return RedirectResponse("/login", 303, {"Set-Cookie": self._site.rules.set_cookie("", 0)})

    async def preferences(self, request: Request) -> Response:
        """Set language or theme, and go back."""
        form, secure = form_of(request), "; Secure" if self._site.rules.is_tls else ""
        back = form.get("back", "/")
        if not back.startswith("/") or back.startswith(("//", "/\\")) or not back.isprintable():
            back = "/"
        answer = RedirectResponse(back, 303)
        for name, value, allowed in (
            (LANGUAGE, form.get("language"), self._site.languages.codes),
            (THEME, form.get("theme"), THEMES),
        ):
            if value in allowed:
                cookie = f"{name}={value}; Path=/; Max-Age={YEAR_S}; SameSite=Strict; HttpOnly{secure}"
                answer.headers.append("Set-Cookie", cookie)
        return answer
