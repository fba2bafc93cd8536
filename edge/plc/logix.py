"""Rockwell Logix: two arrays of DINT for each station, over EtherNet/IP with pylogix.

TAGn_Result[offset] is the word `offset` of the register map. TAGn_Command[0] is the beat, TAGn_Command[offset - 59] a
word that the PLC writes. Each word has a DINT, as INT is signed, and a DINT changes at once.
"""

import contextlib
import struct
import time

from pylogix import PLC
from pylogix.lgx_comm import Connection

from edge.plc.registers import Words
from edge.plc.settings import LogixTable
from edge.plc.sockets import drop_unsent
from edge.plc.tag_writer import COMMAND_WORDS, place_of

PORT = 44818
DINT = 0xC4
CONNECTION_BYTES = 504
"""Of a small forward open, which every Logix CPU takes."""

SUCCESS = "Success"
CONNECT_S = 2.0
HEADER_BYTES, LARGEST_ANSWER = 24, 4_096


class _Connection(Connection):  # type: ignore[misc]
    """pylogix' connection, whose own way to read does not end when the peer closes in the middle of an answer."""

    def receive_data(self) -> bytes | None:
        """An answer; None if it does not come whole and in time."""
        until, data, size = time.monotonic() + self.parent.SocketTimeout, b"", HEADER_BYTES
        try:
            while len(data) < size:
                more = self.Socket.recv(size - len(data))
                data += more
                if not more or time.monotonic() > until:
                    return None
                if len(data) == HEADER_BYTES:
                    (length,) = struct.unpack_from("<H", data, 2)
                    size += min(length, LARGEST_ANSWER)
        except OSError:
            return None
        return data


class LogixMemory:
    """Tags of a Logix CPU."""

    def __init__(self, table: LogixTable) -> None:
        """Raises ChannelError, in one line."""
        self._table, self._place = table, place_of(table, "logix", PORT)
        self._plc: PLC | None = None

    def connect(self) -> None:
        """Connect. Raises ConnectionError."""
        host, port = self._place
        self._plc = PLC(host, self._table.slot, CONNECT_S, port=port)
        self._plc.conn = _Connection(self._plc)
        self._plc.ConnectionSize = CONNECTION_BYTES
        is_open, why = self._plc.conn.connect()
        if not is_open:
            raise ConnectionError(str(why))
        self._plc.SocketTimeout = self._table.timeout_ms / 1e3
        self._plc.conn.Socket.settimeout(self._plc.SocketTimeout)
        drop_unsent(self._plc.conn.Socket)

    def read(self, station: int) -> Words:
        """The words that the PLC writes."""
        assert self._plc is not None
        tag = f"{self._table.tag}{station + 1}_Command"
        answer = self._plc.Read(tag, COMMAND_WORDS, DINT)
        if answer.Status != SUCCESS or not isinstance(answer.Value, list):
            raise ConnectionError(f"{tag} cannot be read: {answer.Status}")
        return [word & 0xFFFF for word in answer.Value]

    def write(self, station: int, offset: int, words: Words) -> None:
        """Write words that the PLC reads."""
        assert self._plc is not None
        tag = f"{self._table.tag}{station + 1}_Result"
        answer = self._plc.Write(f"{tag}[{offset}]", words, DINT)
        if answer.Status != SUCCESS:
            raise ConnectionError(f"{tag} cannot be written: {answer.Status}")

    def close(self) -> None:
        """Close the connection without a farewell, which would wait for its answer."""
        if self._plc is not None:
            with contextlib.suppress(Exception):
                self._plc.conn.Socket.close()
