"""The HTTP server: a table of routes, refused requests, and no page and no request that ends the server."""

import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from edge.channel.publisher import check_endpoint
from edge.errors import ChannelError
from edge.http.server import HttpServer, Response
from edge.security.loopback import check_reach
from edge.station.metrics import Metrics


def hello(accept: str) -> Response:
    return Response(200, "text/plain", f"for {accept}".encode())


def broken(_: str) -> Response:
    raise RuntimeError("no page")


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HttpServer("0", {"/hello": hello, "/broken": broken}, "pages")
    server.start()
    yield server.endpoint
    server.close()


def get(endpoint: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(f"http://{endpoint}{path}", headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_a_page_is_found_by_its_path_and_made_for_what_the_reader_accepts(endpoint: str) -> None:
    status, headers, body = get(endpoint, "/hello?a=1&a=2", Accept="text/html")
    assert (status, headers["Content-Type"], body) == (200, "text/plain", b"for text/html")


def test_a_reader_that_takes_gzip_gets_it(endpoint: str) -> None:
    _, headers, body = get(endpoint, "/hello", **{"Accept-Encoding": "br, GZIP;q=0.9", "Accept": "x"})
    assert (headers["Content-Encoding"], gzip.decompress(body)) == ("gzip", b"for x")


def test_a_path_without_a_page_is_answered_with_the_paths_that_have_one(endpoint: str) -> None:
    status, _, body = get(endpoint, "/other")
    assert status == 404
    assert b"there are: /hello, /broken" in body


def test_a_page_that_cannot_be_made_is_an_error_and_the_next_one_is_served(endpoint: str) -> None:
    status, _, body = get(endpoint, "/broken")
    assert status == 500
    assert b"the page cannot be made: RuntimeError" in body
    assert get(endpoint, "/hello")[0] == 200


def test_what_is_no_request_for_a_page_is_refused_and_the_next_one_is_served(endpoint: str) -> None:
    assert get(endpoint, "//[/hello")[0] == 404
    assert get(endpoint, "/hello", "POST")[0] == 501
    assert get(endpoint, "/hello")[0] == 200


def test_the_metrics_are_at_their_path_in_the_format_that_is_accepted() -> None:
    served = Metrics("0", "line1", "b")
    try:
        _, headers, body = get(served.endpoint, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        _, headers, body = get(served.endpoint, "/metrics")
        assert headers["Content-Type"].startswith("text/plain")
        assert b'edge_station_info{bundle="b",station="line1"} 1.0\n' in body
        assert get(served.endpoint, "/")[0] == 200
        assert get(served.endpoint, "/metric")[0] == 404
    finally:
        served.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "camera.plant"])
def test_channel_and_pages_have_one_rule_of_who_may_be_reached_from_the_network(host: str) -> None:
    with pytest.raises(ChannelError, match=r"^danger; remedy, or say --insecure if that is meant$"):
        check_reach(host, False, "danger", "remedy")
    check_reach(host, True, "danger", "remedy")
    with pytest.raises(ChannelError, match=r"bind 127\.0\.0\.1, or say --insecure if that is meant$"):
        check_endpoint(f"tcp://{f'[{host}]' if ':' in host else host}:5570", allow_insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    check_reach(host, False, "danger", "remedy")
