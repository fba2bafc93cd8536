"""Stored pictures: input bytes; output a frame, or the reason why there is none. Training, export, verification and the
line read pictures only through this package.

    reader.py    read_picture, decode_picture, decode_unchanged: any format
    header.py    format, size, orientation and number of pages, before decoding
    jpeg.py  png.py  tiff.py  length.py    integrity checks of each format
    bits.py      conversion of 9 to 16 bits per sample to 8
    blank.py     black, saturated and flat pictures
    features.py  brightness, colour and texture, by which pictures are compared with training photographs
    contract.py  how the pictures of a model's training were read
"""

from edge.pictures.contract import PictureContract
from edge.pictures.reader import (
    PICTURE_SUFFIXES,
    decode_picture,
    decode_unchanged,
    is_picture_name,
    read_bytes,
    read_picture,
)

__all__ = [
    "PICTURE_SUFFIXES",
    "PictureContract",
    "decode_picture",
    "decode_unchanged",
    "is_picture_name",
    "read_bytes",
    "read_picture",
]
