"""Merges defaults, file and flags, and records the origin of each value."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ValidationError

from edge.errors import ConfigError
from edge.station.config.settings import CAMERA, Settings, about, flag, flag_of
from edge.station.config.suggestions import nearest_setting
from edge.station.config.toml_reading import checked, read
from edge.text import dotted
from edge.validation import problem, shown

Origin = Annotated[str, "where a value came from: default, the file's name, or the flag"]


class Effective(NamedTuple):
    """The settings of a run, and the origin of each."""

    settings: Settings
    origins: dict[str, Origin]


def effective(file: Path | None, flags: dict[str, Any]) -> Effective:
    """Defaults, overridden by the file, overridden by the flags that are not None.

    Raises ConfigError, in one line with the key and the remedy.
    """
    return merged([] if file is None else [(checked(file, read(file)), str(file))], flags)


def merged(layers: Sequence[tuple[dict[str, Any], Origin]], flags: dict[str, Any]) -> Effective:
    """Defaults, overridden by the layers in order, overridden by the given flags. Raises ConfigError."""
    origins: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    said: dict[str, Any] = {}
    for layer, origin in layers:
        said |= layer
        origins |= dict.fromkeys(layer, origin)
    given = {key: value for key, value in flags.items() if value is not None}
    for key in (key for key in given if flag_of(key).is_table and isinstance(said.get(key), dict)):
        given[key] = said[key] | given[key]
    origins |= {key: flag(key) for key in given}
    try:
        return Effective(Settings.model_validate(said | given), origins)
    except ValidationError as error:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(error.errors(), key=lambda one: one["type"] not in unknown)  # a wrong name explains a missing one
        key = str(first["loc"][0])
        where = dotted(first["loc"])
        if first["type"] in unknown:
            raise ConfigError(f"{origins[key]}: no such setting: {where}; {nearest_setting(where)}") from error
        takes = f"give {CAMERA[str(first['loc'][1])]}" if where.startswith("camera.") else f"the setting: {about(key)}"
        named = "" if (where, origins[key]) == (key, flag(key)) else f": {where} ="  # a flag names its own key
        raise ConfigError(f"{origins[key]}{named} {shown(first['input'])}: {problem(first)}; {takes}") from error
