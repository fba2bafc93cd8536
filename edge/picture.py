"""A stored picture as a frame: the one way in which training, export and the line read photographs."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import DataError
from edge.quiet import quietly

if TYPE_CHECKING:
    from edge.sources import Frame

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Names, in lower case, that a picture's file ends with."""

_DAMAGE = re.compile(r"Corrupt JPEG data|Premature end of JPEG|libpng error|TIFF_Error")
"""Complaints of the decoders after which some pixels are made up, though a picture comes back."""

_LOG_PREFIX = re.compile(r"^\[[^\]]*\]\s*global \S+ \S+\s*")


def is_picture_name(path: Path) -> bool:
    """Whether the file's name says that it is a picture; case does not matter."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path | str) -> Frame:
    """Read one picture: `uint8 [H, W, 3]` BGR, C-contiguous, whatever the file holds.

    See `decode_picture`. Raises DataError, one line that begins with the path, if it cannot be read or decoded.
    """
    try:
        return decode_picture(read_bytes(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_bytes(path: Path | str) -> bytes:
    """The file's content. Raises DataError, with the reason alone, if the system does not give it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe or device may never return
            raise DataError("not a regular file")
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from None


def decode_picture(data: bytes) -> Frame:
    """Decode a JPEG, PNG, BMP, TIFF or WebP: `uint8 [H, W, 3]` BGR, C-contiguous.

    Grey becomes three equal channels, 16 bits become the upper 8, alpha is dropped. The EXIF orientation is not
    applied: it tells how a person held a camera, and a line's camera delivers its pixels without it; a picture that
    was turned here would meet the network in another pose than the frame it was taken from.

    Raises DataError, with the reason alone in one line, if the data is empty, no picture, cut short or damaged.
    """
    import cv2
    import numpy as np

    if not data:
        raise DataError("the file is empty")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        frame, complaints = quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as error:
        raise DataError(f"does not decode: {error.err}") from None
    if frame is None:
        raise DataError(f"does not decode as a picture{_first_line(complaints)}")
    if _DAMAGE.search(complaints):
        raise DataError(f"is damaged{_first_line(complaints)}")
    return np.ascontiguousarray(frame, np.uint8)


def _first_line(complaints: str) -> str:
    lines = [_LOG_PREFIX.sub("", line).strip() for line in complaints.splitlines()]
    return next((f" ({line[:120]})" for line in lines if line), "")
