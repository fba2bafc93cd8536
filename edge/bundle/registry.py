"""Bundles in an OCI registry: an artifact with a layer for each file, as `oras push` makes them.

Needs the extra registry. Source: OCI Distribution and Image Specifications v1.1.
"""

import hashlib
import json
import re
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.bundle.folder import Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.errors import BundleError
from edge.security.loopback import is_loopback
from edge.terminal.progress import SILENT, Advance, Stage
from edge.text import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from oras.provider import Registry

KIND = "application/vnd.edge-inspect.bundle.v1"
"""Artifact type of a bundle, and media type of its files."""

MANIFEST_KIND = "application/vnd.oci.image.manifest.v1+json"
TITLE = "org.opencontainers.image.title"
EMPTY = b"{}"

LARGEST_MANIFEST, LARGEST_BUNDLE = 1 << 20, 4 << 30
"""Bytes of a manifest in the registry, and of all files of a bundle."""

MOST_FILES = 200
PIECE = 1 << 20
LOGIN = "it wants a login: docker login, or oras login"

TIMEOUT_S = 30.0
"""Longest silence of a registry."""

_DIGEST = r"^sha256:[0-9a-f]{64}$"


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    digest: str = Field(pattern=_DIGEST)
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
        match = re.fullmatch(r"([^/\s]+)/([a-z0-9._/-]+)(?::([\w.-]{1,128})|@(sha256:[0-9a-f]{64}))", text)
        if match is None:
            raise BundleError(f"{text!r}: give HOST[:PORT]/NAME:TAG or HOST[:PORT]/NAME@sha256:DIGEST")
        return cls(host=match[1], name=match[2], tag=match[3] or match[4])

    @property
    def digest(self) -> str | None:
        """The digest that is asked for; None if a tag is."""
        return self.tag if self.tag.startswith("sha256:") else None


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
    hashes and, with `trust`, signature. Nothing is left of one that is refused. `stage` shows the bytes that have
    come. Raises BundleError.
    """
    with _in_words(reference):
        registry = _registry(reference, plain_http)
        content = _manifest(registry, reference)
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.digest not in (None, found):
            raise BundleError(f"{reference.host} gave another artifact than {reference.digest}: {found}")
        try:
            manifest = _Manifest.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"{reference.name}:{reference.tag} is no bundle, of one layer for each file") from error
        if sum(layer.size for layer in manifest.layers) > LARGEST_BUNDLE:
            raise BundleError(f"{reference.name}:{reference.tag} is larger than {LARGEST_BUNDLE >> 30} GiB")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".pull-") as work:
            part = Path(work) / "part.edge"
            advance = stage(f"pulling {reference.name}, bytes", sum(layer.size for layer in manifest.layers))
            for layer in manifest.layers:
                _fetch(registry, reference, layer, part, advance)
            return _placed(load_bundle(part, trust), folder), found


def _placed(bundle: Bundle, folder: Path) -> Path:
    """The checked bundle at its place: one that is there already is the same, or refused."""
    place = folder / f"{bundle.manifest.name}-{bundle.digest[:12]}.edge"
    if place.exists():
        if load_bundle(place).digest != bundle.digest:
            raise BundleError(f"{place} is another bundle; remove it")
        shutil.copytree(bundle.folder, place, dirs_exist_ok=True)  # it may have new signatures
        return place
    bundle.folder.rename(place)
    return place


def _fetch(registry: "Registry", reference: Reference, layer: _Layer, into: Path, advance: Advance) -> None:
    title = layer.annotations.get(TITLE, "")
    name = PurePosixPath(title)
    if not title or name.is_absolute() or ".." in name.parts or "\\" in title or not title.isprintable():
        raise BundleError(f"{reference.name}:{reference.tag} has a file called {title!r}")
    place = into / name
    place.parent.mkdir(parents=True, exist_ok=True)
    response = _request(registry, reference, f"blobs/{layer.digest}", "GET")
    with response, place.open("xb") as file:
        response.raise_for_status()
        digest, left = hashlib.sha256(), layer.size
        for piece in response.iter_content(PIECE):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            file.write(piece)
            advance(len(piece))
    if left != 0 or f"sha256:{digest.hexdigest()}" != layer.digest:
        raise BundleError(f"{reference.host}: {title} is not what its digest says; pull it again")


def _manifest(registry: "Registry", reference: Reference) -> bytes:
    with _request(registry, reference, f"manifests/{reference.tag}", "GET", {"Accept": MANIFEST_KIND}) as response:
        response.raise_for_status()
        content = b""
        for piece in response.iter_content(PIECE):
            content += piece
            if len(content) > LARGEST_MANIFEST:
                raise BundleError(f"{reference.name}:{reference.tag}: its manifest is larger than 1 MiB")
    return content


def push(bundle: Bundle, reference: Reference, plain_http: bool = False) -> str:
    """Put a bundle into a registry under a tag, with its signatures; returns the manifest's digest there.

    Raises BundleError.
    """
    if reference.digest is not None:
        raise BundleError("a bundle is pushed under a tag; its digest follows from what it is")
    files = sorted(file for file in bundle.folder.rglob("*") if file.is_file())
    with _in_words(reference), tempfile.TemporaryDirectory() as work:
        registry = _registry(reference, plain_http)
        container = registry.get_container(f"{reference.host}/{reference.name}:{reference.tag}")
        empty = Path(work) / "config.json"
        empty.write_bytes(EMPTY)
        layers = [_upload(registry, container, file, KIND) for file in (empty, *files)]
        for layer, file in zip(layers[1:], files, strict=True):
            layer["annotations"] = {TITLE: file.relative_to(bundle.folder).as_posix()}
        layers[0]["mediaType"] = "application/vnd.oci.empty.v1+json"
        manifest: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST_KIND, "artifactType": KIND}
        manifest |= {"config": layers[0], "layers": layers[1:]}
        manifest["annotations"] = {TITLE: bundle.manifest.name, "io.edge-inspect.digest": bundle.digest}
        content = json.dumps(manifest).encode()
        kind = {"Content-Type": MANIFEST_KIND}
        _request(registry, reference, f"manifests/{reference.tag}", "PUT", kind, content).raise_for_status()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _upload(registry: "Registry", container: Any, file: Path, kind: str) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    layer = {"mediaType": kind, "digest": digest, "size": file.stat().st_size}
    registry.upload_blob(str(file), container, dict(layer)).raise_for_status()
    return layer


def _registry(reference: Reference, plain_http: bool) -> "Registry":
    """The client; logins are those of docker's configuration. Plain HTTP is for loopback, unless it is meant.

    Raises requests' errors at once if the registry cannot be reached: oras tries for two minutes.
    """
    from oras.provider import Registry

    host = reference.host.rpartition(":")[0] or reference.host
    is_plain = plain_http or is_loopback(host.strip("[]"))
    registry = Registry(reference.host, insecure=is_plain)
    challenge = registry.session.get(f"{registry.prefix}://{reference.host}/v2/", timeout=TIMEOUT_S)
    is_basic = challenge.headers.get("WWW-Authenticate", "").lower().startswith("basic")
    if is_basic:
        registry = Registry(reference.host, insecure=is_plain, auth_backend="basic")
    registry.session.request = partial(registry.session.request, timeout=TIMEOUT_S)
    registry.auth.load_configs(registry.get_container(f"{reference.host}/{reference.name}:any"))
    if is_basic and not getattr(registry.auth, "_basic_auth", None):
        raise BundleError(f"{reference.host}: {LOGIN}")
    return registry


def _request(
    registry: "Registry",
    reference: Reference,
    what: str,
    method: str,
    headers: dict[str, str] | None = None,
    data: bytes | None = None,
) -> "requests.Response":
    """One request, with the login if the registry asks for one."""
    url = f"{registry.prefix}://{reference.host}/v2/{reference.name}/{what}"
    once = type(registry).do_request.__wrapped__  # oras itself waits for two minutes in its attempts
    response: requests.Response = once(registry, url, method, data=data, headers=headers, stream=True)
    return response


@contextmanager
def _in_words(reference: Reference) -> "Iterator[None]":
    """Errors of the network and of the disk as BundleError, in one line."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        why = {401: LOGIN, 403: "access is denied", 404: "it is not there"}
        raise BundleError(
            f"{reference.host}: {reference.name}:{reference.tag}: {why.get(status, f'HTTP status {status}')}"
        ) from error
    except requests.RequestException as error:
        raise BundleError(f"{reference.host} cannot be reached: {type(error).__name__}") from error
    except ValueError as error:  # oras has no login
        raise BundleError(f"{reference.host}: {error}") from error
    except OSError as error:
        raise BundleError(f"the bundle cannot be written: {reason_of(error)}") from error
