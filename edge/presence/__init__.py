"""Parts that pass a free-running camera: found, followed, and each shown to the model once, where it is best centred.

This module is light, so that the station's own process may import it; the work begins in `edge.presence.finder`.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool

if TYPE_CHECKING:
    from edge.sources import Shown


class Presence(BaseModel):
    """How parts are found and what the model is shown of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    axis: Literal["x", "y"] = Field("x", description="the way the belt runs through the frame; either direction")
    smallest: float = Field(
        0.15, gt=0, lt=1, description="least length and breadth of a part, as a share of the frame; dirt is smaller"
    )
    frames: int = Field(1, ge=1, le=16, description="frames of each part that are scored: the best centred ones")
    aggregate: Literal["max", "mean"] = Field("max", description="what becomes of their scores")
    alone: StrictBool = Field(
        True, description="the model sees the part in the middle and belt where others are; false: frames as they are"
    )


class Followed(NamedTuple):
    """A part in view: where its ends are, in cells, seen or reckoned, None while unknown; whether it was answered; and
    what a simulated source knows of it.
    """

    low: float | None
    high: float | None
    is_answered: bool
    shown: "Shown | None" = None


class Belt(NamedTuple):
    """The belt without parts: its `colours` along a column of cells, blue, green and red in turn, and how bright each
    column is compared with them, `light`. Empty while it is not known.
    """

    colours: tuple[float, ...] = ()
    light: tuple[float, ...] = ()


class Remembered(NamedTuple):
    """What a finder that takes over from one that died must know: numbers, no pixels.

    `parts` counts those found, `velocity` is in cells a second, None if not known, `step` in cells from frame to frame;
    `length` is that of a part in cells, None if not known. `tracks` are the parts in view at `seen_s`, the moment of
    the last frame on the clock of the source's stamps; all run at `velocity`.
    """

    parts: int
    velocity: float | None
    step: float
    length: float | None
    belt: Belt
    seen_s: float | None = None
    tracks: tuple[Followed, ...] = ()
