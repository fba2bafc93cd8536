"""The health of the record: how much there is, what was lost, what happened."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from edge.page.site import Site
from edge.records.disk_reserve import free_bytes


class Record:
    """Shows how the record is."""

    def __init__(self, site: Site) -> None:
        """`site.history` has the records."""
        self._site = site

    async def show(self, request: Request) -> Response:
        """Extent, runs, losses and events."""
        site, station, record = self._site, self._site.station(request), self._site.record(request)
        health = await run_in_threadpool(record.health)
        view = station.view()
        beat = view.heartbeat if not view.is_silent else None
        behind = beat.last_seq - beat.durable_seq if beat and beat.durable_seq is not None else None
        return site.page(
            request, "record.html.j2", station=station.name, health=health, folder=record.folder, behind=behind,
            free=await run_in_threadpool(free_bytes, record.folder),
        )  # fmt: skip
