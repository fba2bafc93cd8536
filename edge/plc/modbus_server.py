"""Modbus TCP: a server in a thread of its own, whose holding and input registers are the register map.

Both kinds of registers have the same content. A request is answered from one moment. The PLC writes only the registers
that are its own; a write elsewhere is answered with the exception ILLEGAL DATA ADDRESS. Any unit number is answered.
"""

import asyncio
import contextlib
import logging
import threading
from functools import partial

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.transport import ModbusProtocol

from edge.plc.board import Board
from edge.plc.registers import BLOCK, WRITTEN_AT, WRITTEN_WORDS, base, unpack
from edge.plc.settings import MODBUS
from edge.security.listening import bound, listen

MOST_CONNECTIONS = 16
"""Open connections; for one more the server closes the oldest."""

READ_CODES, WRITE_CODES = (3, 4, 23), (6, 16, 22, 23)
STATEMENT = "--insecure-modbus"


class ModbusServer(threading.Thread):
    """Serves a board from `start` until `close`. `endpoint` is the bound HOST:PORT."""

    def __init__(self, board: Board, endpoint: str = MODBUS, allow_network: bool = False) -> None:
        """Bind. Raises ChannelError, in one line, if the endpoint is invalid, in use, or open to the network."""
        super().__init__(name="edge-plc-modbus", daemon=True)
        logging.getLogger("pymodbus_internal").setLevel(logging.CRITICAL)  # requests could fill a disk
        danger = "has no authentication: anybody on the network can acknowledge and trigger parts"
        self._listening = listen(endpoint, "Modbus", danger, allow_network, 5020, STATEMENT)
        self.endpoint = bound(self._listening)
        self._board = board
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
        size = base(self._board.stations)
        registers = SimData(0, values=0, count=size, datatype=DataType.REGISTERS)
        server = _Server(SimDevice(0, simdata=[registers], action=self._access))
        server.call_create = partial(self._loop.create_server, server.handle_new_connection, sock=self._listening)
        await server.serve_forever(background=True)
        await self._closing.wait()
        server.close()

    async def _access(
        self,
        code: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Before pymodbus reads or writes `registers`: bring them up to date, or take what is written."""
        if code not in READ_CODES and code not in WRITE_CODES:
            return ExcCodes.ILLEGAL_FUNCTION
        at = address - start
        if values is None:
            fresh = self._board.words(address, count)
            for index in range(count):
                station, offset = divmod(address + index, BLOCK)
                if station == 0 or not WRITTEN_AT <= offset < WRITTEN_AT + WRITTEN_WORDS:
                    registers[at + index] = fresh[index]
            return None
        station, offset = address // BLOCK - 1, address % BLOCK
        if station < 0 or offset < WRITTEN_AT or offset + count > WRITTEN_AT + WRITTEN_WORDS:
            return ExcCodes.ILLEGAL_ADDRESS
        own = base(station) + WRITTEN_AT - start
        written = registers[own : own + WRITTEN_WORDS]
        written[offset - WRITTEN_AT : offset - WRITTEN_AT + count] = [int(value) for value in values]
        self._board.write(station, unpack(written))
        return None


class _Server(ModbusTcpServer):
    """pymodbus' server with a limit of connections."""

    def __init__(self, device: SimDevice) -> None:
        super().__init__(device)

    def handle_new_connection(self) -> ModbusProtocol:
        """The protocol of a new connection."""
        self.loop.call_soon(self._cut)
        return super().handle_new_connection()

    def _cut(self) -> None:
        """Close the oldest connections beyond the limit; those that were accepted just now have no transport yet."""
        excess = max(0, len(self.active_connections) - MOST_CONNECTIONS)
        made = [one for one in self.active_connections.values() if one.transport is not None]
        for connection in made[:excess]:
            connection.close()
