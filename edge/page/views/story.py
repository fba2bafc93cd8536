"""A part's story: what the record knows of it, with picture, boxes and neighbours."""

from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edge.errors import DamagedError, RecordsError
from edge.page.pictures import WIDTHS
from edge.page.record_view import Listed, RecordView, frame_size, stored_heat
from edge.page.review_view import standing_of
from edge.page.site import Site
from edge.page.words import Words
from edge.records.part_story import tell


class StoryView:
    """Tells of one part."""

    def __init__(self, site: Site) -> None:
        """`site.history` has the records."""
        self._site = site

    async def show(self, request: Request) -> Response:
        """The story of a verdict; of one that is not in the journal yet, what was heard."""
        site, station = self._site, self._site.station(request)
        record = site.history.record(station.name)
        epoch, seq = request.path_params["epoch"], request.path_params["seq"]
        live = next((v for v in station.view().verdicts if (v.epoch, v.seq) == (epoch, seq)), None)
        try:
            if record is None:
                raise RecordsError(site.words(request)("error.no_record", name=station.name))
            story, near = await run_in_threadpool(record.story, epoch, seq)
        except RecordsError as error:
            is_damaged = isinstance(error, DamagedError) and record is not None
            if live is None and is_damaged:
                raise
            if live is None:
                raise HTTPException(404, await _gone(site.words(request), record, str(error))) from error
            t = site.words(request)
            why = t("alarms.damaged", folder=record.folder) if record is not None and is_damaged else str(error)
            listed = Listed(0, live, None)
            return site.page(
                request, "part.html.j2", station=station.name, listed=listed, near=[], lines=[], why_none=why,
                review=None, has_record=record is not None, heat=None, gaps=(),
            )  # fmt: skip
        path = story.image.path
        frame = await run_in_threadpool(frame_size, record.folder, path) if path else None
        listed = Listed(0, story.verdict, path, frame)
        heat = await run_in_threadpool(stored_heat, record.folder, path) if path else None
        lines = [line.strip() for line in tell(replace(story, gaps=()), record.folder)][1:]
        review = await run_in_threadpool(standing_of, record.folder, epoch, seq)
        return site.page(
            request, "part.html.j2", station=station.name, listed=listed, near=near, lines=lines,
            why_none=story.image.why, review=review, has_record=True, heat=heat, gaps=story.gaps,
        )  # fmt: skip

    async def find(self, request: Request) -> Response:
        """The newest verdict on the part whose id the query gives, or the list of them."""
        site, station, record = self._site, self._site.station(request), self._site.record(request)
        part = request.query_params.get("id", "").strip()[:200]
        t, (verdicts, _, gaps) = site.words(request), await run_in_threadpool(record.of_part, part)
        found = [one.verdict for one in verdicts]
        if not found:
            lines = t("error.no_part", part=part), *(t("record.gap", problem=gap) for gap in gaps)
            raise HTTPException(404, await _gone(t, record, " ".join(lines)))
        if len(found) == 1 and not gaps:
            return RedirectResponse(f"/s/{station.name}/parts/{found[0].epoch}/{found[0].seq}", 303)
        return site.page(request, "part_runs.html.j2", station=station.name, part=part, found=found, gaps=gaps)

    async def picture(self, request: Request) -> Response:
        """The stored picture as a JPEG."""
        record = self._site.record(request)
        asked = request.query_params.get("w", str(WIDTHS[1]))
        width = next((width for width in WIDTHS if str(width) == asked), None)
        if width is None:
            raise HTTPException(400, f"w is one of {', '.join(map(str, WIDTHS))}")
        epoch, seq = request.path_params["epoch"], request.path_params["seq"]
        try:
            jpeg = await run_in_threadpool(self._site.pictures.jpeg, record, epoch, seq, width)
        except RecordsError as error:
            raise HTTPException(404, str(error)) from error
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


async def _gone(t: Words, record: RecordView | None, said: str) -> str:
    """What was said of something that is not there, and until when verdicts have expired, if any have."""
    until = await run_in_threadpool(record.expired_until) if record is not None else None
    return said if until is None else f"{said} {t('error.expired', time=t.date(until))}"
