"""The stream of parts, and the gallery of rejects with its filters."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge.page.fragments import Fragments
from edge.page.record_view import PLACES, Place, Selection
from edge.page.site import Site
from edge.page.words import Words
from edge.verdict import UNKNOWN_REASONS, Outcome, Reason

TILES = 48
"""Pictures of a page of the gallery."""

FLIP = "flip"
"""Instead of an outcome: parts that a candidate judged otherwise."""

SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


class Parts:
    """Lists of parts."""

    def __init__(self, site: Site, fragments: Fragments) -> None:
        """`fragments` has the stream."""
        self._site, self._fragments = site, fragments

    async def stream(self, request: Request) -> Response:
        """The last parts, as they come."""
        station = self._site.station(request)
        made = self._fragments.get(station, self._site.words(request), ["stream"])
        return self._site.page(request, "parts.html.j2", station=station.name, fragments=made)

    async def gallery(self, request: Request) -> Response:
        """Parts with their pictures, the newest first."""
        site, station, record = self._site, self._site.station(request), self._site.record(request)
        t, asked = site.words(request), dict(request.query_params)
        selection, place = self._selection(asked, t)
        before = asked.pop("before", None)
        if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
            raise HTTPException(400, t("error.filter", what="before"))
        found, more, gaps = await run_in_threadpool(
            record.listed, selection, TILES, None if before is None else int(before), place
        )
        kept = {key: text for key, text in asked.items() if text and key in FILTERS}
        seen = {one.verdict.kind for one in found} | {verdict.kind for verdict in station.view().verdicts}
        older = f"/s/{station.name}/rejects?{urlencode(kept | {'before': more})}" if more else None
        return site.page(
            request,
            "rejects.html.j2",
            station=station.name,
            found=found,
            gaps=gaps,
            older=older,
            asked=kept,
            outcomes=[*Outcome, FLIP],
            reasons=sorted(UNKNOWN_REASONS),
            places=PLACES,
            kinds=sorted(
                {kind for kind in seen if kind is not None} | ({asked["kind"]} if asked.get("kind") else set())
            ),
            spans=["shift", *SPANS, "all"],
        )

    def _selection(self, asked: dict[str, str], t: Words) -> tuple[Selection, Place | None]:
        """The filter that the query asks for. Raises HTTPException if a value is none."""
        now, since, until = datetime.now(UTC), None, None
        span = asked.get("span") or "day"
        if span == "shift":
            since = self._site.history.shift()
        elif span in SPANS:
            since = now - SPANS[span]
        elif span != "all":
            raise HTTPException(400, t("error.filter", what="span"))
        since, until = _moment(asked, "since", t) or since, _moment(asked, "until", t)
        try:
            named = asked.get("outcome") or Outcome.REJECT
            outcome = None if named == FLIP else Outcome(named)
            reasons = frozenset({Reason(asked["reason"])}) if asked.get("reason") else frozenset()
        except ValueError:
            raise HTTPException(400, t("error.filter", what="outcome, reason")) from None
        if reasons and reasons <= UNKNOWN_REASONS:
            outcome = Outcome.UNKNOWN
        if not (asked.get("field") or "").isprintable():
            raise HTTPException(400, t("error.filter", what="field"))
        if not (asked.get("kind") or "").isprintable():
            raise HTTPException(400, t("error.filter", what="kind"))
        name, is_field, text = (asked.get("field") or "").partition("=")
        if name and not is_field:
            name, text = "lot", name
        fields = {name.strip(): text.strip()} if name else {}
        place = asked.get("place") or None
        if place is not None and place not in PLACES:
            raise HTTPException(400, t("error.filter", what="place"))
        selection = Selection(
            since=since,
            until=until,
            outcome=outcome,
            reasons=reasons,
            fields=fields,
            flips=asked.get("outcome") == FLIP,
            kind=(asked.get("kind") or "").strip() or None,
        )
        return selection, Place(place) if place else None


FILTERS = ("span", "since", "until", "outcome", "reason", "kind", "field", "place")


def _moment(asked: dict[str, str], key: str, t: Words) -> datetime | None:
    """A moment of the query: local time if it has no offset, as a browser's field gives it."""
    if not asked.get(key):
        return None
    try:
        return datetime.fromisoformat(asked[key]).astimezone(UTC)
    except (ValueError, OverflowError):
        raise HTTPException(400, t("error.filter", what=key)) from None
