"""Detection of parts that pass a free-running camera: each part is found, tracked, and scored once, where it is best
centred.

This module has no heavy imports, so that the supervisor can import it; `edge.presence.finder` does the work.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool

if TYPE_CHECKING:
    from edge.sources import Shown


class Presence(BaseModel):
    """How parts are found, and what the model sees of each."""

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
    """A part in view: its ends in cells, measured or predicted, None while unknown; whether it was answered; and the
    simulated source's description of it.
    """

    low: float | None
    high: float | None
    is_answered: bool
    shown: "Shown | None" = None


class Belt(NamedTuple):
    """The belt without parts: its `colours` along a column of cells (blue, green and red in turn), and `light`, the
    brightness of each column relative to them. Empty while unknown.
    """

    colours: tuple[float, ...] = ()
    light: tuple[float, ...] = ()


class Remembered(NamedTuple):
    """The state that a restarted finder needs from its predecessor: numbers, no pixels.

    `parts` is the number of parts found. `velocity` is in cells per second, None if unknown; `step` is in cells per
    frame. `length` is that of a part in cells, None if unknown. `tracks` are the parts in view at `seen_s`, the time of
    the last frame on the clock of the source's stamps; all of them move at `velocity`.
    """

    parts: int
    velocity: float | None
    step: float
    length: float | None
    belt: Belt
    seen_s: float | None = None
    tracks: tuple[Followed, ...] = ()
