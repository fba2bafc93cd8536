"""The application: its routes, and its errors as pages."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from edge.errors import DamagedError, EdgeError
from edge.page.access.guard import Guard
from edge.page.events import Streams
from edge.page.fragments import Fragments
from edge.page.site import Site, session_of
from edge.page.views.first import First
from edge.page.views.hold import Hold
from edge.page.views.login import Login
from edge.page.views.models import ModelsView
from edge.page.views.parts import Parts
from edge.page.views.record import Record
from edge.page.views.review import Review
from edge.page.views.story import StoryView
from edge.page.views.trends import Trends
from edge.text import printable


class _Seq(Convertor[int]):
    """A verdict's number in a path; a longer one than SQLite's integers is no path of this page."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("seq", _Seq())

STATIC = Path(__file__).with_name("static")


def make_app(site: Site) -> tuple[ASGIApp, Streams]:
    """The guarded application, and its open streams, which the server ends before it stops."""
    fragments = Fragments(site)
    streams = Streams(site, fragments)
    first, login, parts, story = First(site, fragments), Login(site), Parts(site, fragments), StoryView(site)
    trends, record, review, hold, models = Trends(site), Record(site), Review(site), Hold(site), ModelsView(site)

    async def on_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        text = str(error.detail) if isinstance(error, HTTPException) else str(error)
        if session_of(request).role is None:
            return PlainTextResponse(text, status)
        name = str(request.path_params.get("station", ""))
        known = {"station": name} if site.stations.get(name) is not None else {}  # keeps the navigation
        if isinstance(error, DamagedError) and (record := site.history.record(name)) is not None:
            text = site.words(request)("alarms.damaged", folder=record.folder)
        return site.page(request, "error.html.j2", status, code=status, text=printable(text), **known)

    async def events(request: Request) -> Response:
        return streams.of_station(request)

    async def all_events(request: Request) -> Response:
        return streams.of_all(request)

    async def home(request: Request) -> Response:
        return first.home(request)

    async def station(request: Request) -> Response:
        return first.station(request)

    async def preview(request: Request) -> Response:
        return first.preview(request)

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    of = "/s/{station}"
    one = of + "/parts/{epoch}/{seq:seq}"
    routes = [
        Route("/", home),
        Route("/events", all_events),
        Route("/healthz", healthz),
        Route("/login", login.form),
        Route("/login", login.log_in, methods=["POST"]),
        Route("/logout", login.log_out, methods=["POST"]),
        Route("/preferences", login.preferences, methods=["POST"]),
        Route(of, station),
        Route(of + "/events", events),
        Route(of + "/preview.jpg", preview),
        Route(of + "/hold", hold.act, methods=["POST"]),
        Route(of + "/models", models.show),
        Route(of + "/models", models.act, methods=["POST"]),
        Route(of + "/parts", parts.stream),
        Route(of + "/rejects", parts.gallery),
        Route(of + "/part", story.find),
        Route(one, story.show),
        Route(one + "/decide", review.decide, methods=["POST"]),
        Route(of + "/undo", review.undo, methods=["POST"]),
        Route(of + "/pictures/{epoch}/{seq:seq}", story.picture),
        Route(of + "/trends", trends.show),
        Route(of + "/record", record.show),
        Route(of + "/review", review.queue),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers = {HTTPException: on_error, EdgeError: on_error}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), site.rules), streams
