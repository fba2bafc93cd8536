"""BMP and WebP have no checksum. Their headers state the length of the file, so that no part of it can be missing; in
WebP, holes filled with zeros are detectable.
"""

import struct

from edge.errors import DataError

CHUNKS = 48
"""Number of bytes within which a file of one picture names its kind of pixel data."""

LOSSLESS_HOLE, LOSSY_HOLE = bytes(32), bytes(256)
"""Runs of zeros that pixel data do not contain: the longest found in photographs were 2 and 11, in a black picture 2
and 101."""


def check_bmp(data: bytes) -> None:
    """Raise DataError, with only the reason, if the file is shorter than its header states (0: no statement)."""
    _check(data, struct.unpack_from("<I", data, 2)[0])


def check_webp(data: bytes) -> None:
    """Raise DataError, with only the reason, if the file is shorter than its RIFF header states, or has a hole."""
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
