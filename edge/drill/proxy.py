"""A bad network between two local programs: a TCP proxy that holds, delays, cuts and refuses on request."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from edge.errors import ChannelError

_CHUNK = 65536
_MOST_HELD = 1024
"""Chunks held per direction of a connection; when full, the proxy stops reading and the kernel's buffers fill."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger

_T = TypeVar("_T")


class Proxy:
    """Forwards connections from `endpoint` to `upstream`, both `tcp://HOST:PORT`, while the context is open.

    Its methods return when their effect is complete. If `upstream` does not listen yet, clients are disconnected.
    """

    def __init__(self, upstream: str) -> None:
        """Raises ChannelError if `upstream` is not a valid endpoint."""
        self.endpoint = ""
        self._upstream = _address(upstream)
        self._delay_s = 0.0
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Proxy":
        self._loop = asyncio.new_event_loop()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="edge-proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())
        self.endpoint = f"tcp://127.0.0.1:{self._port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        return False

    @property
    def connections(self) -> int:
        """Number of open client connections."""
        return len(self._tasks)

    def partition(self) -> None:
        """Stop all traffic in both directions without closing connections, like an unplugged cable."""
        self._do(self._set_open(False))

    def flush(self) -> None:
        """End a partition: the held data are forwarded at once and in order, and so are all later data."""
        self._do(self._set_open(True))

    def delay(self, ms: float) -> None:
        """Delay data that arrive from now on by `ms` milliseconds; their order is kept."""
        self._delay_s = ms / 1000

    def cut(self) -> None:
        """Reset all connections; new ones are accepted."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept new connections again, on the same port."""
        self._do(self._listen())

    def switch(self, upstream: str) -> None:
        """Forward new connections to another endpoint; open ones stay. Raises ChannelError if it is not valid."""
        self._upstream = _address(upstream)

    # ---------------------------------------------------------------------------------------- in the proxy's thread

    def _do(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        self._server.close()

    async def _set_open(self, is_open: bool) -> None:
        if is_open:
            self._is_open.set()
        else:
            self._is_open.clear()

    async def _cut(self) -> None:
        for writer in self._writers:
            _reset(writer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection from its beginning to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        mine = {writer}
        self._writers.add(writer)
        try:
            await self._is_open.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
            mine.add(upstream_writer)
            self._writers.add(upstream_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, upstream_writer))
                both.create_task(self._forward(upstream_reader, writer))
            for done in mine:
                done.close()
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            for done in mine:
                _reset(done)
        finally:
            self._tasks.discard(task)
            self._writers -= mine

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction of a connection, with the delay, and not while the network is partitioned."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_HELD)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(reader, held))
            both.create_task(self._give(held, writer))

    async def _take(self, reader: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        while True:
            data = await reader.read(_CHUNK)
            await held.put((self._loop.time() + self._delay_s, data))
            if not data:
                return

    async def _give(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await held.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._is_open.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once so that the peer sees a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


def _address(endpoint: str) -> tuple[str, int]:
    try:
        url = urlsplit(endpoint)
        if url.scheme == "tcp" and url.hostname and url.port:
            return url.hostname, url.port
    except ValueError:
        pass
    raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570")
