"""Reads a configuration file; its relative paths become relative to the working directory."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, get_args

from edge.errors import ConfigError
from edge.station.config.settings import Settings

TABLES = "stations"
"""Name of the list of tables, one for each station. They override the keys above them."""


def _holds_paths(kind: Any) -> bool:
    return kind is Path or any(map(_holds_paths, get_args(kind)))


PATHS = frozenset(key for key, field in Settings.model_fields.items() if _holds_paths(field.annotation))
"""Keys whose values are paths, relative to the folder of the file."""


PRODUCTS = "products"
"""The key whose tables have a path, the bundle of a product."""

PLC = "plc"
"""The table of edge-plc."""


def read(file: Path) -> dict[str, Any]:
    """The content of a configuration file without the table of edge-plc. Raises ConfigError."""
    return {key: value for key, value in parsed(file).items() if key != PLC}


def parsed(file: Path) -> dict[str, Any]:
    """The whole content of a configuration file. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); edge-run --print-config writes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: values within values, too deep; edge-run --print-config writes one") from error


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def checked(file: Path, said: dict[str, Any], origin: str | None = None) -> dict[str, Any]:
    """The keys of the file, or of its table `origin`, with paths resolved. Raises ConfigError for unknown keys."""
    for key, value in said.items():
        is_table = isinstance(value, dict) or _are_tables(value)
        if is_table and (key == "station" or (_are_tables(value) and key not in Settings.model_fields)):
            near = difflib.get_close_matches(key, (TABLES,), 1)
            if near != [key]:
                remedy = f"did you mean [[{near[0]}]]?" if near else f"each station is a table [[{TABLES}]]"
                raise ConfigError(f"{origin or file}: no such table: {key}; {remedy}")
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key.replace("-", "_"), Settings.model_fields, 1)
            remedy = f"did you mean {near[0]}?" if near else "edge-run --print-config shows the keys"
            raise ConfigError(f"{origin or file}: no such key: {key}; {remedy}")
    return {key: _found_in(file, key, value) for key, value in said.items()}


def _found_in(file: Path, key: str, value: Any) -> Any:
    """The value of a key, with its paths resolved."""
    if key == PRODUCTS and _are_tables(value):
        return [table | {"bundle": _found(file, table["bundle"])} if "bundle" in table else table for table in value]
    return _found(file, value) if key in PATHS else value


def _found(file: Path, said: Any) -> Any:
    """Resolve a path against the folder of the file. A bare name that is no file there is kept, as that of a bundle."""
    if isinstance(said, list):
        return [_found(file, one) for one in said]
    if not isinstance(said, str) or not said or (Path(said).parent == Path() and not (file.parent / said).exists()):
        return said
    try:
        return str(file.parent / Path(said).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{file}: {said!r}: no home folder is known for it; write the whole path") from error
