"""Bundles in an OCI registry: an artifact with a layer for each file, as `oras push` makes them.

Source: OCI Distribution and Image Specifications v1.1.
"""

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.bundle.folder import SIGNATURES, Bundle, load_bundle
from edge.bundle.registry_client import RegistryClient
from edge.bundle.signature import Trust, add_signatures
from edge.errors import BundleError
from edge.files import sync
from edge.terminal.progress import SILENT, Advance, Stage
from edge.text import reason_of

KIND = "application/vnd.edge-inspect.bundle.v1"
"""Artifact type of a bundle, and media type of its files."""

MANIFEST_KIND = "application/vnd.oci.image.manifest.v1+json"
EMPTY_KIND, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
TITLE = "org.opencontainers.image.title"

LARGEST_MANIFEST, LARGEST_BUNDLE = 1 << 20, 4 << 30
"""Bytes of a manifest in the registry, and of all files of a bundle."""

MOST_FILES = 200
PIECE = 1 << 20
WORK, LOCK = ".pull-", ".pull.lock"
"""Unfinished work in the folder of bundles, and what keeps two commands from it at a time."""

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REFERENCE = re.compile(rf"({_HOST})/({_PART}(?:/{_PART})*)(?::([A-Za-z0-9_][\w.-]{{0,127}})|@(sha256:[0-9a-f]{{64}}))")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0, le=LARGEST_BUNDLE)
    annotations: dict[str, str] = {}


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    layers: tuple[_Layer, ...] = Field(min_length=1, max_length=MOST_FILES)


class Reference(BaseModel):
    """HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@sha256:DIGEST."""

    model_config = ConfigDict(frozen=True)

    host: str
    name: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Raises BundleError if it has another form; neither a host nor a tag is assumed."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise BundleError(f"{text!r}: give HOST[:PORT]/NAME:TAG or HOST[:PORT]/NAME@sha256:DIGEST")
        return cls(host=match[1], name=match[2], tag=match[3] or match[4])

    @property
    def digest(self) -> str | None:
        """The digest that is asked for; None if a tag is."""
        return self.tag if self.tag.startswith("sha256:") else None

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.digest else ':'}{self.tag}"


def pull(
    reference: Reference,
    folder: Path,
    trust: Trust | None = None,
    plain_http: bool = False,
    stage: Stage = SILENT.begin,
) -> tuple[Path, str]:
    """Put the bundle into `folder`, as NAME-DIGEST.edge after its name and its own digest; returns its place and the
    manifest's digest in the registry.

    Each file is compared with its digest in the registry, and then the bundle is checked as at the start of a station:
    hashes and, with `trust`, signature. Nothing is left of one that is refused. To a bundle that is there already only
    signatures are added, and only with `trust`. `stage` shows the bytes that have come. Raises BundleError.
    """
    client = RegistryClient(reference.host, reference.name, "pull", plain_http)
    with _work_in(folder) as work:
        content = client.get(f"manifests/{reference.tag}", LARGEST_MANIFEST, {"Accept": MANIFEST_KIND})
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.digest not in (None, found):
            raise BundleError(f"{reference.host} gave another artifact than {reference.digest}: {found}")
        try:
            manifest = _Manifest.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"{reference} is no bundle, of one layer for each file") from error
        total = sum(layer.size for layer in manifest.layers)
        if total > LARGEST_BUNDLE:
            raise BundleError(f"{reference} is larger than {LARGEST_BUNDLE >> 30} GiB")
        advance = stage(f"pulling {reference.name}, bytes", total)
        for layer in manifest.layers:
            _fetch(client, reference, layer, work, advance)
        try:
            bundle = load_bundle(work, trust)
        except BundleError as error:
            raise BundleError(str(error).replace(str(work), str(reference))) from None
        return _placed(bundle, folder, trust is not None), found


@contextmanager
def _work_in(folder: Path) -> Iterator[Path]:
    """A new folder beside the bundles, which is gone at the end; what a former command left behind is removed, too."""
    try:
        with (folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BundleError(f"{folder}: another edge-ctl pull works there; wait for it") from None
            for old in folder.glob(f"{WORK}*"):
                shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=WORK) as work:
                (Path(work) / "part.edge").mkdir()
                yield Path(work) / "part.edge"
    except OSError as error:
        raise BundleError(f"{folder}: the bundle cannot be written ({reason_of(error)})") from error


def _placed(bundle: Bundle, folder: Path, is_trusted: bool) -> Path:
    """The checked bundle at its place: written to the disk, then moved there as a whole."""
    name = bundle.manifest.name
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"the bundle is called {name!r}, which is no name of a file here; export it under another one"
        )
    place = folder / f"{name}-{bundle.digest[:12]}.edge"
    if place.exists():
        if load_bundle(place).digest != bundle.digest:
            raise BundleError(f"{place} is another bundle; remove it")
        if is_trusted:
            add_signatures(place, (bundle.folder / SIGNATURES).read_bytes())
        return place
    for path in (*bundle.folder.rglob("*"), bundle.folder):
        sync(path)
    bundle.folder.rename(place)
    sync(folder)
    return place


def _fetch(client: RegistryClient, reference: Reference, layer: _Layer, into: Path, advance: Advance) -> None:
    title = layer.annotations.get(TITLE, "")
    name = PurePosixPath(title)
    if not title or name.is_absolute() or ".." in name.parts or "\\" in title or not title.isprintable():
        raise BundleError(f"{reference} has a file called {title!r}")
    place = into / name
    if place.exists():
        raise BundleError(f"{reference} has two files called {title!r}")
    place.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), layer.size
    with place.open("xb") as file:
        for piece in client.pieces(f"blobs/{layer.digest}", PIECE):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            file.write(piece)
            advance(len(piece))
    if left != 0 or f"sha256:{digest.hexdigest()}" != layer.digest:
        raise BundleError(f"{reference.host}: {title} is not what its digest says; pull it again")


def push(bundle: Bundle, reference: Reference, plain_http: bool = False, stage: Stage = SILENT.begin) -> str:
    """Put a bundle into a registry under a tag, with its signatures; returns the manifest's digest there. `stage` shows
    the files. Raises BundleError.
    """
    if reference.digest is not None:
        raise BundleError("a bundle is pushed under a tag; its digest follows from what it is")
    files = sorted(file for file in bundle.folder.rglob("*") if file.is_file())
    if len(files) > MOST_FILES or sum(file.stat().st_size for file in files) > LARGEST_BUNDLE:
        raise BundleError(f"{bundle.path} has more than {MOST_FILES} files or {LARGEST_BUNDLE >> 30} GiB")
    client = RegistryClient(reference.host, reference.name, "pull,push", plain_http)
    advance = stage(f"pushing {reference.name}", len(files))
    layers = []
    for file in files:
        with file.open("rb") as content:
            layer: dict[str, Any] = {
                "mediaType": KIND,
                "digest": f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}",
                "size": file.stat().st_size,
                "annotations": {TITLE: file.relative_to(bundle.folder).as_posix()},
            }
            content.seek(0)
            client.upload(layer["digest"], content, layer["size"])
        layers.append(layer)
        advance()
    empty = {"mediaType": EMPTY_KIND, "digest": f"sha256:{hashlib.sha256(EMPTY).hexdigest()}", "size": len(EMPTY)}
    client.upload(str(empty["digest"]), EMPTY, len(EMPTY))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_KIND, "artifactType": KIND, "config": empty, "layers": layers}
    manifest["annotations"] = {TITLE: bundle.manifest.name, "io.edge-inspect.digest": bundle.digest}
    content_ = json.dumps(manifest).encode()
    client.put(f"manifests/{reference.tag}", content_, MANIFEST_KIND)
    return f"sha256:{hashlib.sha256(content_).hexdigest()}"
