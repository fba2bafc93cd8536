"""Writes settings as a configuration file with the origin of each value."""

from typing import Any

from pydantic import BaseModel

from edge.letterbox.contract import RegionOfInterest
from edge.rates import rate_text
from edge.sources import BeltSettings, CameraSettings
from edge.sources.address import redacted
from edge.sources.size import region_text
from edge.station.config.layers import Effective
from edge.station.config.settings import Settings, about


def as_toml(effective: Effective) -> str:
    """The settings as TOML, each with its origin in a comment; a key without a value is a comment."""
    lines = []
    for key in Settings.model_fields:
        lines += [f"# {about(key)}", as_line(effective, key)]
    return "\n".join(lines) + "\n"


def as_line(effective: Effective, key: str) -> str:
    """The line of one key, with its origin in a comment."""
    value = getattr(effective.settings, key)
    if value is None:
        return f"# {key} ="
    if key == "source":
        value = redacted(value)  # the output may be shown to others
    if key == "rate" and not isinstance(value, str):
        value = rate_text(value)
    return f"{key} = {_toml(value)}  # {effective.origins[key]}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, RegionOfInterest):
        return _toml(region_text(value.left, value.top, value.width, value.height))
    if isinstance(value, BaseModel):
        return _toml(dict(value))
    if isinstance(value, CameraSettings) and value.region is not None:
        return _toml(_set(value) | {"region": region_text(*value.region)})
    if isinstance(value, CameraSettings | BeltSettings):
        return _toml(_set(value))
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items() if inner is not None)
        return f"{{ {inside} }}" if inside else "{}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _set(settings: CameraSettings | BeltSettings) -> dict[str, Any]:
    """The settings that have a value."""
    return {key: inner for key, inner in vars(settings).items() if inner is not None}
