"""Tuned settings, which `edge-bench tune` found for a bundle on this machine: their files, and their use by a station.

They are measurements made by a user, so they are stored in the user's state folder, and not in the cache, which may be
deleted.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.files import write_whole
from edge.machine import cores, cpu_model, user_folder
from edge.runtimes import versions
from edge.sources import SourceRequest, kind_of, known_size
from edge.sources.address import redacted
from edge.station.config.layers import Effective
from edge.station.config.settings import Settings, flag
from edge.text import counted

SCHEMA_VERSION: Literal[1] = 1


class Found(BaseModel):
    """The best values found for keys of `Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    threads: int = Field(ge=1, le=256)
    spinning: bool
    keep_warm: bool


class Tuned(BaseModel):
    """The result of a tuning: the settings found, the bundle, machine and line they are for, and the measurements."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    made: str = Field(description="UTC, ISO 8601")
    bundle: str = Field(description="name of the bundle")
    digest: str = Field(description="SHA-256 of its manifest")
    cpu: str
    cores: int
    versions: dict[str, str]
    height: int
    width: int
    rate_per_min: float = Field(description="the line's pace, at which it was measured")
    budget_ms: float | None
    found: Found
    p50_ms: float
    percent: float = Field(description="the percentile that decided")
    tail_ms: float

    @property
    def file_name(self) -> str:
        """Name of its file: one for each bundle and frame size."""
        return f"{_stem(self.bundle)}-{self.width}x{self.height}.json"

    def write(self) -> Path:
        """Write the file, replacing an earlier one. Returns its path. Raises OSError."""
        folder = tuned_folder()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.file_name
        write_whole(file, self.model_dump_json(indent=2) + "\n")
        return file

    def mismatch(self, digest: str) -> str | None:
        """Why the result does not apply to the bundle with this digest on this machine; None if it applies."""
        if self.digest != digest:
            return f"it is of {self.bundle}@{self.digest[:12]}, the bundle is {self.bundle}@{digest[:12]}"
        if (self.cpu, self.cores) != (cpu_model(), cores()):
            return (
                f"it is of {self.cpu}, {counted(self.cores, 'core')}; this is {cpu_model()}, {counted(cores(), 'core')}"
            )
        here = versions()
        other = next((name for name in here if self.versions.get(name) != here[name]), None)
        return other and f"it is of {other} {self.versions.get(other, 'unknown')}, here is {here[other]}"


def tuned_folder() -> Path:
    """The folder of tuned settings: below `EDGE_STATE`, else below the user's state folder. Raises ConfigError if there
    is none.
    """
    named = os.environ.get("EDGE_STATE")
    return (Path(named) if named else user_folder("XDG_STATE_HOME", ".local/state") / "edge-inspect") / "tuned"


def _stem(bundle: str) -> str:
    """The name of a bundle in a form safe for file names: a manifest may contain any name, such as `../x` or `*`."""
    return re.sub(r"[^\w.-]", "_", bundle)


def with_tuned(effective: Effective, bundle: Path) -> tuple[Effective, list[str]]:
    """The settings with the tuned values for the bundle at this path, for keys that neither file nor flags set, and
    lines for the log.

    Tuned values are not used with another artifact than the tuned one, nor with regions, because these were not
    measured. If the frame size is not known yet, they are used only if the same values were found for all sizes.
    """
    settings, origins = effective
    name, digest = _identity(bundle)
    if not settings.tuned or settings.region or name is None:
        return effective, []
    fit, lines = _matching(name, digest, settings)
    if not fit:
        return effective, lines
    found, sizes = max(fit, key=lambda one: one.tail_ms), _sizes(fit)
    values = found.found.model_dump()
    if origins["backend"] != "default" and settings.backend != found.found.backend:
        return effective, [f"what was tuned is not used: it is for {found.found.backend}, not {settings.backend}"]
    used = {key: value for key, value in values.items() if origins[key] == "default"}
    if not used:
        return effective, []
    said = ", ".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in used.items()
    )
    line = (
        f"tuned for {sizes} frames: {said} (p{found.percent:g} {found.tail_ms:.1f} ms when it was measured, with "
        f"{found.width}×{found.height} at {found.rate_per_min:g}/min); --no-tuned ignores it"
    )
    origins = origins | dict.fromkeys(used, f"tuned for {sizes} frames")
    return Effective(settings.model_copy(update=used), origins), [*lines, line]


def _identity(bundle: Path) -> tuple[str | None, str]:
    """Name and digest of a bundle. The name is None if the bundle cannot be read; the station reports that error."""
    try:
        content = (bundle / "manifest.json").read_bytes()
        return str(json.loads(content)["name"]), hashlib.sha256(content).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def _size(settings: Settings) -> "tuple[int, int] | str":
    """(height, width) of the frames; the name of the source if the size is unknown before the source is opened."""
    from edge.sources.size import parse_size

    size, source = None if settings.size is None else parse_size(settings.size), settings.source or "the source"
    return known_size(SourceRequest(source, size=size, line=settings.line, camera=settings.camera)) or redacted(source)


def _sizes(fit: list[Tuned]) -> str:
    return " and ".join(f"{one.width}×{one.height}" for one in fit)


def _matching(name: str, digest: str, settings: Settings) -> tuple[list[Tuned], list[str]]:
    """The tuning results for this bundle on this machine and the line's frame size, and lines about files that are not
    used. If the size is not known yet, the results for all sizes, provided that they agree.
    """
    size = _size(settings)
    pattern = "*x*" if isinstance(size, str) else f"{size[1]}x{size[0]}"
    fit: list[Tuned] = []
    lines: list[str] = []
    try:
        folder = tuned_folder()
    except ConfigError:  # without a state folder there are no files
        return fit, lines
    for file in sorted(folder.glob(f"{_stem(name)}-{pattern}.json")):
        tuned = _read(file)
        why = tuned if isinstance(tuned, str) else None if tuned.bundle != name else tuned.mismatch(digest)
        if why is not None:
            lines.append(f"{file} is not used: {why}; edge-bench tune measures again")
        elif isinstance(tuned, Tuned) and tuned.bundle == name:
            fit.append(tuned)
    is_alike = len(fit) > 1 and all(one.found == fit[0].found for one in fit)
    if not fit or is_alike or not isinstance(size, str):
        return fit, lines
    kind = kind_of(settings.source or "")
    says_it = f"--size {fit[0].width}x{fit[0].height} says it, or " if kind and kind.has_settings else ""
    remedy = f"{says_it}give the settings, as in {command(fit[0].found)}"
    return [], [
        *lines,
        f"what was tuned for {_sizes(fit)} frames is not used: how large those of {size} are shows when it is opened; "
        f"{remedy}",
    ]


def _read(file: Path) -> Tuned | str:
    """The content of the file, or the reason why it is unusable."""
    try:
        return Tuned.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValidationError, UnicodeDecodeError):
        return "it is not what edge-bench tune writes"


def command(found: Found) -> str:
    """The flags of edge-run for these settings."""
    said = found.model_dump().items()
    return " ".join(flag(key) if value is True else f"{flag(key)} {value}" for key, value in said if value is not False)
