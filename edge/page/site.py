"""What all views share: stations, history, words, templates, and who asks."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from edge.page.access.guard import Rules
from edge.page.access.sessions import Session
from edge.page.access.users import PageRole
from edge.page.control import Control
from edge.page.history import History
from edge.page.live import Feed, Stations
from edge.page.pictures import Pictures
from edge.page.record_view import RecordView
from edge.page.station_live import StationLive
from edge.page.words import Languages, Words
from edge.text import printable

LANGUAGE, THEME = "edge-page-language", "edge-page-theme"
THEMES = ("auto", "light", "dark")


@dataclass
class Site:
    """The parts of a running page."""

    stations: Stations
    feeds: list[Feed]
    history: History
    languages: Languages
    rules: Rules
    control: Control
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def templates(self) -> Environment:
        """The templates: every value is escaped, a missing one is an error."""
        return _templates()

    def words(self, request: Request) -> Words:
        """The words for this browser."""
        return self.languages.wanted(request.cookies.get(LANGUAGE), request.headers.get("accept-language", ""))

    def station(self, request: Request) -> StationLive:
        """The station that the path names. Raises HTTPException if it is not known."""
        station = self.stations.get(request.path_params["station"])
        if station is None:
            raise HTTPException(404, self.words(request)("error.no_station", name=request.path_params["station"]))
        return station

    def record(self, request: Request) -> RecordView:
        """The record of the station that the path names. Raises HTTPException without one."""
        name = self.station(request).name
        record = self.history.record(name)
        if record is None:
            raise HTTPException(404, self.words(request)("error.no_record", name=name))
        return record

    def feed(self, station: StationLive) -> Feed | None:
        """The feed on which the station is heard."""
        return next((feed for feed in self.feeds if feed.endpoint == station.endpoint), None)

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A page of this template."""
        return HTMLResponse(self.rendered(request, template, **values), status)

    def rendered(self, request: Request, template: str, **values: Any) -> str:
        """The text of a template, with what every page needs."""
        session, t = session_of(request), self.words(request)
        theme = request.cookies.get(THEME, "auto")
        shared = {
            "t": t,
            "session": session,
            "may_review": may(session, PageRole.REVIEW),
            "may_run": may(session, PageRole.RUN),
            "has_users": self.rules.users is not None,
            "languages": self.languages,
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "names": [station.name for station in self.stations.all()] if session.role is not None else [],
            "path": printable(request.url.path),
        }
        return self.templates.get_template(template).render(shared | values)


def session_of(request: Request) -> Session:
    """The session of a request; the guard has put it there."""
    session: Session = request.scope["edge.session"]
    return session


def form_of(request: Request) -> dict[str, str]:
    """The checked form of a post; the guard has put it there."""
    form: dict[str, str] = request.scope["edge.form"]
    return form


def may(session: Session, role: PageRole) -> bool:
    """Whether this session has the role."""
    return session.role is not None and session.role.covers(role)


def need(request: Request, role: PageRole, words: Words) -> Session:
    """The session, if it has the role. Raises HTTPException otherwise."""
    session = session_of(request)
    if not may(session, role):
        raise HTTPException(403, words("error.role", role=role))
    return session


@cache
def _templates() -> Environment:
    """Compiled once in a process: nothing in them depends on the site."""
    from edge.page.heat import heat_uri
    from edge.records.part_story import grounds

    environment = Environment(
        loader=PackageLoader("edge.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"heat_uri": heat_uri, "grounds": grounds}
    return environment
