"""Connections that ask nothing do not take the page away."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.line import free_endpoint
from support.page import browser, made_site, token

from edge.page import connections, events
from edge.page.access import guard
from edge.page.app import make_app
from edge.page.serving import PageServer, PageSettings


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer(PageSettings((free_endpoint(),), (), serve="127.0.0.1:0"))
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(30)


def dial(server: PageServer) -> socket.socket:
    host, _, port = server.endpoint.rpartition(":")
    return socket.create_connection((host, int(port)), 60)


def asks(server: PageServer) -> int:
    connection = http.client.HTTPConnection(server.endpoint, timeout=60)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def test_idle_connections_leave_room_for_others(server: PageServer) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(dial(server)) for _ in range(2 * connections.MOST_CONNECTIONS + 10)]
        assert asks(server) == 200
        assert idle[0].recv(1) == b"", "the oldest is closed"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: 127"])
def test_a_connection_without_a_request_is_closed(
    server: PageServer, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.2)
    with dial(server) as idle:
        idle.sendall(begun)
        assert idle.recv(1) == b""


def test_a_form_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch, server: PageServer) -> None:
    monkeypatch.setattr(guard, "FORM_S", 0.2)
    first = http.client.HTTPConnection(server.endpoint, timeout=60)
    first.request("GET", "/")
    answer = first.getresponse()
    cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
    with dial(server) as slow:
        head = f"POST /preferences HTTP/1.1\r\nHost: {server.endpoint}\r\nCookie: {cookie}\r\nContent-Length: 99\r\n"
        slow.sendall((head + "Content-Type: application/x-www-form-urlencoded\r\n\r\ntok").encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
    first.close()


def test_one_address_does_not_take_all_streams() -> None:
    site = made_site()
    with browser(site) as client:
        token(client)
        _, streams = make_app(site)
        streams._by_address["testclient"] = events.MOST_OF_AN_ADDRESS
        request = client.build_request("GET", "/events")
        scope = {"type": "http", "client": ("testclient", 1), "headers": [], "path": request.url.path}
        from starlette.requests import Request

        assert streams._response(Request(scope), dict).status_code == 503
        assert streams._response(Request(scope | {"client": ("127.0.0.1", 1)}), dict).status_code == 200
