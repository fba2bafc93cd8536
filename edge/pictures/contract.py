"""How the pictures of a model's training were read: bits per sample, orientation, pages of a file."""

from typing import Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from edge.errors import DataError

Bits = Literal[10, 12, 14, 16]
"""Significant bits of a sample stored in 16 bits."""


class PictureContract(BaseModel):
    """How the files of a training were read. A run records it, a manifest carries it, a station reads by it.

    A manifest from before this contract existed has none: its pictures had 8 bits, or lost the lower 8 of 16.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: Bits | None = Field(
        default=None,
        description="significant bits of a sample that is stored in 16; null where nobody said it, and pictures of 16 "
        "bits have to fill their range",
    )
    orientation: Literal["applied"] = Field(
        default="applied", description="pictures are turned as their EXIF orientation says"
    )
    pages: Literal["single"] = Field(default="single", description="a file of several pages or frames is no picture")


def checked_bits(bits: int | None) -> Bits | None:
    """The value of --bits. Raises DataError if it is not supported."""
    if bits is not None and bits not in get_args(Bits):
        known = ", ".join(map(str, get_args(Bits)))
        raise DataError(f"--bits {bits}: give {known}, or leave it out where pictures have 8 bits or fill their 16")
    return cast("Bits | None", bits)
