"""The first screen of a station, the overview of all stations, and the preview."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.page.fragments import Fragments
from edge.page.site import Site

SHOWN = ("status", "last", "tally", "pace", "alarms", "strip")


class First:
    """Shows what goes on now."""

    def __init__(self, site: Site, fragments: Fragments) -> None:
        """`fragments` are those that the events use, too."""
        self._site, self._fragments = site, fragments

    def home(self, request: Request) -> Response:
        """The only station, or all of them."""
        site, stations = self._site, self._site.stations.all()
        if len(stations) == 1:
            return RedirectResponse(f"/s/{stations[0].name}", 303)
        cards = self._fragments.cards(site.words(request))
        endpoints = [feed.endpoint for feed in site.feeds]
        return site.page(request, "overview.html.j2", cards=cards, endpoints=endpoints)

    def station(self, request: Request) -> Response:
        """The first screen."""
        site = self._site
        station = site.station(request)
        if (feed := site.feed(station)) is not None:
            feed.want_previews(station.name)
        made = self._fragments.get(station, site.words(request), SHOWN)
        return site.page(request, "first.html.j2", station=station.name, fragments=made)

    def preview(self, request: Request) -> Response:
        """The preview of the part that the address names, so that a browser may keep it for a while."""
        epoch, _, seq = request.query_params.get("n", "").rpartition("-")
        is_number = seq.isascii() and seq.isdigit() and len(seq) < 19
        preview = self._site.station(request).preview(epoch, int(seq)) if is_number else None
        if preview is None:
            return Response(status_code=404)
        return Response(preview.jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})
