"""Server-sent events: the fragments that have changed, to each browser that has a page open."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from edge.page.fragments import NAMES, Fragments
from edge.page.site import Site
from edge.security.loopback import is_loopback

EVERY_S = 0.1
"""Seconds between two looks at a station."""

ALIVE_S = 2.0
"""A stream without news says so after this time, so that a browser notices a page that has ended."""

MOST_STREAMS = 100
"""Browsers that hear events at a time."""


MOST_OF_AN_ADDRESS = 20
"""Of these, those of one address, except of this machine: a proxy on it has the browsers of everybody."""


class Streams:
    """The open streams of a page."""

    def __init__(self, site: Site, fragments: Fragments) -> None:
        """There are none."""
        self._site, self._fragments = site, fragments
        self.open = 0
        self._by_address: Counter[str] = Counter()
        self.is_over = False

    def of_station(self, request: Request) -> Response:
        """The stream of a station's fragments, those that the query names."""
        station, t = self._site.station(request), self._site.words(request)
        wanted = request.query_params.get("show", "").split(",")
        names = [name for name in NAMES if name in wanted]

        def changed() -> dict[str, str]:
            feed = self._site.feed(station) if "last" in names else None  # a stream may begin before the station does
            if feed is not None:
                feed.want_previews(station.name)
            return self._fragments.get(station, t, names)

        return self._response(request, changed)

    def of_all(self, request: Request) -> Response:
        """The stream of the overview."""
        t = self._site.words(request)
        return self._response(request, lambda: {"cards": self._fragments.cards(t)})

    def _response(self, request: Request, made: Callable[[], dict[str, str]]) -> Response:
        address = _address(request)
        is_greedy = not is_loopback(address) and self._by_address[address] >= MOST_OF_AN_ADDRESS
        if self.open >= MOST_STREAMS or is_greedy:
            return PlainTextResponse("too many browsers are listening", 503, {"Retry-After": "10"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(request, made), media_type="text/event-stream", headers=headers)

    async def _events(self, request: Request, made: Callable[[], dict[str, str]]) -> AsyncIterator[str]:
        address = _address(request)
        self.open += 1
        self._by_address[address] += 1
        try:
            sent: dict[str, str] = {}
            told = time.monotonic()
            yield "retry: 1000\n\n"
            while not self.is_over and self._may_go_on(request):
                now = made()
                news = {name: text for name, text in now.items() if sent.get(name) != text}
                if news or time.monotonic() - told > ALIVE_S:
                    sent, told = now, time.monotonic()
                    yield f"data: {json.dumps(news)}\n\n"
                await asyncio.sleep(EVERY_S)
        finally:
            self.open -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _may_go_on(self, request: Request) -> bool:
        """Whether the session still holds: a logout, a removed user and a timeout end its streams."""
        rules = self._site.rules
        if rules.users is None:
            return True
        session = rules.session(request.headers)
        return session is not None and session.role is not None


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
