"""Modbus TCP: a server in a thread of its own, whose holding and input registers are the register map.

A connection's requests are answered in their order. Any unit number is answered.
"""

import asyncio
import contextlib
import socket
import struct
import threading

from edge.plc.board import Board
from edge.plc.modbus_requests import LARGEST_REQUEST, ModbusRequests
from edge.plc.settings import MODBUS
from edge.security.listening import bound, listen

MOST_CONNECTIONS = 16
"""Open connections; for one more the server closes the one that has been silent for longest."""

MOST_WAITING_BYTES = 16 * (7 + LARGEST_REQUEST)
"""Requests of a connection that wait for their answers; a client that sends more is cut off."""

HEADER = struct.Struct(">HHHB")
"""Transaction, protocol (0), bytes that follow, unit number."""

NO_LINGER = struct.pack("ii", 1, 0)
STATEMENT = "--insecure-modbus"


class ModbusServer(threading.Thread):
    """Serves a board from `start` until `close`. `endpoint` is the bound HOST:PORT."""

    def __init__(self, board: Board, endpoint: str = MODBUS, allow_network: bool = False) -> None:
        """Bind. Raises ChannelError, in one line, if the endpoint is invalid, in use, or open to the network."""
        super().__init__(name="edge-plc-modbus", daemon=True)
        danger = "has no authentication: anybody on the network can acknowledge and trigger parts"
        self._listening = listen(endpoint, "Modbus", danger, allow_network, 5020, STATEMENT)
        self.endpoint = bound(self._listening)
        self._requests = ModbusRequests(board)
        self._connections: dict[_Connection, None] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()

    def run(self) -> None:
        """The server's thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def close(self) -> None:
        """Close the connections and free the port. Call it from another thread."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        if self.ident is not None:
            self.join(1.0)
        self._listening.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: _Connection(self._requests, self._connections), sock=self._listening
        )
        await self._closing.wait()
        server.close()
        for connection in list(self._connections):
            connection.cut()


class _Connection(asyncio.Protocol):
    """One connection. `connections` are all, the one that has been silent for longest first."""

    def __init__(self, requests: ModbusRequests, connections: "dict[_Connection, None]") -> None:
        self._requests, self._connections = requests, connections
        self._transport: asyncio.Transport | None = None
        self._waiting = b""
        self._is_due = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections[self] = None
        if len(self._connections) > MOST_CONNECTIONS:
            next(iter(self._connections)).cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.pop(self, None)

    def pause_writing(self) -> None:
        """A client does not read its answers: what it reads later would be of long ago."""
        self.cut()

    def cut(self) -> None:
        """Close the connection now; answers that were not read are dropped, by the kernel, too."""
        self._connections.pop(self, None)
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._connections[self] = self._connections.pop(self, None)
        self._waiting += data
        if len(self._waiting) > MOST_WAITING_BYTES:
            self.cut()
        elif not self._is_due:
            self._answer()

    def _answer(self) -> None:
        """Answer the oldest request; other connections have their turn before the next."""
        self._is_due = False
        if self._transport is None or len(self._waiting) < HEADER.size:
            return
        transaction, protocol, size, unit = HEADER.unpack_from(self._waiting)
        if protocol != 0 or not 2 <= size <= 1 + LARGEST_REQUEST:  # where the next request begins is not known
            self.cut()
            return
        end = HEADER.size + size - 1
        if len(self._waiting) < end:
            return
        request, self._waiting = self._waiting[HEADER.size : end], self._waiting[end:]
        answer = self._requests.answer(request)
        self._transport.write(HEADER.pack(transaction, 0, 1 + len(answer), unit) + answer)
        if self._waiting and self._transport is not None:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._answer)
