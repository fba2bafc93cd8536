"""A bundle on disk: its files are read once, checked against their hashes, and sealed by its manifest."""

import hashlib
import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge.bundle.formats import weights_of
from edge.bundle.manifest import MANIFEST, Artifact, Manifest, parse_manifest, shown
from edge.errors import BundleError
from edge.files import open_regular, read_regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MANIFEST_HASH = "manifest.sha256"
SIGNATURES = "manifest.sig"
GOLDEN = "golden.npz"

LARGEST_MANIFEST = 2**20
"""Bytes; read before any check. The manifest of a shipped bundle has 3,300. JSON of this size takes about 50 MB of
memory after parsing."""

LARGEST_SIGNATURES = 64 * 1024
"""Bytes, likewise read before any check; a signature has 202, so this allows more than 300."""

LARGEST_GOLDEN = 256 * 2**20
"""Bytes of golden.npz, and of its decoded content: a dozen frames of 8 megapixels. edge-export writes at most four with
sides of up to 640 pixels, 5 MB."""

LARGEST_FILE = 2 * 2**30
"""Bytes of any other file, including artifacts: ONNX's own limit, because protobuf has no larger message."""

MOST_FILES = 1000
"""Files and folders of a bundle; edge-export writes a dozen."""

REMEDY = "it was changed or damaged after the export; copy the bundle again, or export it again"

_UNHASHED = {MANIFEST, MANIFEST_HASH, SIGNATURES}


class Trust(Protocol):
    """The keys that may sign a bundle: see `edge.bundle.signature`."""

    def check(self, path: Path, manifest: bytes, signatures: bytes | None) -> str:
        """Fingerprint of the key that signed `manifest`. Raises BundleError if no trusted key did."""
        ...


@dataclass(frozen=True)
class Golden:
    """A frame `uint8 [H, W, 3]` BGR, with PyTorch's score, map (`float32 [h, w]` or None) and probabilities of the
    kinds of defects (`float32 [kinds]` or None).
    """

    frame: "npt.NDArray[np.uint8]"
    score: float
    map: "npt.NDArray[np.float32] | None"
    kinds: "npt.NDArray[np.float32] | None" = None


@dataclass(frozen=True)
class Bundle:
    """A bundle with a checked manifest. `digest` is the manifest's SHA-256, which identifies every other file too.

    `path` is the user's name of the bundle, `folder` the real path when it was opened: a later change of a link has no
    effect. `signed_by` is the fingerprint of the trusted key that signed it; None if no signature was required.
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
        """Name and short digest, as in verdicts."""
        return f"{self.manifest.name}@{self.digest[:12]}"

    def artifact(self, name: str) -> Artifact:
        """The artifact of this name. Raises BundleError if the bundle has none."""
        if name not in self.manifest.artifacts:
            have = ", ".join(sorted(self.manifest.artifacts))
            raise BundleError(f"{self.path}: no artifact {name!r}; the bundle has {have}")
        return self.manifest.artifacts[name]

    def content(self, name: str) -> bytes:
        """The bytes of a file named in the manifest, hashed in memory: only these bytes may be used.

        They are kept, and the file is not read again, until `release`. Raises BundleError if the file was changed.
        """
        if name not in self._contents:
            content = _read(self.path, self.folder, name, LARGEST_GOLDEN if name == GOLDEN else LARGEST_FILE)
            if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
                raise _changed(self.path, name)
            self._contents[name] = content
        return self._contents[name]

    def golden(self) -> list[Golden]:
        """The golden frames, decoded once until `release`. Needs numpy, unlike loading a bundle.

        Raises BundleError if the file is damaged or was changed.
        """
        from edge.bundle.golden import decode_golden

        if not self._golden:
            self._golden[:] = decode_golden(self.path, self.content(GOLDEN))
            del self._contents[GOLDEN]
        return list(self._golden)

    def release(self) -> None:
        """Free the content read so far, including golden frames; further accesses read and hash the files again."""
        self._contents.clear()
        self._golden.clear()


def load_bundle(path: Path, trust: Trust | None = None, holds: bool = False) -> Bundle:
    """Read a bundle and check every file against its hash; with `trust`, check its signature first.

    With `holds` the content that a runtime needs, artifacts and golden frames, is kept in memory as hashed. Raises
    BundleError with a one-line message if a file is missing, changed or not named in the manifest, if the bundle's
    schema is newer than this version of edge-inspect, or if no key in `trust` signed it.
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


def open_bundle(path: Path, trust: Trust | None = None, digest: str | None = None) -> Bundle:
    """Like `load_bundle`, but each file is checked only when `Bundle.content` reads it.

    Also raises BundleError if the manifest does not have this `digest`.
    """
    folder = Path(os.path.realpath(path))
    if not (folder / MANIFEST).exists():
        if not folder.exists():
            raise BundleError(f"{path}: no such folder, and no shipped bundle has that name{_nearest_beside(path)}")
        raise BundleError(f"{path}: not a bundle (no {MANIFEST}); edge-export writes one")
    content = _read(path, folder, MANIFEST, LARGEST_MANIFEST)
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise BundleError(f"{path}: another bundle lies there since the station started; start the station again")
    signed_by = None if trust is None else trust.check(path, content, read_signatures(path, folder))
    line = _hash_line(found)
    if _read(path, folder, MANIFEST_HASH, len(line)) != line:
        raise BundleError(f"{path}: {MANIFEST} does not match {MANIFEST_HASH}: {REMEDY}")
    manifest = parse_manifest(path, content)
    _check_names(path, folder, set(manifest.files))
    for artifact in manifest.artifacts.values():
        if artifact.path not in manifest.files:
            where = shown(artifact.path)
            raise BundleError(f"{path}: {MANIFEST} gives no hash for {where}; export the bundle again")
    return Bundle(path, manifest, found, folder, content, signed_by)


def _nearest_beside(path: Path) -> str:
    """The end of a line that asks for the bundle beside `path` with the nearest name; empty if none is near."""
    there = {found.parent.stem: found.parent.name for found in path.absolute().parent.glob(f"*/{MANIFEST}")}
    near = get_close_matches(path.stem, there, 1)
    return f"; did you mean {shown(str(path.with_name(there[near[0]])))}?" if near and path.name else ""


def _files_of(artifact: Artifact) -> list[str]:
    """The file of an artifact, and that of its weights where the format has one."""
    weights = weights_of(artifact.path)
    return [artifact.path] if weights is None else [artifact.path, weights]


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
    return BundleError(f"{path / shown(name)}: cannot be read ({error.strerror}); copy the whole bundle again")


def _changed(path: Path, name: str) -> BundleError:
    return BundleError(f"{path}: {shown(name)} does not match its SHA-256: {REMEDY}")


def read_signatures(path: Path, folder: Path) -> bytes | None:
    """The content of manifest.sig in `folder`; None if there is none. `path` is for errors. Raises BundleError."""
    return _read(path, folder, SIGNATURES, LARGEST_SIGNATURES) if os.path.lexists(folder / SIGNATURES) else None


def _hash_line(digest: str) -> bytes:
    return f"{digest}  {MANIFEST}\n".encode()


def _check_names(path: Path, folder: Path, named: set[str]) -> None:
    """Raise BundleError unless the folder contains exactly the named files and the manifest's own."""
    present = _present(path, folder) - _UNHASHED
    if missing := sorted(named - present):
        raise BundleError(f"{path}: {shown(missing[0])} is missing; copy the whole bundle again")
    if strange := sorted(present - named):
        raise BundleError(f"{path}: {shown(strange[0])} is not in the manifest; remove it")


def _present(path: Path, folder: Path) -> set[str]:
    """Names of all files below the folder, with slashes. Raises BundleError if one is not a regular file."""
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
                    f"{path}: {shown(name)} is a link, and what it points to may change; copy the whole bundle again"
                )
            if entry.is_dir():
                folders.append(f"{name}/")
            elif entry.is_file():
                found.add(name)
            else:
                raise BundleError(f"{path}: {shown(name)} is no regular file; remove it")
    return found


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path, manifest: Manifest) -> Bundle:
    """Write `manifest` with the hashes of all files into the folder `path`, and load the bundle.

    Existing signatures are removed, because they belong to another manifest.
    """
    (path / SIGNATURES).unlink(missing_ok=True)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    files = {name: sha256(path / name) for name in names if name not in _UNHASHED}
    content = manifest.model_copy(update={"files": files}).model_dump_json(indent=2).encode() + b"\n"
    (path / MANIFEST).write_bytes(content)
    (path / MANIFEST_HASH).write_bytes(_hash_line(hashlib.sha256(content).hexdigest()))
    return load_bundle(path)
