"""Conversion of V4L2 buffers to frames: one buffer of bytes in one of V4L2's pixel formats."""

from typing import TYPE_CHECKING

from edge.errors import DataError
from edge.frame import Frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

COMPRESSED = frozenset({"MJPG", "JPEG"})

CONVERSIONS = {
    "YUYV": (2.0, "COLOR_YUV2BGR_YUYV"),
    "UYVY": (2.0, "COLOR_YUV2BGR_UYVY"),
    "NV12": (1.5, "COLOR_YUV2BGR_NV12"),
    "NV21": (1.5, "COLOR_YUV2BGR_NV21"),
    "YU12": (1.5, "COLOR_YUV2BGR_IYUV"),
    "YV12": (1.5, "COLOR_YUV2BGR_YV12"),
    "GREY": (1.0, "COLOR_GRAY2BGR"),
    "RGB3": (3.0, "COLOR_RGB2BGR"),
}
"""Bytes per pixel, and OpenCV's name of the conversion to BGR."""

DEPTHS = {"Y10 ": 10, "Y12 ": 12, "Y16 ": None}
"""Grey in 16 bits: the number of significant bits, None where the user must give it."""


def is_converted_here(pixel_format: str) -> bool:
    """Whether `converted` knows the format, named by its four characters."""
    return pixel_format in COMPRESSED or pixel_format in CONVERSIONS or pixel_format in DEPTHS


def converted(
    raw: "npt.NDArray[np.uint8]",
    pixel_format: str,
    shape: tuple[int, int] | None,
    bits: int | None,
    room: "Frame | None" = None,
) -> Frame:
    """The bytes of one buffer as a frame `uint8 [height, width, 3]` BGR of this `shape`, in `room` if it fits.

    `bits` is the number of significant bits of Y16. Raises DataError, with only the reason, if bytes are missing or
    damaged.
    """
    import cv2
    import numpy as np

    data = raw.reshape(-1)
    if pixel_format in COMPRESSED:
        return _decoded(data.tobytes(), shape, room)
    if shape is None:
        raise DataError("has a size that the driver does not say")
    height, width = shape
    pixel_bytes, name = CONVERSIONS.get(pixel_format, (2.0, "COLOR_GRAY2BGR"))
    expected = int(height * width * pixel_bytes)
    if data.size < expected:
        raise DataError(f"is cut short: {data.size} bytes of {expected}")
    data = data[:expected]
    if pixel_format in DEPTHS:
        from edge.pictures.bits import to_8_bits

        samples = to_8_bits(data.view("<u2").reshape(height, width), DEPTHS[pixel_format] or bits)
    elif pixel_bytes == 1.5:
        samples = data.reshape(height * 3 // 2, width)
    else:
        samples = data.reshape((height, width) if pixel_bytes == 1 else (height, width, int(pixel_bytes)))
    fits = room is not None and room.shape == (height, width, 3)
    return np.asarray(cv2.cvtColor(samples, getattr(cv2, name), dst=room if fits else None), np.uint8)


def _decoded(data: bytes, shape: tuple[int, int] | None, room: "Frame | None") -> Frame:
    """Decode a JPEG. Raises DataError also if bytes follow its end: beyond what the camera filled, a buffer keeps its
    previous content, and the end that was found may be that of an older picture.
    """
    from edge.pictures.jpeg import END, SCAN, decode_jpeg

    end = data.find(END, max(0, data.rfind(SCAN)))
    if end >= 0 and data[end + 2 :].strip(b"\0"):
        raise DataError("is followed by bytes of another one")
    frame = decode_jpeg(data, room if room is not None and shape and room.shape == (*shape, 3) else None)
    if shape is not None and frame.shape[:2] != shape:
        raise DataError(f"has {frame.shape[1]}×{frame.shape[0]} pixels instead of {shape[1]}×{shape[0]}")
    return frame
