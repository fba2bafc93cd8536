"""A Modbus TCP client of a few lines on a socket, which shares no code with the server of edge-plc."""

import socket
import struct
import time

from edge.plc.registers import Words

READ, WRITE = 3, 16
_HEAD = struct.Struct(">HHHB")


class ModbusClient:
    """One connection. `read` and `write` raise OSError if the answer is an exception, late or never comes."""

    def __init__(self, port: int, patience_s: float) -> None:
        """Connect to a server on loopback. Raises OSError. `patience_s` is how long an answer may take in all."""
        self._patience_s = patience_s
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transaction = 0

    def read(self, address: int, count: int) -> Words:
        """Holding registers, in one request."""
        answer = self._ask(struct.pack(">BHH", READ, address, count))
        if len(answer) != 2 + 2 * count:
            raise OSError(f"{len(answer)} bytes in answer to a read of {count} registers")
        return list(struct.unpack(f">{count}H", answer[2:]))

    def write(self, address: int, words: Words) -> None:
        """Write holding registers, in one request."""
        head = struct.pack(">BHHB", WRITE, address, len(words), 2 * len(words))
        self._ask(head + struct.pack(f">{len(words)}H", *words))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, request: bytes) -> bytes:
        """The answer to a request, without its head."""
        due = time.monotonic() + self._patience_s
        self._transaction = self._transaction % 0xFFFF + 1
        self._socket.settimeout(self._patience_s)
        self._socket.sendall(_HEAD.pack(self._transaction, 0, len(request) + 1, 1) + request)
        transaction, _, length, _ = _HEAD.unpack(self._exactly(_HEAD.size, due))
        answer = self._exactly(length - 1, due)
        if transaction != self._transaction:
            raise OSError(f"an answer to request {transaction}, not to {self._transaction}")
        if answer[0] & 0x80:
            raise OSError(f"Modbus exception {answer[1]}")
        return answer

    def _exactly(self, count: int, due: float) -> bytes:
        data = b""
        while len(data) < count:
            left_s = due - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("no answer in time")
            self._socket.settimeout(left_s)
            if not (more := self._socket.recv(count - len(data))):
                raise OSError("edge-plc closed the connection")
            data += more
        return data
