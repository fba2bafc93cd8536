"""JPEG through libjpeg-turbo, with its warnings as errors: after a warning, some of the pixels are made up.

JPEG has no checksum. Damage that leaves the number of decoded blocks unchanged causes no warning;
docs/reports/damage.md gives its frequency.
"""

import re
from typing import TYPE_CHECKING

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCAN, END = b"\xff\xda", b"\xff\xd9"
"""Markers of the start of a scan and of the end of the image."""

PROGRESSIVE = b"\xff\xc2"
"""Marker of a progressive frame header: the picture comes in scans that refine each other."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Any marker except those within coded data: FF 00 and the restart markers."""


def decode_jpeg(data: bytes | memoryview, room: "npt.NDArray[np.uint8] | None" = None) -> "npt.NDArray[np.uint8]":
    """Decode one JPEG to `uint8 [H, W, 3]` BGR, into `room` if it is given, C-contiguous and of this shape.

    Zero bytes before the end marker, which some webcams send as padding, are accepted if the rest decodes without a
    warning. The EXIF orientation is not applied. Raises DataError, with only the reason in one line, if libjpeg warns.
    """
    if _is_progressive(data):
        _check_scans(bytes(data))
    try:
        return _strictly(data, room)
    except ValueError as error:
        message = str(error)
    unpadded = _without_padding(bytes(data))
    if unpadded is not None:
        try:
            return _strictly(unpadded, room)
        except ValueError:  # the padding was not the only problem: the first error is reported
            pass
    raise DataError(f"is damaged ({_reason(message)})")


def _strictly(data: bytes | memoryview, room: "npt.NDArray[np.uint8] | None") -> "npt.NDArray[np.uint8]":
    """Decode with libjpeg. Raises ValueError, with libjpeg's text, also for warnings."""
    import simplejpeg

    frame: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "BGR", buffer=room, strict=True)
    return frame


def check_jpeg(data: bytes) -> None:
    """Raise DataError, with only the reason, if something other than zeros follows the end of the picture."""
    end = data.find(END, _scan(data))
    if end >= 0 and data[end + len(END) :].strip(b"\0"):
        raise DataError("is followed by other data, which may be a second picture; give each a file of its own")


def _scan(data: bytes | memoryview) -> int:
    """Offset of the first scan, after all segments, which may hold a thumbnail; the length of the data if none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at : at + 2] != SCAN:
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _is_progressive(data: bytes | memoryview) -> bool:
    """Whether the frame header before the first scan is a progressive one."""
    return PROGRESSIVE in bytes(data[: _scan(data)])


def _check_scans(data: bytes) -> None:
    """Raise DataError if scans of a progressive JPEG are missing: it would still decode, with less detail.

    Each scan states which coefficients of which components it carries, and down to which bit (ITU-T T.81, B.2.3). All
    64 coefficients of every component must be present down to the last bit.
    """
    incomplete: dict[int, set[int]] = {}  # by component: coefficients that are not complete yet
    at = _scan(data)
    while 0 <= at < len(data) and data[at : at + 2] == SCAN:
        count = data[at + 4] if at + 4 < len(data) else 0
        body = data[at + 5 : at + 8 + 2 * count]
        if len(body) < 2 * count + 3:
            break
        first, last, low_bit = body[2 * count], body[2 * count + 1], body[2 * count + 2] & 15
        for component in body[: 2 * count : 2]:
            missing = incomplete.setdefault(component, set(range(64)))
            missing.difference_update(range(first, last + 1) if low_bit == 0 else ())
        at = _next_scan(data, at + 2)
    if not incomplete or any(incomplete.values()):
        raise DataError("is damaged (scans of the progressive JPEG are missing)")


def _next_scan(data: bytes, at: int) -> int:
    """Offset of the next scan after the marker at `at - 2`; -1 if there is none."""
    while (marker := _MARKER.search(data, at)) is not None:
        at = marker.start()
        if data[at : at + 2] in (SCAN, END):
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return -1


def _without_padding(data: bytes) -> bytes | None:
    """The JPEG without the zero bytes before its last end marker; None if there are none.

    All zeros are removed. If they replaced coded pixels, the decoder misses these and warns; with a progressive JPEG it
    would not, so there no padding is accepted.
    """
    end = data.rfind(END)
    coded = data[: max(0, end)].rstrip(b"\0")
    if end < 0 or len(coded) == end or _is_progressive(data):
        return None
    stuffing = b"\0" if coded.endswith(b"\xff") else b""  # FF 00 stands for a coded FF
    return coded + stuffing + data[end:]


def _reason(message: str) -> str:
    lines = message.removeprefix("Corrupt JPEG data: ").strip().splitlines()
    return lines[0][:120] if lines else "libjpeg gives no reason"
