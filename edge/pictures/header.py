"""The header of a picture's file, read before decoding, so that a small file cannot demand much memory."""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import DataError
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.pictures.png import chunks

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""Pillow's names of the supported formats. Pillow reports a JPEG that announces further pictures as MPO."""

BITS_PER_SAMPLE = 258
"""TIFF tag."""

ORIENTATION = 0x0112
"""EXIF and TIFF tag: 1 is upright, 2 to 8 are the other rotations and reflections."""


_TOO_LARGE = f"a frame has at most {LARGEST_FRAME} a side"


class Header(NamedTuple):
    """`height` and `width` in pixels as stored, for TIFF as displayed. `mode` is Pillow's name of the pixel layout.

    `is_packed`: the samples have 9 to 15 bits according to the file; OpenCV returns them in the upper bits of 16.
    """

    format: str
    height: int
    width: int
    mode: str
    orientation: int
    is_packed: bool = False


def read_header(data: bytes) -> Header:
    """Read the header of one picture.

    Raises DataError, with only the reason in one line, if the data is not a picture of a supported format, has more
    than one page or frame, or if its size is not allowed for a frame of the line.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes that are refused here
            with Image.open(BytesIO(data), formats=FORMATS) as picture:
                _check_size(*picture.size)
                pages = int(getattr(picture, "n_frames", 1))
                if pages != 1:
                    raise DataError(f"holds {pages} pages or frames, and a file is one picture; give each a file")
                width, height = picture.size
                about = (picture.format or "", height, width, picture.mode)
                return Header(*about, _orientation(picture, data), _is_packed(picture))
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_TOO_LARGE) from None
    except UnidentifiedImageError:
        known = "JPEG, PNG, BMP, TIFF or WebP"
        raise DataError(f"does not decode as a picture: no {known} of grey or RGB, or its header is damaged") from None
    except Exception as error:  # a damaged header: each of Pillow's readers raises its own kinds of errors
        raise DataError(f"does not decode as a picture: its header is damaged ({_line(error)})") from None


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_FRAME:
        raise DataError(f"has {width}×{height} pixels; a frame has at least {SMALLEST_FRAME} a side")
    if max(width, height) > LARGEST_FRAME:
        raise DataError(f"has {width}×{height} pixels; {_TOO_LARGE}")


def _orientation(picture: "Image", data: bytes) -> int:
    """The EXIF orientation; a value outside the standard counts as upright, as in viewers."""
    from PIL import Image

    if picture.format == "PNG":  # Pillow would decode the pixels first: the chunk may come after them
        exif = Image.Exif()
        exif.load(next((bytes(body) for _, kind, body in chunks(data) if kind == b"eXIf"), b""))
    else:
        exif = picture.getexif()
    value = exif.get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_packed(picture: "Image") -> bool:
    tags = getattr(picture, "tag_v2", {})
    return 8 < int(max(tags.get(BITS_PER_SAMPLE, (8,)))) < 16


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
