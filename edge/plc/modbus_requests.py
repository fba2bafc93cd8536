"""Modbus requests on the register map: the bytes of a request in, the bytes of its answer out.

Both kinds of registers have the same content. The PLC writes only the registers that are its own; a write elsewhere is
answered with the exception ILLEGAL DATA ADDRESS. Source: MODBUS Application Protocol Specification V1.1b3.
"""

import struct
from enum import IntEnum

from edge.plc.board import Board
from edge.plc.registers import BLOCK, WRITTEN_AT, WRITTEN_WORDS, Words, base, unpack

LARGEST_REQUEST = 253
"""Bytes of a request: its function code, and what follows."""

MOST_READ, MOST_WRITTEN, MOST_WRITTEN_WITH_READ = 125, 123, 121
"""Registers of one request."""


class Function(IntEnum):
    """Function codes that are answered; any other has the exception ILLEGAL FUNCTION."""

    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_ONE = 6
    WRITE = 16
    MASK = 22
    WRITE_AND_READ = 23


class _ModbusError(Exception):
    """The exception code that answers a request."""

    code: int


class _IllegalFunctionError(_ModbusError):
    code = 1


class _IllegalAddressError(_ModbusError):
    code = 2


class _IllegalValueError(_ModbusError):
    code = 3


class ModbusRequests:
    """Answers requests, one after the other, from one thread; keeps what the PLC has written."""

    def __init__(self, board: Board) -> None:
        """The registers of the PLC are 0."""
        self._board = board
        self._written = [[0] * WRITTEN_WORDS for _ in range(board.stations)]

    def answer(self, request: bytes) -> bytes:
        """The answer to a request of at least one byte, each from its function code on."""
        try:
            return request[:1] + self._answer(request[0], request[1:])
        except _ModbusError as error:
            return bytes((request[0] | 0x80, error.code))

    def _answer(self, function: int, body: bytes) -> bytes:
        match function:
            case Function.READ_HOLDING | Function.READ_INPUT:
                address, count = _numbers(body, 2)
                return self._read(address, count)
            case Function.WRITE_ONE:
                address, word = _numbers(body, 2)
                self._write(address, [word])
                return body
            case Function.WRITE:
                address, words = _to_write(body, MOST_WRITTEN)
                self._write(address, words)
                return body[:4]
            case Function.MASK:
                address, kept, others = _numbers(body, 3)
                (word,) = struct.unpack(">xH", self._read(address, 1))
                self._write(address, [(word & kept) | (others & ~kept)])
                return body
            case Function.WRITE_AND_READ:
                address, count = _numbers(body[:4], 2)
                self._check_read(address, count)
                self._write(*_to_write(body[4:], MOST_WRITTEN_WITH_READ))
                return self._read(address, count)
        raise _IllegalFunctionError

    def _check_read(self, address: int, count: int) -> None:
        if not 1 <= count <= MOST_READ:
            raise _IllegalValueError
        if address + count > base(self._board.stations):
            raise _IllegalAddressError

    def _read(self, address: int, count: int) -> bytes:
        """Number of bytes, and the registers, all of one moment."""
        self._check_read(address, count)
        words = self._board.words(address, count)
        for index in range(count):
            station, offset = divmod(address + index - BLOCK, BLOCK)
            if station >= 0 and WRITTEN_AT <= offset < WRITTEN_AT + WRITTEN_WORDS:
                words[index] = self._written[station][offset - WRITTEN_AT]
        return struct.pack(f">B{count}H", 2 * count, *words)

    def _write(self, address: int, words: Words) -> None:
        station, offset = divmod(address - BLOCK, BLOCK)
        first = offset - WRITTEN_AT
        if not (0 <= station < len(self._written) and 0 <= first <= WRITTEN_WORDS - len(words)):
            raise _IllegalAddressError
        self._written[station][first : first + len(words)] = words
        self._board.write(station, unpack(self._written[station]))


def _numbers(body: bytes, count: int) -> tuple[int, ...]:
    if len(body) != 2 * count:
        raise _IllegalValueError
    return struct.unpack(f">{count}H", body)


def _to_write(body: bytes, most: int) -> tuple[int, Words]:
    """Address and registers of a request that says their number twice, in registers and in bytes."""
    if len(body) < 5:
        raise _IllegalValueError
    address, count, size = struct.unpack(">HHB", body[:5])
    if not 1 <= count <= most or size != 2 * count:
        raise _IllegalValueError
    return address, list(_numbers(body[5:], count))
