"""Siemens S7: a data block for each station, over S7 communication (PUT/GET) with python-snap7.

The word `offset` of the register map is at byte 2 x offset, high byte first; the beat is the word before `control`.
"""

import contextlib
import logging
import socket
import struct
from collections.abc import Iterator

from snap7.client import Client
from snap7.error import S7PacketLostError, S7ProtocolError, S7StalePacketError

from edge.plc.registers import Words
from edge.plc.settings import S7Table
from edge.plc.sockets import drop_unsent
from edge.plc.tag_writer import COMMAND_AT, COMMAND_WORDS, place_of

PORT = 102
LEAST_PDU = 112
"""Bytes of a request: 76 of data and 35 of header, as S7-300 and all later CPUs take."""

logging.getLogger("snap7").addHandler(logging.NullHandler())  # it logs what it raises, too


class S7Memory:
    """Data blocks of an S7 CPU."""

    def __init__(self, table: S7Table) -> None:
        """Raises ChannelError, in one line."""
        self._table, self._place = table, place_of(table, "s7", PORT)
        self._client = Client()

    def connect(self) -> None:
        """Connect; takes five seconds at most. Raises S7Error or OSError."""
        host, port = self._place
        self._client.connect(host, self._table.rack, self._table.slot, port)
        if self._client.pdu_length < LEAST_PDU:
            raise ValueError(f"its requests have {self._client.pdu_length} bytes at most; {LEAST_PDU} are needed")
        self._socket().settimeout(self._table.timeout_ms / 1e3)
        drop_unsent(self._socket())

    def read(self, station: int) -> Words:
        """The words that the PLC writes."""
        with self._named("read", station, COMMAND_AT, COMMAND_WORDS):
            raw = self._client.db_read(self._table.db + station, 2 * COMMAND_AT, 2 * COMMAND_WORDS)
        return list(struct.unpack(f">{len(raw) // 2}H", raw))

    def write(self, station: int, offset: int, words: Words) -> None:
        """Write words that the PLC reads."""
        raw = bytearray(struct.pack(f">{len(words)}H", *words))
        with self._named("written", station, offset, len(words)):
            self._client.db_write(self._table.db + station, 2 * offset, raw)

    @contextlib.contextmanager
    def _named(self, how: str, station: int, offset: int, words: int) -> Iterator[None]:
        """Name the bytes and the remedy if the CPU refuses a request. Raises ConnectionError."""
        try:
            yield
        except (S7PacketLostError, S7StalePacketError):
            raise
        except S7ProtocolError as error:
            place = f"DB{self._table.db + station}, bytes {2 * offset} to {2 * (offset + words) - 1}"
            remedy = "is the block there and as long, its optimized access off, PUT/GET allowed?"
            raise ConnectionError(f"{place} cannot be {how}: {error}; {remedy}") from error

    def close(self) -> None:
        """Close the connection without a farewell."""
        with contextlib.suppress(Exception):
            self._socket().close()
        with contextlib.suppress(Exception):
            self._client.disconnect()

    def _socket(self) -> socket.socket:
        connection = self._client.connection
        if connection is None or connection.socket is None:
            raise ConnectionError("not connected")
        return connection.socket
