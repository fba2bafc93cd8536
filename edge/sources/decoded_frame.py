"""A frame that FFmpeg decoded, converted to BGR, 8 bits, upright, in existing memory where possible."""

import struct
from typing import TYPE_CHECKING, cast

from edge.frame import Frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av import VideoFrame
    from typing_extensions import Buffer

Matrix = tuple[int, int, int, int]
"""Orientation of a picture: a, b, c and d of ISO/IEC 14496-12's matrix, where x' = a·x + c·y and y' = b·x + d·y."""

UPRIGHT: Matrix = (1, 0, 0, 1)


def bgr(frame: "VideoFrame", bits: int | None, room: "Frame | None" = None) -> Frame:
    """The frame's pixels, `uint8 [height, width, 3]`, in display orientation; in `room` if it has that shape.

    Samples of 9 to 15 bits are scaled to 8. Of 16-bit samples, `bits` are significant, see `to_8_bits`; raises its
    DataError.
    """
    import numpy as np

    if max(component.bits for component in frame.format.components) == 16:
        from edge.pictures.bits import to_8_bits

        samples = np.asarray(frame.to_ndarray(format="bgr48le"), np.uint16)
        return upright(to_8_bits(samples, bits), matrix_of(frame) or UPRIGHT, room)
    plane = frame.reformat(format="bgr24").planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : 3 * frame.width]
    return upright(rows.reshape(frame.height, frame.width, 3), matrix_of(frame) or UPRIGHT, room)


MATRICES: tuple[Matrix, ...] = (
    (1, 0, 0, 1), (-1, 0, 0, 1), (-1, 0, 0, -1), (1, 0, 0, -1),
    (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0), (0, -1, 1, 0),
)  # fmt: skip
"""Matrices of the EXIF orientations 1 to 8."""


def matrix_of_jpeg(data: bytes) -> Matrix:
    """Orientation of a JPEG from its EXIF data. Raises DataError if the header is not valid."""
    from edge.pictures.header import read_header

    return MATRICES[read_header(data).orientation - 1]


def matrix_of(frame: "VideoFrame") -> Matrix | None:
    """Orientation of the frame; None if the frame has side data that PyAV does not know, such as a JPEG's EXIF."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return None
    if data is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", cast("Buffer", data))
    largest = max(map(abs, (a, b, c, d)))
    return tuple(round(value / largest) if largest else 0 for value in (a, b, c, d))  # type: ignore[return-value]


def upright(pixels: "npt.NDArray[np.uint8]", matrix: Matrix, room: "Frame | None" = None) -> Frame:
    """The pixels in display orientation: in `room` if it has their shape, else in new memory. C-contiguous.

    Only multiples of 90° are applied; cameras write no other angles.
    """
    import numpy as np

    a, b, c, d = matrix
    is_turned = abs(b) > abs(a)
    if is_turned:
        pixels = pixels.swapaxes(0, 1)
    if (c if is_turned else a) < 0:
        pixels = pixels[:, ::-1]
    if (b if is_turned else d) < 0:
        pixels = pixels[::-1]
    if room is None or room.shape != pixels.shape:
        return np.ascontiguousarray(pixels)
    if room.ctypes.data != pixels.ctypes.data:
        room[...] = pixels
    return room
