"""PNG: every chunk carries a CRC-32, so that no damage to pixels passes. W3C, PNG Specification (Third Edition)."""

import struct
import zlib

from edge.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(data: bytes) -> None:
    """Raise DataError, with the reason alone, if a chunk does not match its CRC, the end is missing, or another PNG
    follows. The pixels are not decoded.
    """
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise DataError("is damaged (the PNG ends before its last chunk)")
        length, kind = struct.unpack_from(">I4s", data, at)
        body = memoryview(data)[at + 4 : at + 8 + length]
        at += 12 + length
        if at > len(data) or struct.pack(">I", zlib.crc32(body)) != data[at - 4 : at]:
            raise DataError(f"is damaged (the PNG's chunk at byte {at - 12 - length} does not match its CRC)")
    if data.startswith(SIGNATURE, at):
        raise DataError("holds several PNGs one after another; give each a file of its own")
