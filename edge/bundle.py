"""The bundle on disk: manifest, hashes, golden frames. The only thing that travels from the lab to the line.

NAME.edge/
    manifest.json      what it is, how it was made, and the SHA-256 of every other file
    manifest.sha256    the SHA-256 of manifest.json, in the format of sha256sum
    manifest.sig       if it was signed: who vouches for manifest.json, see edge.signature
    model.onnx         the ONNX artifact
    openvino/          the OpenVINO artifact: model.xml, model.bin
    model-int8.onnx    the same in int8, where it was asked for and is as good
    openvino-int8/
    golden.npz         frames with the score and map that PyTorch gave them
    parity.json        what was compared, and the largest differences
"""

import hashlib
import json
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.contract import LetterboxContract
from edge.errors import BundleError
from edge.pictures.contract import PictureContract
from edge.tolerance import Bounds, ValueRange
from edge.wording import dotted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.signature import Trust

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
SIGNATURES = "manifest.sig"
GOLDEN = "golden.npz"

_UNHASHED = {MANIFEST, MANIFEST_HASH, SIGNATURES}


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


class Artifact(_Section):
    """A compiled form of the network, with the threshold for its own scores; `path` is relative to the bundle."""

    backend: Literal["onnxruntime", "openvino"] = Field(description="the runtime that runs it")
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
    quantization: Quantization | None = Field(default=None, description="null where it computes in float32")


class Manifest(_Section):
    """Everything a station needs to know about a bundle besides the graphs themselves."""

    schema_version: Literal[2] = 2
    name: str
    task: Literal["one-class", "supervised"]
    description: str
    simulated: bool = Field(description="trained on the built-in demonstration line; no gate passes its verdicts")
    letterbox: LetterboxContract
    picture: PictureContract | None = Field(
        default=None, description="how the pictures that it learned from were read; null in a bundle of before"
    )
    map_size: tuple[int, int] | None = Field(description="(height, width) of the map, if the graph has one")
    labels: tuple[str, str] = ("good", "bad")
    map_threshold: MapThreshold | None = Field(description="null where the graph has no map")
    score_range: ValueRange | None = Field(
        default=None,
        description="of the scores that the network gave the validation photographs, or drawn frames where there were "
        "none; null in bundles from before it was recorded",
    )
    map_range: ValueRange | None = Field(default=None, description="the same of the cells of their maps")
    metrics: dict[str, float | None]
    artifacts: dict[str, Artifact] = Field(
        min_length=1, description="by name: that of the backend, and of the precision where it is not float32"
    )
    refused: dict[str, str] = Field(default={}, description="artifacts that were asked for and would not do, and why")
    files: dict[str, str] = Field(description="SHA-256 of every file but the manifest, its own hash and signatures")
    provenance: dict[str, str]

    @model_validator(mode="after")
    def _golden_frames_can_fail(self) -> Self:
        for name, artifact in self.artifacts.items():
            bounds = self.bounds(name)
            usual = max(1.0, abs(artifact.threshold.value))  # of scores whose range is not recorded
            largest = (
                ("golden_tolerance", bounds.score_tolerance, bounds.scores.spread if bounds.scores else usual),
                ("golden_map_tolerance", bounds.map_tolerance, bounds.maps.spread if bounds.maps else inf),
            )
            for field, value, limit in largest:
                if value > limit:
                    raise ValueError(
                        f"{field} of {name} is {value:g}, more than the range of its values, {limit:g}: golden frames "
                        "could not fail"
                    )
        return self

    def bounds(self, name: str) -> Bounds:
        """How far the scores and maps of the artifact `name` may be off on golden frames."""
        artifact = self.artifacts[name]
        on_maps = artifact.golden_map_tolerance or artifact.golden_tolerance
        return Bounds(artifact.golden_tolerance, on_maps, self.score_range, self.map_range)


@dataclass(frozen=True)
class Golden:
    """A frame `uint8 [H, W, 3]` BGR, and the score and map (`float32 [h, w]` or None) that PyTorch gave it."""

    frame: "npt.NDArray[np.uint8]"
    score: float
    map: "npt.NDArray[np.float32] | None"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were found to be the ones its manifest names. `digest` is the manifest's SHA-256.

    `signed_by` is the fingerprint of the trusted key that signed it; None if no signature was asked for.
    """

    path: Path
    manifest: Manifest
    digest: str
    signed_by: str | None = None

    @property
    def label(self) -> str:
        """Name and short digest, as verdicts carry it."""
        return f"{self.manifest.name}@{self.digest[:12]}"

    def artifact(self, name: str) -> Artifact:
        """The artifact of that name. Raises BundleError if the bundle has none."""
        if name not in self.manifest.artifacts:
            have = ", ".join(sorted(self.manifest.artifacts))
            raise BundleError(f"{self.path}: no artifact {name!r}; the bundle has {have}")
        return self.manifest.artifacts[name]

    def golden(self) -> list[Golden]:
        """The golden frames. Needs numpy, unlike the loading of a bundle. Raises BundleError if the file is damaged."""
        import numpy as np

        try:
            with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
                return [
                    Golden(
                        frame=arrays[f"frame_{i}"],
                        score=float(arrays[f"score_{i}"]),
                        map=arrays[f"map_{i}"] if f"map_{i}" in arrays else None,
                    )
                    for i in range(int(arrays["count"]))
                ]
        except Exception as error:  # zipfile, zlib and numpy each have their own kinds
            raise BundleError(f"{self.path}: {GOLDEN} holds no golden frames; export the bundle again") from error


def load_bundle(path: Path, trust: "Trust | None" = None) -> Bundle:
    """Read a bundle and check every file against its hash; with `trust`, its signature before all else.

    Raises BundleError, in one line, if a file is missing, changed or not named by the manifest, if the bundle is
    of a schema newer than this version of edge-inspect reads, or if nobody in `trust` signed it.
    """
    if not (path / MANIFEST).is_file():
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}); edge-export writes one")
    content = (path / MANIFEST).read_bytes()
    signed_by = None if trust is None else trust.check(path, content, _signatures(path))
    digest = hashlib.sha256(content).hexdigest()
    if _read(path / MANIFEST_HASH) != _hash_line(digest):
        raise BundleError(f"{path}: {MANIFEST} does not match {MANIFEST_HASH}: changed since export, export it again")
    manifest = _parse_manifest(path, content)
    _check_files(path, manifest.files)
    for artifact in manifest.artifacts.values():
        if artifact.path not in manifest.files:
            raise BundleError(f"{path}: {MANIFEST} gives no hash for {artifact.path}; export the bundle again")
    return Bundle(path, manifest, digest, signed_by)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the whole bundle again") from error


def _signatures(path: Path) -> bytes | None:
    file = path / SIGNATURES
    return _read(file) if file.exists() else None


def _hash_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST}\n".encode()


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        fields: Any = json.loads(content)
        version = fields["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: {MANIFEST} is not a bundle's manifest; export the bundle again") from error
    if isinstance(version, int) and version < SCHEMA_VERSION:
        raise BundleError(
            f"{path}: bundle schema {version} is older than {SCHEMA_VERSION}, the one this edge-inspect reads; "
            "export the bundle again"
        )
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: bundle schema {version} is newer than {SCHEMA_VERSION}, the newest this edge-inspect reads; "
            "update edge-inspect on this machine"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join([*filter(None, [dotted(first["loc"])]), first["msg"].removeprefix("Value error, ")])
        raise BundleError(f"{path}: {MANIFEST}: {said}; export the bundle again") from error


def _check_files(path: Path, files: dict[str, str]) -> None:
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - _UNHASHED
    if links := sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_symlink()):
        raise BundleError(
            f"{path}: {links[0]} is a link, and what it points to may change; copy the whole bundle again"
        )
    if missing := sorted(set(files) - present):
        raise BundleError(f"{path}: {missing[0]} is missing; copy the whole bundle again")
    if strange := sorted(present - set(files)):
        raise BundleError(f"{path}: {strange[0]} is not in the manifest; remove it")
    for name, expected in sorted(files.items()):
        if sha256(path / name) != expected:
            raise BundleError(f"{path}: {name} does not match its SHA-256: changed since export, export it again")


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path, manifest: Manifest) -> Bundle:
    """Write `manifest` into the folder `path`, with the hashes of all files that lie there, and read it back.

    It loses its signatures: they were of another manifest.
    """
    (path / SIGNATURES).unlink(missing_ok=True)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    files = {name: sha256(path / name) for name in names if name not in _UNHASHED}
    content = manifest.model_copy(update={"files": files}).model_dump_json(indent=2).encode() + b"\n"
    (path / MANIFEST).write_bytes(content)
    (path / MANIFEST_HASH).write_bytes(_hash_line(hashlib.sha256(content).hexdigest()))
    return load_bundle(path)
