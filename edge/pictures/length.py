"""BMP and WebP carry no checksum; their headers say how long the file is, so that at least a part cannot be missing."""

import struct

from edge.errors import DataError


def check_bmp(data: bytes) -> None:
    """Raise DataError, with the reason alone, if the file is shorter than its header says (0: it does not say)."""
    _check(data, struct.unpack_from("<I", data, 2)[0])


def check_webp(data: bytes) -> None:
    """Raise DataError, with the reason alone, if the file is shorter than its RIFF header says."""
    _check(data, struct.unpack_from("<I", data, 4)[0] + 8)


def _check(data: bytes, length: int) -> None:
    if len(data) < length:
        raise DataError(f"is damaged (it has {len(data)} bytes, its header says {length})")
    if length and data[length + length % 2 :].strip(b"\0"):
        raise DataError("is followed by other data, which may be a second picture; give each a file of its own")
