"""JPEG through libjpeg-turbo, whose warnings are errors here: after one, some of the pixels are made up.

JPEG carries no checksum. Damage after which the decoder finds as many blocks as before gives no warning; docs/damage.md
says how often that is.
"""

from typing import TYPE_CHECKING

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

START, SCAN, END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
"""First bytes of a file, marker of a scan, marker of the end."""


def decode_jpeg(data: bytes | memoryview, room: "npt.NDArray[np.uint8] | None" = None) -> "npt.NDArray[np.uint8]":
    """Decode one JPEG to `uint8 [H, W, 3]` BGR, into `room` where that is given, C-contiguous and of this shape.

    Zero bytes before the end marker are padding, which some webcams send, if all the rest decodes without a warning.
    The EXIF orientation is not applied. Raises DataError, with the reason alone in one line, if libjpeg warns.
    """
    try:
        return _strictly(data, room)
    except ValueError as error:
        complaint = str(error)
    unpadded = _without_padding(bytes(data))
    if unpadded is not None:
        try:
            return _strictly(unpadded, room)
        except ValueError:  # the zeros were not all that is wrong: what was said of the whole picture counts
            pass
    raise DataError(f"is damaged ({_reason(complaint)})")


def _strictly(data: bytes | memoryview, room: "npt.NDArray[np.uint8] | None") -> "npt.NDArray[np.uint8]":
    """Raises ValueError, with libjpeg's own words, for warnings too."""
    import simplejpeg

    frame: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "BGR", buffer=room, strict=True)
    return frame


def check_jpeg(data: bytes) -> None:
    """Raise DataError, with the reason alone, if another JPEG follows the first one."""
    end = data.find(END, max(0, data.find(SCAN)))
    if end >= 0 and data[end + len(END) :].lstrip(b"\0").startswith(START):
        raise DataError("holds several JPEGs one after another; give each a file of its own")


def _without_padding(data: bytes) -> bytes | None:
    """The JPEG without the zero bytes before its last end marker; None if there are none.

    All zeros go. If they took the place of coded pixels, the decoder misses these and warns.
    """
    end = data.rfind(END)
    coded = data[: max(0, end)].rstrip(b"\0")
    if end < 0 or len(coded) == end:
        return None
    stuffing = b"\0" if coded.endswith(b"\xff") else b""  # FF 00 stands for a coded FF
    return coded + stuffing + data[end:]


def _reason(complaint: str) -> str:
    lines = complaint.removeprefix("Corrupt JPEG data: ").strip().splitlines()
    return lines[0][:120] if lines else "libjpeg gives no reason"
