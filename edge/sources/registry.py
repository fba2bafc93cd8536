"""The kinds of sources, and `open_source`, which picks one by its name."""

from importlib import import_module

from edge.errors import SourceError
from edge.sources.address import redacted
from edge.sources.base import CameraSettings, Kind, Source, SourceRequest

KINDS = ("demo", "belt", "replay", "clock", "camera", "genicam", "stream", "folder", "video")
"""Modules of this package, in the order in which they are asked whether a name is theirs. Each has its `KIND`."""


def open_source(request: SourceRequest) -> Source:
    """Open the source that `request.name` names. Raises SourceError, in one line, if there is none or it is empty."""
    kind = kind_of(request.name)
    if kind is None:
        known = "neither a file, a folder nor a known name"
        raise SourceError(f"no such source: {request.name!r} is {known}; see edge-run --list-sources")
    if refusal := _refusal(kind, request):
        raise SourceError(f"{redacted(request.name)} {refusal}")
    return kind.open(request)


def kind_of(name: str) -> Kind | None:
    """The kind of source that has this name."""
    return next((kind for kind in _kinds() if kind.claims(name)), None)


def known_size(request: SourceRequest) -> tuple[int, int] | None:
    """(height, width) of the frames as asked for, or as the source has them anyway; None if opening it will tell."""
    if request.size is not None:
        return request.size
    if request.camera.region is not None:
        _, _, width, height = request.camera.region
        return height, width
    kind = kind_of(request.name)
    return kind.default_size if kind else None


def list_sources() -> list[tuple[str, str]]:
    """The sources that exist on this machine right now: (name to give to --source, description)."""
    return [row for kind in _kinds() for row in kind.available()]


def _kinds() -> list[Kind]:
    return [import_module(f"edge.sources.{name}").KIND for name in KINDS]


def _refusal(kind: Kind, request: SourceRequest) -> str | None:
    """Why a source of this kind cannot be opened so, whatever it is; None if it can."""
    if request.watch and not kind.can_be_watched:
        return "cannot be watched: leave out --watch, or give a folder"
    if request.size is not None and kind.has_own_size:
        return "shows pictures of the size that they have: leave out --size"
    if request.camera != CameraSettings() and not kind.has_settings:
        said = ", ".join(key for key, value in vars(request.camera).items() if value is not None)
        return f"has no settings of a camera: leave out {said}, of --camera or the file; camera0 and genicam: have them"
    return None
