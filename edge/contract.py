"""The letterbox contract: what happens to a frame before the network sees it. Training, export and runtime share it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LetterboxContract(BaseModel):
    """From a frame `uint8 [H, W, 3]` BGR to a network input `float32 [1, 3, side, side]` RGB and its mask.

    The frame is resized to the integer size of `edge.geometry.letterbox` by `filter`, centred, and surrounded with
    the grey level `fill`; then every value v becomes `(v / 255 - mean) / std`, channel by channel, padding included.
    The mask `float32 [1, 1, side, side]` is 1 on the frame and 0 on the padding.

    `antialias` is the triangle filter of PIL and of `torch.nn.functional.interpolate(antialias=True)`, on floats. `box`
    takes the mean over blocks of k×k pixels first, k = max(H, W) // side, then the same filter on the block means: as
    blind to nothing, and several times faster on large frames. The two differ by up to 10 grey levels at edges, so a
    network runs with the one it was trained with.

    With the mode `stretch` both sides of the frame become `side`: no padding, the mask is 1 everywhere, and the frame's
    proportions are lost. It knows the filter `antialias` alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(ge=16, le=2048, description="side of the square network input, pixels")
    mode: Literal["letterbox", "stretch"] = "letterbox"
    filter: Literal["antialias", "box"] = "antialias"
    fill: int = Field(default=0, ge=0, le=255, description="grey level of the padding")
    mean: tuple[float, float, float] = Field(default=(0.0, 0.0, 0.0), description="RGB, of values in 0..1")
    std: tuple[float, float, float] = Field(default=(1.0, 1.0, 1.0), description="RGB, of values in 0..1")

    @property
    def is_stretched(self) -> bool:
        """Whether the frame fills the square, its proportions lost."""
        return self.mode == "stretch"

    @model_validator(mode="after")
    def _stretch_is_antialiased(self) -> "LetterboxContract":
        if self.is_stretched and self.filter != "antialias":
            raise ValueError("mode stretch has the filter antialias; square blocks do not fit a stretched frame")
        return self
