"""A small HTTP server for a station's pages: GET only, a table of routes, one thread.

The server renders one page at a time, at most twenty a second. One thread serves all connections, so a slow peer delays
no other. When there are too many connections, the server closes the oldest.
"""

import asyncio
import contextlib
import gzip
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any, NamedTuple

from edge.security.listening import bound, listen

PATIENCE_S = 2.0
"""Longest time of a connection, seconds; then the server closes it."""

PAUSE_S = 0.05
"""Seconds between two pages."""

MOST_CONNECTIONS = 64
"""Open connections; for one more the server closes the oldest. A scrape takes a few milliseconds."""

MOST_REQUEST_BYTES = 8192


class Response(NamedTuple):
    """Status, content type and body of a page."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str], Response]
"""Renders a page for the value of the request's `Accept` header. Runs in the server's thread."""


class HttpServer(threading.Thread):
    """Answers requests from `start` until `close`. `endpoint` is the bound HOST:PORT."""

    def __init__(self, endpoint: str, routes: Mapping[str, Route], subject: str, allow_insecure: bool = False) -> None:
        """Bind to `endpoint`, HOST:PORT, or PORT on loopback. `routes` maps paths; `subject` names the pages in errors.

        Raises ChannelError, in one line, if the endpoint is invalid, in use, or open to the network.
        """
        super().__init__(name=f"edge-{subject}", daemon=True)
        danger = "can be read from the network by anyone"
        self._listening = listen(endpoint, subject, danger, allow_insecure, 9109)
        self.endpoint = bound(self._listening)
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._turn = asyncio.Lock()
        self._connections: dict[asyncio.Task[None], None] = {}  # the oldest first

    def run(self) -> None:
        """The server's thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def close(self) -> None:
        """Stop the server and free the port. Call it from another thread."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        self.join(1.0)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listening, limit=MOST_REQUEST_BYTES, backlog=128)
        await self._closing.wait()
        server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._answer(reader, writer))
        self._connections[task] = None

        def cut(done: asyncio.Task[None]) -> None:  # a task that is cancelled before it began does nothing itself
            self._connections.pop(done, None)
            writer.transport.abort()

        task.add_done_callback(cut)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, within PATIENCE_S in all: a peer may send a byte now and then."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                request = await reader.readuntil(b"\r\n\r\n")
                async with self._turn:
                    writer.write(_Exchange(request, self._routes).answer)
                    await asyncio.sleep(PAUSE_S)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a peer that hangs, goes away, or sends too much is no error


class _Exchange(BaseHTTPRequestHandler):
    """Runs the standard library's handler on the bytes of one request; `answer` holds the bytes to send."""

    def __init__(self, request: bytes, routes: Mapping[str, Route]) -> None:
        self.answer, self._request, self._routes = b"", request, routes
        super().__init__(self, ("", 0), None)  # type: ignore[arg-type]  # it reads and writes all that it will

    def makefile(self, *_: Any) -> BytesIO:
        """The handler's view of a socket: the request to read."""
        return BytesIO(self._request)

    def sendall(self, data: bytes) -> None:
        """The handler's view of a socket: collect the answer."""
        self.answer += data

    def do_GET(self) -> None:  # the library's name
        """Answer with the page of the path. An exception of a page becomes status 500."""
        route = self._routes.get(self.path.partition("?")[0])
        if route is None:
            self.send_error(404, explain=f"there are: {', '.join(self._routes)}")
            return
        try:
            status, content_type, body = route(self.headers.get("Accept", ""))
        except Exception as error:
            self.send_error(500, explain=f"the page cannot be made: {type(error).__name__}")
            return
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if _takes_gzip(self.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: otherwise requests could fill a disk."""


def _takes_gzip(accepted: str) -> bool:
    return "gzip" in (coding.partition(";")[0].strip().lower() for coding in accepted.split(","))
