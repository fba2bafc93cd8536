"""TIFF: errors of libtiff through Pillow, and the checksums of Deflate, which are checked here.

Uncompressed, LZW and PackBits pixels have no checksum. TIFF 6.0 (Adobe, 1992); Deflate: Adobe's technical note of 2002.
"""

import zlib
from io import BytesIO

from edge.errors import DataError
from edge.letterbox.geometry import LARGEST_FRAME
from edge.pictures.header import BITS_PER_SAMPLE

COMPRESSION, PHOTOMETRIC = 259, 262
STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 279, 324, 325
"""Tags of the image file directory."""

DEFLATE, JPEG = (8, 32946), (6, 7)


def check_tiff(data: bytes) -> None:
    """Raise DataError, with only the reason, if the pixels do not decode without an error."""
    from PIL import Image, TiffImagePlugin

    try:
        with Image.open(BytesIO(data), formats=["TIFF"]) as picture:
            assert isinstance(picture, TiffImagePlugin.TiffImageFile)
            tags = picture.tag_v2
            if tags.get(COMPRESSION) in JPEG:
                raise DataError(
                    "holds a JPEG inside a TIFF, whose damage does not show; save it as JPEG or with Deflate"
                )
            if tags.get(PHOTOMETRIC) == 0 and max(tags.get(BITS_PER_SAMPLE, (1,))) > 8:
                raise DataError("is stored with white as 0 in more than 8 bits; save it with black as 0")
            if tags.get(COMPRESSION) in DEFLATE:
                offsets = tags.get(STRIP_OFFSETS) or tags.get(TILE_OFFSETS) or ()
                _check_deflated(data, offsets, tags.get(STRIP_BYTES) or tags.get(TILE_BYTES) or ())
            else:
                picture.load()
    except DataError:
        raise
    except Exception as error:  # Pillow's codecs raise their own kinds of errors
        lines = str(error).strip().splitlines()
        raise DataError(f"is damaged ({lines[0][:120] if lines else type(error).__name__})") from None


def _check_deflated(data: bytes, offsets: tuple[int, ...], counts: tuple[int, ...]) -> None:
    """Inflate every strip or tile to its end, where its checksum is, which libtiff does not read."""
    room = 8 * LARGEST_FRAME * LARGEST_FRAME  # bytes of the largest picture, 16 bits and four channels
    for offset, count in zip(offsets, counts, strict=True):
        inflating = zlib.decompressobj()
        try:
            room -= len(inflating.decompress(data[offset : offset + count], room + 1))
        except zlib.error as error:
            raise DataError(f"is damaged ({str(error)[:120]})") from None
        if room < 0 or not inflating.eof:
            raise DataError("is damaged (a strip of the TIFF does not end where it should)")
