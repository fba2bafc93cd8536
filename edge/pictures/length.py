"""BMP and WebP carry no checksum. Their headers say how long the file is, so that no part of it can be missing, and
holes that were filled with zeros show in WebP.
"""

import struct

from edge.errors import DataError

CHUNKS = 48
"""Within so many bytes a file of one picture has named the kind of its pixels."""

LOSSLESS_HOLE, LOSSY_HOLE = bytes(32), bytes(256)
"""Runs of zeros that no pixels make: of photographs at most 2 and 11 were found, of a black picture 2 and 101."""


def check_bmp(data: bytes) -> None:
    """Raise DataError, with the reason alone, if the file is shorter than its header says (0: it does not say)."""
    _check(data, struct.unpack_from("<I", data, 2)[0])


def check_webp(data: bytes) -> None:
    """Raise DataError, with the reason alone, if the file is shorter than its RIFF header says, or has a hole."""
    length = struct.unpack_from("<I", data, 4)[0] + 8
    _check(data, length)
    hole = data.find(LOSSLESS_HOLE if b"VP8L" in data[:CHUNKS] else LOSSY_HOLE, CHUNKS, length)
    if hole >= 0:
        raise DataError(f"is damaged (a hole of zeros at byte {hole})")


def _check(data: bytes, length: int) -> None:
    if len(data) < length:
        raise DataError(f"is damaged (it has {len(data)} bytes, its header says {length})")
    if length and data[length + length % 2 :].strip(b"\0"):
        raise DataError("is followed by other data, which may be a second picture; give each a file of its own")
