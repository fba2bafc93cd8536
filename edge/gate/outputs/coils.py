"""Coils of a module over Modbus TCP: a client that writes single coils (function 5) and registers (function 6).

Source: MODBUS Application Protocol 1.1b3; MODBUS Messaging on TCP/IP 1.0b.
"""

import socket
import struct
import time
from collections.abc import Mapping

from edge.errors import ActuatorError
from edge.gate.outputs.settings import ModbusSettings, Name

HEADER = struct.Struct(">HHHB")
"""Transaction, protocol (0), bytes that follow, unit number."""

WRITE = struct.Struct(">BHH")
"""Function, address, value; the module answers with the same."""

WRITE_COIL, WRITE_REGISTER = 5, 6
ON, OFF = 0xFF00, 0
REFUSES = 0x80
NO_LINGER = struct.pack("ii", 1, 0)


class ModbusCoils:
    """The coils of one module. Every method but `close` raises ActuatorError or OSError if the module does not do it
    within the timeout; the connection must then be closed.
    """

    def __init__(self, settings: ModbusSettings) -> None:
        """Nothing is sent before `open`."""
        self._settings = settings
        self._host, _, port = settings.module.rpartition(":")
        self._port = int(port)
        self._socket: socket.socket | None = None
        self._transaction = 0
        self.name = f"the module {settings.module}"

    def open(self) -> None:
        """Connect, and set the watchdog of the module."""
        timeout_s = self._settings.timeout_ms / 1e3
        self._socket = socket.create_connection((self._host, self._port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for register, value in self._settings.watchdog:
            until = time.monotonic() + timeout_s
            self._ask(WRITE_REGISTER, register, value, f"register {register} = {value} of watchdog", until)

    def write(self, outputs: Mapping[Name, bool]) -> None:
        """Switch these outputs, in their order; all answers come within the timeout."""
        until = time.monotonic() + self._settings.timeout_ms / 1e3
        for name, is_on in outputs.items():
            coil = self._settings.coils[name]
            self._ask(WRITE_COIL, coil, ON if is_on else OFF, f"coil {coil} for {name}", until)

    def close(self) -> None:
        """Close the connection at once; the coils stay as they are."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._socket.close()
            self._socket = None

    def _ask(self, function: int, address: int, value: int, what: str, until: float) -> None:
        assert self._socket is not None
        self._transaction = self._transaction % 0xFFFF + 1
        request = WRITE.pack(function, address, value)
        header = HEADER.pack(self._transaction, 0, 1 + len(request), self._settings.unit)
        self._socket.sendall(header + request)
        transaction, protocol, size, _ = HEADER.unpack(self._receive(HEADER.size, until))
        if (transaction, protocol) != (self._transaction, 0) or not 2 <= size <= 254:
            raise ActuatorError("does not answer in Modbus TCP")
        answer = self._receive(size - 1, until)
        if answer[0] == function | REFUSES:
            raise ActuatorError(f"refuses {what} (Modbus exception {answer[1] if len(answer) > 1 else '?'})")
        if answer != request:
            raise ActuatorError(f"does not confirm {what}")

    def _receive(self, size: int, until: float) -> bytes:
        assert self._socket is not None
        got = b""
        while len(got) < size:
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            if not (more := self._socket.recv(size - len(got))):
                raise ActuatorError("closed the connection")
            got += more
        return got
