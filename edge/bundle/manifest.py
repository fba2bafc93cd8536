"""The manifest of a bundle: its schema and its parser."""

import json
from math import inf
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.bundle.input_statistics import InputStatistics
from edge.bundle.tolerance import Bounds, ValueRange
from edge.errors import BundleError
from edge.letterbox.contract import LetterboxContract
from edge.pictures.contract import PictureContract
from edge.runtimes import RuntimeName
from edge.text import printable
from edge.validation import plain
from edge.verdict import MOST_KINDS, KindName

SCHEMA_VERSION, OLDEST_VERSION = 3, 2
"""The newest and the oldest schema that are read. A bundle without kinds of defects is written as version 2, which
programs from before version 3 read too."""

MANIFEST = "manifest.json"

MOST_SHOWN = 200
"""Characters of a wrong name that an error message shows."""

MOST_SAID = 400
"""Characters of what is said of a wrong value or key; a name in it can be as long as its author wants."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Section):
    """A rate that was observed, with its exact (Clopper-Pearson) 95% interval; null where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None
    count: int = Field(ge=0, description="photographs the rate was counted on")


class Threshold(_Section):
    """score >= value is a reject."""

    value: float = Field(allow_inf_nan=False)
    strategy: str = Field(description="how it was chosen")
    data: str = Field(description="the photographs it was chosen on")
    recall: Interval
    specificity: Interval

    def rejects(self, score: float) -> bool:
        """Whether a part with this score is a reject."""
        return score >= self.value


class MapThreshold(_Section):
    """A cell of the map at or above value belongs to a defect: says where a reject's defects are, not whether."""

    value: float = Field(allow_inf_nan=False)
    strategy: str = Field(description="how it was chosen")
    artifact: str = Field(description="the artifact whose maps it was chosen on")
    data: str = Field(description="the photographs it was chosen on")
    dice: float | None = Field(description="Dice over all their pixels together; null where it was not chosen by masks")


class Quantization(_Section):
    """How an int8 artifact was made."""

    calibrated_on: str = Field(description="the photographs that gave the ranges of its numbers")
    weight_bits: Literal[7, 8] = Field(
        default=7, description="8 are more exact; on CPUs without VNNI their sums saturate"
    )
    integer_layers: int = Field(ge=0, description="layers that the runtime computed in int8 at export")
    speedup: float | None = Field(
        default=None,
        gt=0,
        description="how many times as fast as the float32 artifact of its runtime the network alone was at export",
    )
    given_back: list[str] = Field(description="layers that would turn verdicts in int8, and compute in float32")


class GoodScores(_Section):
    """The scores of the good validation photographs, whatever the threshold made of them."""

    artifact: str = Field(description="the artifact that gave them")
    count: int = Field(ge=1)
    low: float = Field(allow_inf_nan=False, description="5 % of them are lower")
    median: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False, description="5 % of them are higher")


class Artifact(_Section):
    """A compiled form of the network, with the threshold for its own scores; `path` is relative to the bundle."""

    backend: RuntimeName = Field(description="the runtime that runs it")
    precision: Literal["f32", "int8"] = "f32"
    path: str
    threshold: Threshold
    margin: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="largest difference of its score from that of PyTorch or a float32 artifact, on the frames "
        "compared at export; a score this near the threshold is marginal",
    )
    golden_tolerance: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="largest allowed difference of a golden score in score_range, more beyond it in proportion",
    )
    golden_map_tolerance: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="the same of a map value and map_range; null where golden_tolerance holds for maps, too",
    )
    golden_kind_tolerance: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        exclude_if=lambda tolerance: tolerance is None,
        description="largest allowed difference of a probability of a kind; absent where the graph has no kinds",
    )
    quantization: Quantization | None = Field(default=None, description="null where it computes in float32")


class Manifest(_Section):
    """Everything a station needs to know about a bundle besides the graphs themselves."""

    schema_version: Literal[2, 3] = 2
    name: str = Field(max_length=200)
    task: Literal["one-class", "supervised"]
    description: str
    simulated: bool = Field(description="trained on the built-in demonstration line; no gate passes its verdicts")
    letterbox: LetterboxContract
    picture: PictureContract | None = Field(
        default=None, description="how the pictures that it learned from were read; null in a bundle of before"
    )
    map_size: tuple[int, int] | None = Field(description="(height, width) of the map, if the graph has one")
    labels: tuple[str, str] = ("good", "bad")
    kinds: tuple[KindName, ...] = Field(
        default=(),
        max_length=MOST_KINDS,
        exclude_if=lambda kinds: not kinds,
        description="the kinds of defects in the order of the graph's output kind; absent where it has none",
    )
    map_threshold: MapThreshold | None = Field(description="null where the graph has no map")
    score_range: ValueRange | None = Field(
        default=None,
        description="of the scores that the network gave the validation photographs, or drawn frames where there were "
        "none; null in bundles from before it was recorded",
    )
    map_range: ValueRange | None = Field(default=None, description="the same of the cells of their maps")
    input_statistics: InputStatistics | None = Field(
        default=None, description="of the training photographs, to recognise pictures unlike them; null if unknown"
    )
    good_scores: GoodScores | None = Field(
        default=None, description="of good validation photographs, to recognise a line that scores otherwise"
    )
    metrics: dict[str, float | None]
    artifacts: dict[str, Artifact] = Field(
        min_length=1, description="by name: that of the backend, and of the precision where it is not float32"
    )
    refused: dict[str, str] = Field(default={}, description="artifacts that were asked for and would not do, and why")
    files: dict[str, str] = Field(description="SHA-256 of every file but the manifest, its own hash and signatures")
    provenance: dict[str, str]

    @model_validator(mode="after")
    def _kinds_are_told_apart(self) -> Self:
        if self.kinds and (len(self.kinds) < 2 or len(set(self.kinds)) < len(self.kinds)):
            raise ValueError("kinds: two or more, each once")
        if bool(self.kinds) != (self.schema_version > OLDEST_VERSION):
            raise ValueError(f"kinds belong to schema {SCHEMA_VERSION}, and schema {SCHEMA_VERSION} to kinds")
        for name, artifact in self.artifacts.items():
            if bool(self.kinds) != (artifact.golden_kind_tolerance is not None):
                raise ValueError(f"golden_kind_tolerance of {name}: kinds need it, and it needs kinds")
        return self

    @model_validator(mode="after")
    def _golden_frames_can_fail(self) -> Self:
        for name, artifact in self.artifacts.items():
            bounds = self.bounds(name)
            usual = max(1.0, abs(artifact.threshold.value))  # for scores without a recorded range
            largest = (
                ("golden_tolerance", bounds.score_tolerance, bounds.scores.spread if bounds.scores else usual),
                ("golden_map_tolerance", bounds.map_tolerance, bounds.maps.spread if bounds.maps else inf),
            )
            for key, value, limit in largest:
                if value > limit:
                    raise ValueError(
                        f"{key} of {name} is {value:g}, more than the range of its values, {limit:g}: golden frames "
                        "could not fail"
                    )
        return self

    def bounds(self, name: str) -> Bounds:
        """The allowed differences of the scores, maps and kinds of the artifact `name` on golden frames."""
        artifact = self.artifacts[name]
        on_maps = artifact.golden_map_tolerance or artifact.golden_tolerance
        return Bounds(
            artifact.golden_tolerance, on_maps, self.score_range, self.map_range, artifact.golden_kind_tolerance
        )


def parse_manifest(path: Path, content: bytes) -> Manifest:
    """The manifest of the bundle `path` from its bytes. Raises BundleError with a one-line message."""
    try:
        fields: Any = json.loads(content)
        version = fields["schema_version"]
        if not isinstance(version, int) or version.bit_length() > 64:
            raise TypeError(version)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: {MANIFEST} is not a bundle's manifest; export the bundle again") from error
    if version < OLDEST_VERSION:
        raise BundleError(
            f"{path}: bundle schema {version} is older than {OLDEST_VERSION}, the oldest this edge-inspect reads; "
            "export the bundle again"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: bundle schema {version} is newer than {SCHEMA_VERSION}, the newest this edge-inspect reads; "
            "update edge-inspect on this machine"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        said = plain(error, Manifest)[:MOST_SAID]
        raise BundleError(f"{path}: {MANIFEST}: {said}; export the bundle again") from error


def shown(name: str) -> str:
    """A name from a file, shortened and fit for printing."""
    return printable(name[:MOST_SHOWN])
