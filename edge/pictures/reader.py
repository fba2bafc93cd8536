"""A stored picture as a frame: training, export, verification and the line all read photographs through this module."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge.frame import Frame
    from edge.pictures.header import Header

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"})
"""Suffixes of picture files, in lower case."""


def is_picture_name(path: Path) -> bool:
    """Whether the file's name has a picture's suffix, in any case."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path | str, bits: int | None = None) -> Frame:
    """Read one picture of any supported format: `uint8 [H, W, 3]` BGR, C-contiguous; see `decode_picture`.

    Raises DataError, one line that begins with the path, if it cannot be read or decoded.
    """
    try:
        return decode_picture(read_bytes(path), bits)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_bytes(path: Path | str) -> bytes:
    """The file's content. Raises DataError, with only the reason, if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe or device may never return
            raise DataError("not a regular file")
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from None


def decode_picture(data: bytes, bits: int | None = None) -> Frame:
    """Decode a JPEG, PNG, BMP, TIFF or WebP: `uint8 [H, W, 3]` BGR, C-contiguous, upright.

    Grey becomes three equal channels. 16-bit samples are converted by `to_8_bits` with `bits`; 8-bit samples stay. The
    EXIF orientation is applied. Raises DataError, with only the reason in one line, if the data is empty, not a
    picture, damaged, transparent anywhere, has several pages, or a size that is not allowed for a frame.
    """
    import cv2
    import numpy as np

    from edge.pictures.bits import to_8_bits
    from edge.pictures.header import read_header

    if not data:
        raise DataError("the file is empty")
    header = read_header(data)
    samples = _opaque(_samples(data, header))
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8) if header.is_packed else to_8_bits(samples, bits)
    if samples.ndim == 2:
        samples = cv2.cvtColor(samples, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(_upright(samples, header), np.uint8)


def decode_unchanged(data: bytes) -> npt.NDArray[Any]:
    """The stored samples of a picture: `uint8` or `uint16`, `[H, W]` or `[H, W, 3 or 4]` BGR(A).

    Palettes are resolved and the EXIF orientation is applied. For masks, whose sample values have a meaning. Raises
    DataError, with only the reason.
    """
    from edge.pictures.header import read_header

    if not data:
        raise DataError("the file is empty")
    header = read_header(data)
    return _upright(_samples(data, header), header)


def _samples(data: bytes, header: Header) -> npt.NDArray[Any]:
    """The checked and decoded samples, `uint8` or `uint16`, `[H, W]` or `[H, W, 3 or 4]` BGR(A). Raises DataError."""
    import cv2
    import numpy as np

    from edge.pictures.jpeg import check_jpeg, decode_jpeg
    from edge.pictures.length import check_bmp, check_webp
    from edge.pictures.png import check_png
    from edge.pictures.tiff import check_tiff

    if header.mode in ("CMYK", "LAB"):
        raise DataError(f"has {header.mode} colours; save it as grey or RGB")
    if header.format in ("JPEG", "MPO"):
        check_jpeg(data)
        return decode_jpeg(data)
    {"PNG": check_png, "TIFF": check_tiff, "BMP": check_bmp, "WEBP": check_webp}[header.format](data)
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"does not decode: {error.err}") from None
    if samples is None:
        raise DataError(
            f"does not decode as a picture: this {header.format} is damaged, or of a kind that OpenCV lacks"
        )
    if samples.shape[:2] != (header.height, header.width):
        raise DataError(f"is damaged (its header says {header.width}×{header.height} pixels, which it does not hold)")
    if samples.dtype not in (np.uint8, np.uint16) or samples.ndim not in (2, 3):
        raise DataError(f"has samples of type {samples.dtype}; save it with 8 or 16 bits a sample")
    return samples


def _opaque(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The samples without a fully opaque alpha channel. Raises DataError if any pixel is transparent."""
    import numpy as np

    if samples.ndim == 2 or samples.shape[2] == 3:
        return samples
    if samples[..., 3].min() < np.iinfo(samples.dtype).max:
        raise DataError("is transparent in places: what a camera would show there is unknown; save it without alpha")
    return np.ascontiguousarray(samples[..., :3])


def _upright(samples: npt.NDArray[Any], header: Header) -> npt.NDArray[Any]:
    """The samples in EXIF orientation; for TIFF, OpenCV applies it itself."""
    import numpy as np

    if header.orientation == 1 or header.format == "TIFF":
        return samples
    if header.orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if header.orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if header.orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
