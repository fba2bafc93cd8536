"""People judge parts: really bad, good after all, unsure; with a name, and an undo. No verdict changes by it."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.page.access.users import PageRole
from edge.page.record_view import Listed, RecordView, frame_size, stored_heat
from edge.page.site import Site, form_of, need
from edge.page.views.hold import by_of
from edge.review import Choice, Kind, Reviews, Way

KINDS = tuple(Kind)
MOST_SKIPPED = 500


class Review:
    """The queue of undecided parts, and decisions."""

    def __init__(self, site: Site) -> None:
        """Decisions lie in the stations' records."""
        self._site = site

    async def queue(self, request: Request) -> Response:
        """The next undecided part of a kind."""
        site, station, record = self._site, self._site.station(request), self._site.record(request)
        kind = request.query_params.get("kind", "reject")
        if kind not in KINDS:
            raise HTTPException(400, site.words(request)("error.filter", what="kind"))
        listed, progress = await run_in_threadpool(
            _next, record, kind, request.query_params.get("after", ""), request.query_params.get("at", "")
        )
        last = request.query_params.get("undo", "")
        path = listed.picture if listed else None
        heat = await run_in_threadpool(stored_heat, record.folder, path) if path else None
        return site.page(
            request, "review.html.j2", station=station.name, kind=kind, kinds=KINDS, listed=listed, progress=progress,
            heat=heat,
            last=int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None,
        )  # fmt: skip

    async def decide(self, request: Request) -> Response:
        """Enter a decision."""
        site, form, t = self._site, form_of(request), self._site.words(request)
        need(request, PageRole.REVIEW, t)
        station, record = site.station(request), site.record(request)
        epoch, seq = request.path_params["epoch"], request.path_params["seq"]
        if form.get("choice") not in set(Choice):
            raise HTTPException(400, t("error.what"))
        comment, by, is_drawn = form.get("comment", "").strip()[:500], by_of(request, t), form.get("way") == "drawn"
        queue = form.get("kind", "") if is_drawn else ""
        made = await run_in_threadpool(_decide, record, epoch, seq, form["choice"], by, comment, queue)
        if is_drawn and form.get("kind") in KINDS:
            return RedirectResponse(f"/s/{station.name}/review?kind={form['kind']}&undo={made}", 303)
        return RedirectResponse(f"/s/{station.name}/parts/{epoch}/{seq}", 303)

    async def undo(self, request: Request) -> Response:
        """Take a decision back."""
        site, form, t = self._site, form_of(request), self._site.words(request)
        need(request, PageRole.REVIEW, t)
        station, record, number = site.station(request), site.record(request), form.get("decision", "")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise HTTPException(400, t("error.what"))
        undone = await run_in_threadpool(_undo, record, int(number), by_of(request, t))
        if (kind := form.get("kind")) in KINDS:  # from the queue, which shows this part again
            return RedirectResponse(f"/s/{station.name}/review?kind={kind}&at={undone[0]}-{undone[1]}", 303)
        return RedirectResponse(f"/s/{station.name}/parts/{undone[0]}/{undone[1]}", 303)


def _next(record: RecordView, kind: str, after: str, at: str) -> tuple[Listed | None, dict[str, tuple[int, int]]]:
    """The undecided part `at` of a kind, else the next one after the one skipped, both `EPOCH-SEQ`; and how many are
    decided and undecided.
    """
    of = Reviews(record.folder)
    counted = {str(one): (done.decided, done.undecided) for one, done in of.progress().items()}
    waiting = of.undecided(Kind(kind), MOST_SKIPPED if after or at else 1)
    skipped = next((at for at, one in enumerate(waiting) if f"{one.epoch}-{one.seq}" == after), -1)
    chosen = next((one for one in waiting if f"{one.epoch}-{one.seq}" == at), None)
    if chosen is None and waiting:
        chosen = waiting[(skipped + 1) % len(waiting)]
    if chosen is None:
        return None, counted
    verdict, _ = record.verdict(chosen.epoch, chosen.seq)
    return Listed(0, verdict, chosen.image, frame_size(record.folder, chosen.image)), counted


def _decide(record: RecordView, epoch: str, seq: int, choice: str, by: str, comment: str, queue: str) -> int:
    reviews = Reviews(record.folder)
    first = reviews.next(Kind(queue)) if queue in KINDS else None  # after a skip it is another part
    rows = reviews.of_verdict(epoch, seq) if queue in KINDS else []
    is_again = bool(rows) and rows[-1].takes_back is not None and rows[-1].way is Way.DRAWN  # it was drawn, and undone
    way = Way.DRAWN if is_again or (first is not None and first.key == (epoch, seq)) else Way.CHOSEN
    return reviews.decide(epoch, seq, Choice(choice), by, comment, way).id


def _undo(record: RecordView, decision: int, by: str) -> tuple[str, int]:
    row = Reviews(record.folder).undo(decision, by)
    return row.epoch, row.seq
