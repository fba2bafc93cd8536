"""The kinds of sources, and `open_source`, which picks a kind by the source's name."""

from dataclasses import dataclass
from importlib import import_module

from edge.errors import SourceError
from edge.sources.address import redacted
from edge.sources.base import CameraSettings, Kind, Source, SourceRequest, SourceSettings

KINDS = ("demo", "belt", "replay", "clock", "camera", "genicam", "stream", "folder", "video")
"""Modules of this package, in the order in which their `KIND` is asked whether it claims a name."""


@dataclass(frozen=True)
class ListedKind:
    """A kind of source on this machine: how its names are written, and the devices that are here, each the name to give
    to --source and a description. `missing` says what this machine lacks for it, None if nothing.
    """

    kind: str
    written: tuple[str, ...]
    about: str
    here: tuple[tuple[str, str], ...]
    missing: str | None


def open_source(request: SourceRequest) -> Source:
    """Open the source `request.name`. Raises SourceError with a one-line message if it does not exist or is empty."""
    kind = kind_of(request.name)
    if kind is None:
        known = "neither a file, a folder nor a known name"
        raise SourceError(f"no such source: {request.name!r} is {known}; see edge-run --list-sources")
    if refusal := _refusal(kind, request):
        raise SourceError(f"{redacted(request.name)} {refusal}")
    return kind.open(request)


def kind_of(name: str) -> Kind | None:
    """The kind of source that claims this name; None if no kind does."""
    return next((kind for kind in _kinds() if kind.claims(name)), None)


def known_size(request: SourceRequest) -> tuple[int, int] | None:
    """(height, width) of the frames, requested or fixed by the source; None if known only after opening."""
    if request.size is not None:
        return request.size
    if request.camera.region is not None:
        _, _, width, height = request.camera.region
        return height, width
    kind = kind_of(request.name)
    return kind.default_size if kind and request.line == SourceSettings.line else None


def list_sources() -> list[ListedKind]:
    """Every kind of source, with what is here of it now. Takes a second where Aravis looks for cameras."""
    return [_listed(name, kind) for name, kind in zip(KINDS, _kinds(), strict=True)]


def _listed(name: str, kind: Kind) -> ListedKind:
    here = tuple(kind.available())
    return ListedKind(name, kind.written, kind.about, here, kind.missing(bool(here)))


def _kinds() -> list[Kind]:
    return [import_module(f"edge.sources.{name}").KIND for name in KINDS]


def _refusal(kind: Kind, request: SourceRequest) -> str | None:
    """Why a source of this kind cannot be opened with these settings, whichever source it is; None if it can."""
    if request.watch and not kind.can_be_watched:
        return "cannot be watched: leave out --watch, or give a folder"
    if request.size is not None and kind.has_own_size:
        return "shows pictures of the size that they have: leave out --size"
    if request.line != SourceSettings.line and not kind.has_lines:
        return f"shows no line {request.line}: leave out --line, or give --source demo"
    if request.camera != CameraSettings() and not kind.has_settings:
        said = ", ".join(key for key, value in vars(request.camera).items() if value is not None)
        return f"has no settings of a camera: leave out {said}, of --camera or the file; camera0 and genicam: have them"
    return None
