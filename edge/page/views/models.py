"""Products and bundles of a station: what it judges with, and, with the role `run`, what it shall judge with."""

import logging

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.channel.control_messages import LoadBundle, Operation, Promote, RollBack, SelectProduct, Stage, Unload
from edge.page.access.users import PageRole
from edge.page.site import Site, form_of, need
from edge.page.views.hold import by_of, reason_of
from edge.validation import first_problem, problem

log = logging.getLogger("edge.page")

KINDS: dict[str, type[Operation]] = {
    "select": SelectProduct,
    "load": LoadBundle,
    "promote": Promote,
    "roll_back": RollBack,
    "unload": Unload,
}
"""Requests by the name of their button."""

VALUES = {
    "select": ("product",),
    "load": ("bundle", "product"),
    "promote": ("flips", "product", "label"),
    "roll_back": ("product", "label"),
    "unload": ("label",),
}
"""Fields of the form that a request has, beside name, reason and the run that the page showed."""


class ModelsView:
    """Shows products and candidate, and passes requests on to the station, which writes them into its journal."""

    def __init__(self, site: Site) -> None:
        """`site.control` asks the station."""
        self._site = site

    async def show(self, request: Request) -> Response:
        """The page."""
        site = self._site
        station = site.station(request)
        models = await run_in_threadpool(site.control.models, station)
        return site.page(
            request, "models.html.j2", station=station.name, models=models, stages=Stage,
            has_record=site.history.record(station.name) is not None,
        )  # fmt: skip

    async def act(self, request: Request) -> Response:
        """Ask the station for another product or another bundle."""
        site, form = self._site, form_of(request)
        t = site.words(request)
        need(request, PageRole.RUN, t)
        station, what = site.station(request), form.get("do", "")
        if what not in KINDS:
            raise HTTPException(400, t("error.what"))
        values: dict[str, object] = {name: form[name] for name in (*VALUES[what], "epoch") if form.get(name)}
        values |= {"by": by_of(request, t), "reason": reason_of(request, t)}
        try:
            KINDS[what].model_validate(values)
        except ValidationError as error:
            raise HTTPException(400, f"{t('error.what')} {problem(first_problem(error))}") from None
        told = await run_in_threadpool(site.control.change, station, KINDS[what], values)
        log.info("%s: %s by %s: %s; %s", station.name, what, values["by"], values["reason"], told.why or "done")
        if not told.is_done:
            raise HTTPException(409, t("error.not_told", why=told.why))
        return RedirectResponse(f"/s/{station.name}/models", 303)
