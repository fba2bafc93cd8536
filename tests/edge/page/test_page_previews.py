"""The page asks for previews whenever somebody looks at a station, wherever the station is heard at that moment."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.line import free_endpoint
from support.page import record
from support.records import until
from support.scripted_station import peer

from edge.channel.endpoints import CONTROL, VIEWERS, neighbour_endpoint
from edge.page.serving import PageServer, PageSettings


@contextmanager
def page(endpoint: str, records: Path) -> Iterator[PageServer]:
    """A page of the station at an endpoint, served until the end of the context."""
    server = PageServer(PageSettings((endpoint,), (records,), serve="127.0.0.1:0"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)


@contextmanager
def looking_at(server: PageServer, station: str) -> Iterator[http.client.HTTPResponse]:
    """The open stream of events of a station's first screen."""
    connection = http.client.HTTPConnection(server.endpoint, timeout=60)
    connection.request("GET", f"/s/{station}/events?show=last")
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        answer.readline()  # the stream has begun
        yield answer
    finally:
        answer.close()
        connection.close()


def test_a_browser_that_was_there_before_the_station_gets_its_previews(tmp_path: Path) -> None:
    record(tmp_path / "line1")
    endpoint = free_endpoint()
    with page(endpoint, tmp_path) as server:
        until(lambda: server.stations.get("line1"))  # by its record alone: nothing is heard of it
        with (
            looking_at(server, "line1"),
            peer(neighbour_endpoint(endpoint, VIEWERS), neighbour_endpoint(endpoint, CONTROL)) as station,
        ):
            until(lambda: b"\1evp1-preview/line1/" in station.subscriptions)
