"""PNG: every chunk has a CRC-32, so that no damage to pixels passes. W3C, PNG Specification (Third Edition)."""

import struct
import zlib
from collections.abc import Iterator

from edge.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(data: bytes) -> None:
    """Raise DataError, with only the reason, if a chunk does not match its CRC, the end is missing, or something other
    than zeros follows it. The pixels are not decoded.
    """
    at = len(SIGNATURE)
    for at, kind, body in chunks(data):
        if struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))) != data[at - 4 : at]:
            raise DataError(f"is damaged (the PNG's chunk that ends at byte {at} does not match its CRC)")
    if data[at:].strip(b"\0"):
        raise DataError("is followed by other data, which may be a second picture; give each a file of its own")


def chunks(data: bytes) -> Iterator[tuple[int, bytes, memoryview]]:
    """End offset, kind and content of each chunk. Raises DataError if the data ends before the last chunk."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise DataError("is damaged (the PNG ends before its last chunk)")
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise DataError("is damaged (the PNG ends before its last chunk)")
        yield at, kind, memoryview(data)[at - 4 - length : at - 4]
