"""The letterbox contract: how a frame becomes the network's input. Training, export and runtime share it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.errors import DataError
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME, Letterbox, letterbox
from edge.text import counted

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue: ITU-R BT.601, as cv2.COLOR_BGR2GRAY."""

BLIND_FILTER = (
    "letterbox.filter bilinear weighs two pixels a side and skips the rest: thin defects may vanish between its taps "
    "on large frames; antialias and box see them"
)
"""Warning for users who choose this filter."""

Value = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RegionOfInterest(BaseModel):
    """The part of the frame that is looked at, in its pixels: rows `top` to before `bottom`, columns likewise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int = Field(ge=0)
    left: int = Field(ge=0)
    height: int = Field(ge=SMALLEST_FRAME)
    width: int = Field(ge=SMALLEST_FRAME)

    @property
    def bottom(self) -> int:
        """The first row below the region."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right of the region."""
        return self.left + self.width

    @model_validator(mode="after")
    def _lies_in_some_frame(self) -> Self:
        if max(self.bottom, self.right) > LARGEST_FRAME:
            raise ValueError(
                f"the region ends at column {self.right}, row {self.bottom}; no frame has more than {LARGEST_FRAME}"
            )
        return self


class LetterboxContract(BaseModel):
    """From a frame to a network input `float32 [1, channels, side, side]` and its mask.

    The station's frame is `uint8 [H, W, 3]` BGR. The graph takes it so (`frame` bgr: `uint8 [1, H, W, 3]`), or as
    `uint8 [1, H, W]` from a grey camera (`frame` grey: `edge.letterbox.frame.graph_frame` converts). Of that the
    `region` alone is looked at, if there is one. It is resized to the integer size of
    `edge.letterbox.geometry.letterbox` by `filter`, centred, and surrounded with the grey level `fill`; then every
    value v becomes `(v / 255 - mean) / std`, channel by channel, padding included. A network that was trained on values
    from 0 to 255 gets them with mean 0 and std 1/255. The mask `float32 [1, 1, side, side]` is 1 on the frame and 0 on
    the padding.

    `colour` is what the network sees: three channels in the order RGB or BGR, a grey frame three times over; or grey,
    one channel, `LUMINANCE`, not rounded.

    `antialias` is the triangle filter of PIL and of `torch.nn.functional.interpolate(antialias=True)`, on floats. `box`
    takes the mean over blocks of k×k pixels first, k = max(H, W) // side, then the same filter on the block means: as
    blind to nothing, and several times faster on large frames. The two differ by up to 10 grey levels at edges, so a
    network runs with the one it was trained with. `bilinear` is for networks that were trained elsewhere with
    `cv2.INTER_LINEAR` or `interpolate(mode="bilinear")`, on floats: two pixels a side, and what lies between is lost.

    With the mode `stretch` both sides of the frame become `side`: no padding, the mask is 1 everywhere, and the frame's
    proportions are lost. It does not know the filter `box`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(ge=16, le=4096, description="side of the square network input, pixels")
    mode: Literal["letterbox", "stretch"] = "letterbox"
    filter: Literal["antialias", "box", "bilinear"] = "antialias"
    fill: int = Field(default=0, ge=0, le=255, description="grey level of the padding")
    frame: Literal["bgr", "grey"] = Field(default="bgr", description="what the graph takes: three channels or none")
    colour: Literal["rgb", "bgr", "grey"] = Field(default="rgb", description="what the network sees")
    region: RegionOfInterest | None = Field(default=None, description="what is looked at; null is the whole frame")
    mean: tuple[Value, ...] = Field(
        default_factory=lambda so_far: (0.0,) * _channels(so_far),
        description="of each channel that the network sees, in its order, of values in 0..1",
    )
    std: tuple[Deviation, ...] = Field(
        default_factory=lambda so_far: (1.0,) * _channels(so_far),
        description="of each channel that the network sees, in its order, of values in 0..1",
    )

    @property
    def is_stretched(self) -> bool:
        """Whether the frame fills the square without keeping its proportions."""
        return self.mode == "stretch"

    @property
    def channels(self) -> int:
        """Number of channels of the network's input: 3, or 1 for grey."""
        return 1 if self.colour == "grey" else 3

    @property
    def warning(self) -> str | None:
        """A one-line warning for users who train or export with this contract; None if there is none."""
        return BLIND_FILTER if self.filter == "bilinear" else None

    def refusal(self, height: int, width: int) -> str | None:
        """Why a frame of this size cannot be judged, in one line; None if it contains the region."""
        region = self.region
        if region is None or (region.bottom <= height and region.right <= width):
            return None
        return (
            f"{width}×{height} does not hold the region of {region.width}×{region.height} pixels "
            f"at column {region.left}, row {region.top}"
        )

    def fit(self, height: int, width: int) -> Letterbox:
        """Position of a frame of this size in the square. Raises DataError if it does not contain the region."""
        if refusal := self.refusal(height, width):
            raise DataError(f"a frame of {refusal}")
        if (region := self.region) is None:
            return letterbox(height, width, self.side, self.is_stretched)
        return letterbox(region.height, region.width, self.side, self.is_stretched, (region.top, region.left))

    def holding(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size (height, width) of at least this one that contains the region."""
        region = self.region
        return (height, width) if region is None else (max(height, region.bottom), max(width, region.right))

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.is_stretched and self.filter == "box":
            raise ValueError("mode stretch has the filters antialias and bilinear; square blocks do not fit it")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(
                    f"{name} has {counted(len(values), 'value')}; "
                    f"a network that sees {self.colour} takes {self.channels}"
                )
        return self


def _channels(so_far: dict[str, Any]) -> int:
    return 1 if so_far.get("colour") == "grey" else 3
