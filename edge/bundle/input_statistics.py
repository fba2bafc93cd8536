"""Statistics of the photographs that a bundle learned from, to recognise pictures unlike them (out of distribution)."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.pictures.features import FEATURES

LARGEST, SMALLEST = 1e9, 1e-9
"""Bounds of the numbers in a manifest, within which no distance overflows."""

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]


class Measured(NamedTuple):
    """The distance of a picture from the training photographs, and the feature in which it differs most from them."""

    distance: float
    feature: str


class Unmeasured(NamedTuple):
    """Pictures are not compared any more, and why."""

    why: str


class InputStatistics(BaseModel):
    """Mean and covariance of the features of the training photographs, and the limit of a picture like them.

    The distance of a picture with the features x is the Mahalanobis distance, the length of
    `whitening · (x - mean) / deviation`. `whitening` is the inverse of the Cholesky factor of the covariance of the
    standardised features, which Ledoit and Wolf's method shrinks towards the identity (Journal of Multivariate
    Analysis 88, 2004).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(default=1, description="of the features' definition")
    data: str = Field(description="the photographs that the statistics are of")
    features: tuple[str, ...] = Field(description="names, in the order of the numbers")
    mean: tuple[Number, ...]
    deviation: tuple[Positive, ...] = Field(description="standard deviation, with the feature's resolution added to it")
    shrinkage: Number = Field(ge=0, le=1, description="0: the covariance as found, 1: the identity")
    whitening: tuple[tuple[Number, ...], ...] = Field(
        description="lower triangular: row n has n numbers, the last one positive"
    )
    limit: Positive = Field(description="a picture of a larger distance is unlike the photographs")
    strategy: str = Field(description="how the limit was chosen")
    held_out: int = Field(ge=1, description="photographs that the limit was chosen on")
    beyond: int = Field(ge=0, description="how many of these have a larger distance")

    def is_unlike(self, measured: Measured) -> bool:
        """Whether this distance is beyond the limit."""
        return measured.distance > self.limit

    @model_validator(mode="after")
    def _fits_the_features(self) -> Self:
        if self.features != FEATURES:
            raise ValueError(f"features are not those of version {self.version}: {', '.join(FEATURES)}")
        for name, numbers in (("mean", self.mean), ("deviation", self.deviation), ("whitening", self.whitening)):
            if len(numbers) != len(FEATURES):
                raise ValueError(f"{name} has {len(numbers)} entries, there are {len(FEATURES)} features")
        if any(len(row) != n or row[-1] <= 0 for n, row in enumerate(self.whitening, 1)):
            raise ValueError("whitening is not lower triangular with a positive diagonal")
        if self.beyond > self.held_out:
            raise ValueError(f"beyond is {self.beyond}, of {self.held_out} photographs")
        return self
