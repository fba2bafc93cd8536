"""Stored pictures: bytes in; a frame, or the reason why there is none, out. Training, export, verification and the
line read pictures here and nowhere else.

    reader.py    read_picture, decode_picture, decode_unchanged: any format
    header.py    format, size, orientation and number of pages, before anything is decoded
    jpeg.py  png.py  tiff.py  length.py    what each format can prove of its own integrity
    bits.py      9 to 16 bits a sample made 8
    blank.py     black, saturated and flat pictures
    contract.py  what a model was told of the pictures that it learned from
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
