"""A person suspends a station or resumes it: with the role `run`, a name and a reason. No part becomes good by it."""

import logging

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.page.access.users import PageRole
from edge.page.site import Site, form_of, need, session_of
from edge.page.words import Words

log = logging.getLogger("edge.page")

LONGEST_REASON, LONGEST_NAME = 200, 64


class Hold:
    """Sends the request to the station, which writes it into its journal."""

    def __init__(self, site: Site) -> None:
        """`site.control` asks the station."""
        self._site = site

    async def act(self, request: Request) -> Response:
        """Suspend or resume."""
        site, form = self._site, form_of(request)
        t = site.words(request)
        need(request, PageRole.RUN, t)
        station = site.station(request)
        by, reason = by_of(request, t), reason_of(request, t)
        if form.get("do") not in ("suspend", "resume"):
            raise HTTPException(400, t("error.what"))
        is_held = form["do"] == "suspend"
        told = await run_in_threadpool(site.control.hold, station, is_held, by, reason)
        log.info("%s: %s by %s: %s; %s", station.name, form["do"], by, reason, told.why or "done")
        if not told.is_done:
            raise HTTPException(409, t("error.not_told", why=told.why))
        return RedirectResponse(f"/s/{station.name}", 303)


def by_of(request: Request, t: Words) -> str:
    """The name that stands in the record: the user's, or on loopback without users the one that the form gives.

    Raises HTTPException without one.
    """
    session = session_of(request)
    if session.user is None:
        given = form_of(request).get("by", "").strip() or session.name
        if not given or len(given) > LONGEST_NAME or not given.isprintable():
            raise HTTPException(400, t("error.name"))
        session.name = given
    return session.by


def reason_of(request: Request, t: Words) -> str:
    """The reason that stands in the record. Raises HTTPException without one."""
    reason = form_of(request).get("reason", "").strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise HTTPException(400, t("error.reason"))
    return reason
