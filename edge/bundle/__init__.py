"""The bundle on disk: manifest, hashes, golden frames. The only thing that travels from the lab to the line.

NAME.edge/
    manifest.json      what it is, how it was made, and the SHA-256 of every other file
    manifest.sha256    the SHA-256 of manifest.json, in the format of sha256sum
    manifest.sig       if it was signed: who vouches for manifest.json, see edge.bundle.signature
    model.onnx         the ONNX artifact
    openvino/          the OpenVINO artifact: model.xml, model.bin
    model-int8.onnx    the same in int8, where it was asked for and is as good
    openvino-int8/
    golden.npz         frames with the score and map that PyTorch gave them
    parity.json        what was compared, and the largest differences
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.bundle.tolerance import Bounds, ValueRange
from edge.errors import BundleError
from edge.files import open_regular, read_regular
from edge.letterbox.contract import LetterboxContract
from edge.pictures.contract import PictureContract
from edge.text import dotted, printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.bundle.signature import Trust

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
SIGNATURES = "manifest.sig"
GOLDEN = "golden.npz"

LARGEST_MANIFEST = 2**20
"""Bytes, read before anybody has vouched for them; the manifest of a shipped bundle has 3,300. What JSON of this size
becomes in memory is some 50 MB."""

LARGEST_SIGNATURES = 64 * 1024
"""Bytes, likewise; a signature has 202, so this is more than 300 of them."""

LARGEST_GOLDEN = 256 * 2**20
"""Bytes of golden.npz, and of all that is decoded from it; a dozen frames of 8 megapixels. edge-export writes four of
640 pixels a side at the most, which are 5 MB."""

LARGEST_FILE = 2 * 2**30
"""Bytes of any other file, an artifact too: ONNX's own limit, since protobuf has no larger message."""

MOST_FILES = 1000
"""Files and folders of a bundle; edge-export writes a dozen."""

MOST_SHOWN = 200
"""Characters of a name that are shown of it where it is wrong."""

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
            for key, value, limit in largest:
                if value > limit:
                    raise ValueError(
                        f"{key} of {name} is {value:g}, more than the range of its values, {limit:g}: golden frames "
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
    """A bundle whose manifest was checked. `digest` is the manifest's SHA-256, by which every other file is known.

    `path` is what a person called it, `folder` where that led when it was opened: links that are renamed later change
    nothing. `signed_by` is the fingerprint of the trusted key that signed it; None if no signature was asked for.
    """

    path: Path
    manifest: Manifest
    digest: str
    folder: Path
    manifest_content: bytes = field(repr=False)
    signed_by: str | None = None
    _contents: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _golden: list[Golden] = field(default_factory=list, repr=False, compare=False)

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

    def content(self, name: str) -> bytes:
        """The bytes of a file that the manifest names, hashed as they lie in memory: these and no others may be used.

        They are kept, and the file is not read again, until `release`. Raises BundleError if it is not as exported.
        """
        if name not in self._contents:
            content = _read(self.path, self.folder, name, LARGEST_GOLDEN if name == GOLDEN else LARGEST_FILE)
            if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
                raise _changed(self.path, name)
            self._contents[name] = content
        return self._contents[name]

    def golden(self) -> list[Golden]:
        """The golden frames, decoded once until `release`. Needs numpy, unlike the loading of a bundle.

        Raises BundleError if the file is damaged or is not as exported.
        """
        from edge.bundle.golden import decode_golden

        if not self._golden:
            self._golden[:] = decode_golden(self.path, self.content(GOLDEN))
            del self._contents[GOLDEN]
        return list(self._golden)

    def release(self) -> None:
        """Let go of what was read, the golden frames too; what is asked for again is read and hashed again."""
        self._contents.clear()
        self._golden.clear()


def load_bundle(path: Path, trust: "Trust | None" = None, holds: bool = False) -> Bundle:
    """Read a bundle and check every file against its hash; with `trust`, its signature before all else.

    With `holds` what a runtime needs, artifacts and golden frames, stays in memory as it was hashed. Raises
    BundleError, in one line, if a file is missing, changed or not named by the manifest, if the bundle is of a schema
    newer than this version of edge-inspect reads, or if nobody in `trust` signed it.
    """
    bundle = open_bundle(path, trust)
    files = bundle.manifest.files
    needed = {GOLDEN, *(name for one in bundle.manifest.artifacts.values() for name in _files_of(one))}
    for name, expected in sorted(files.items()):
        if holds and name in needed:
            bundle.content(name)
        elif _hash(bundle.path, bundle.folder, name) != expected:
            raise _changed(bundle.path, name)
    return bundle


def open_bundle(path: Path, trust: "Trust | None" = None, digest: str | None = None) -> Bundle:
    """As `load_bundle`, but each file is checked only when `Bundle.content` reads it.

    Raises BundleError, too, if the manifest is not the one of this `digest`.
    """
    folder = Path(os.path.realpath(path))
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}); edge-export writes one")
    content = _read(path, folder, MANIFEST, LARGEST_MANIFEST)
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise BundleError(f"{path}: another bundle lies there since the station started; start the station again")
    signed_by = None if trust is None else trust.check(path, content, read_signatures(path, folder))
    line = _hash_line(found)
    if _read(path, folder, MANIFEST_HASH, len(line)) != line:
        raise BundleError(f"{path}: {MANIFEST} does not match {MANIFEST_HASH}: changed since export, export it again")
    manifest = _parse_manifest(path, content)
    _check_names(path, folder, set(manifest.files))
    for artifact in manifest.artifacts.values():
        if artifact.path not in manifest.files:
            where = _shown(artifact.path)
            raise BundleError(f"{path}: {MANIFEST} gives no hash for {where}; export the bundle again")
    return Bundle(path, manifest, found, folder, content, signed_by)


def _files_of(artifact: Artifact) -> list[str]:
    """The file of an artifact, and where it is OpenVINO's own format that of its weights."""
    stem, _, suffix = artifact.path.rpartition(".")
    return [artifact.path, f"{stem}.bin"] if suffix == "xml" else [artifact.path]


def _read(path: Path, folder: Path, name: str, most: int) -> bytes:
    try:
        return read_regular(folder, name, most)
    except OSError as error:
        raise _unreadable(path, name, error) from error


def _hash(path: Path, folder: Path, name: str) -> str:
    try:
        with open_regular(folder, name, LARGEST_GOLDEN if name == GOLDEN else LARGEST_FILE) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, name, error) from error


def _unreadable(path: Path, name: str, error: OSError) -> BundleError:
    return BundleError(f"{path / _shown(name)}: cannot be read ({error.strerror}); copy the whole bundle again")


def _changed(path: Path, name: str) -> BundleError:
    return BundleError(f"{path}: {_shown(name)} does not match its SHA-256: changed since export, export it again")


def read_signatures(path: Path, folder: Path) -> bytes | None:
    """The content of manifest.sig in `folder`, which people call `path`; None if there is none. Raises BundleError."""
    return _read(path, folder, SIGNATURES, LARGEST_SIGNATURES) if os.path.lexists(folder / SIGNATURES) else None


def _shown(name: str) -> str:
    """A name that somebody wrote, as it may be printed."""
    return printable(name[:MOST_SHOWN])


def _hash_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST}\n".encode()


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        fields: Any = json.loads(content)
        version = fields["schema_version"]
        if not isinstance(version, int) or version.bit_length() > 64:
            raise TypeError(version)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: {MANIFEST} is not a bundle's manifest; export the bundle again") from error
    if version < SCHEMA_VERSION:
        raise BundleError(
            f"{path}: bundle schema {version} is older than {SCHEMA_VERSION}, the one this edge-inspect reads; "
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
        first = error.errors()[0]
        where = dotted(first["loc"])[:MOST_SHOWN]
        said = ": ".join([*filter(None, [where]), first["msg"].removeprefix("Value error, ")])
        raise BundleError(f"{path}: {MANIFEST}: {said}; export the bundle again") from error


def _check_names(path: Path, folder: Path, named: set[str]) -> None:
    """The folder holds the files of these names, the manifest's own ones, and nothing else."""
    present = _present(path, folder) - _UNHASHED
    if missing := sorted(named - present):
        raise BundleError(f"{path}: {_shown(missing[0])} is missing; copy the whole bundle again")
    if strange := sorted(present - named):
        raise BundleError(f"{path}: {_shown(strange[0])} is not in the manifest; remove it")


def _present(path: Path, folder: Path) -> set[str]:
    """Names of all files of the folder and those in it, with slashes. Raises BundleError if one is no regular file."""
    found, folders, count = set(), [""], 0
    while folders:
        within = folders.pop()
        try:
            entries = list(islice(os.scandir(folder / within), MOST_FILES + 1))
        except OSError as error:
            raise _unreadable(path, within, error) from error
        count += len(entries)
        if count > MOST_FILES:
            raise BundleError(f"{path}: more than {MOST_FILES} files; copy the whole bundle again")
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{within}{entry.name}"
            if entry.is_symlink():
                raise BundleError(
                    f"{path}: {_shown(name)} is a link, and what it points to may change; copy the whole bundle again"
                )
            if entry.is_dir():
                folders.append(f"{name}/")
            elif entry.is_file():
                found.add(name)
            else:
                raise BundleError(f"{path}: {_shown(name)} is no regular file; remove it")
    return found


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
