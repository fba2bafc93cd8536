"""Conversion of machine vision pixel formats to BGR. Names and numbers are those of PFNC, the Pixel Format Naming
Convention.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.frame import Frame

READABLE = {
    "Mono8": 0x01080001,
    "Mono10": 0x01100003,
    "Mono12": 0x01100005,
    "BayerGR8": 0x01080008,
    "BayerRG8": 0x01080009,
    "BayerGB8": 0x0108000A,
    "BayerBG8": 0x0108000B,
    "RGB8": 0x02180014,
    "BGR8": 0x02180015,
}
"""The formats that `to_bgr` reads."""

_NAMES = {number: name for name, number in READABLE.items()}
_UNUSED_BITS = {"Mono10": 2, "Mono12": 4}
"""Number of low-order bits dropped from 10- and 12-bit samples, stored in the low bits of 16, to make 8-bit ones."""


def to_bgr(pixels: memoryview, number: int, height: int, width: int, room: "Frame | None" = None) -> "Frame":
    """The picture in a buffer as `uint8 [height, width, 3]` BGR, in new memory or in `room`, which must have its shape.

    `number` is the format's PFNC number. Raises ValueError if the format is not supported or the buffer is too short.
    """
    import cv2
    import numpy as np

    name = _NAMES.get(number)
    if name is None:
        raise ValueError(f"pixel format {number:#010x} is not read")
    channels = 3 if name in ("RGB8", "BGR8") else 1
    count, shape = height * width * channels, (height, width, channels)
    if name in _UNUSED_BITS:
        wide = np.frombuffer(pixels, np.dtype("<u2"), count)
        raw = (wide >> _UNUSED_BITS[name]).astype(np.uint8).reshape(shape)
    else:
        raw = np.frombuffer(pixels, np.uint8, count).reshape(shape)
    if name == "BGR8":
        if room is None:
            return raw.copy()
        room[...] = raw
        return room
    code = {
        "RGB8": cv2.COLOR_RGB2BGR,
        # OpenCV names a pattern by its second row and column, PFNC by its first; these OpenCV aliases follow PFNC.
        "BayerGR8": cv2.COLOR_BayerGRBG2BGR,
        "BayerRG8": cv2.COLOR_BayerRGGB2BGR,
        "BayerGB8": cv2.COLOR_BayerGBRG2BGR,
        "BayerBG8": cv2.COLOR_BayerBGGR2BGR,
    }.get(name, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(cv2.cvtColor(raw, code, room), np.uint8)
