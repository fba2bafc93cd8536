"""Previews on the viewers' socket: a small JPEG of a judged part, only while somebody subscribes to them.

A preview has its own topic, which no subscription to a station's messages matches: `evp1-preview/STATION/`. Its second
frame is JSON, its third a JPEG. Nothing may be decided by it.
"""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from edge.channel.limits import LARGEST_MESSAGE

PREVIEWS = "evp1-preview"
"""First part of the topic."""

MOST_A_SECOND = 4
"""Previews of a station in a second, at most."""

LONGEST_SIDE = 640
"""Longer side of a preview, pixels; a smaller frame is not enlarged."""


MOST_CELLS = 48
"""Cells of a heat map along a side."""

LEVEL, HOTTEST = 160, 255
"""Values of a cell at the bundle's map threshold, and at most."""


class Heat(BaseModel):
    """The model's map on the frame in few cells: `rows` × `columns`, row by row.

    A cell is two hexadecimal digits: 0 is the median of the bundle's golden maps or less, LEVEL its map threshold.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    x: float = Field(description="left edge of the cells, in pixels of the frame")
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    rows: int = Field(ge=1, le=MOST_CELLS)
    columns: int = Field(ge=1, le=MOST_CELLS)
    cells: str = Field(pattern=r"^([0-9a-f]{2})+$", max_length=2 * MOST_CELLS * MOST_CELLS)


class About(BaseModel):
    """Of which verdict a preview is, and the size of the frame in pixels."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    station: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    epoch: str = Field(pattern=r"^[0-9a-f]{1,64}$")
    seq: int = Field(ge=1, le=2**53)
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)
    heat: Heat | None = None


class Preview(NamedTuple):
    """A preview as it is received: what it shows, and the bytes of the JPEG."""

    about: About
    jpeg: bytes


def topic_of(station: str) -> bytes:
    """Topic of a station's previews."""
    return f"{PREVIEWS}/{station}/".encode()


def parse_preview(topic: bytes, frames: list[bytes]) -> Preview:
    """Decode the frames after the topic. Raises ValueError if they are no preview of the topic's station."""
    if len(frames) != 2 or any(len(frame) > LARGEST_MESSAGE for frame in frames):
        raise ValueError("a preview has JSON and a JPEG")
    about = About.model_validate_json(frames[0])
    if topic != topic_of(about.station):
        raise ValueError(f"a preview of {about.station!r} under another topic")
    if not frames[1].startswith(b"\xff\xd8\xff"):
        raise ValueError("the picture is no JPEG")
    return Preview(about, frames[1])
