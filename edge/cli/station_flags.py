"""The flags of edge-run for the keys of a station, generated from the definition of the keys."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from edge.errors import ConfigError
from edge.station.config.settings import Settings, default_text, flag, flag_of, info_of

METAVARS = {"ms": "MS", "GiB": "GIB", "days": "DAYS"}
"""Placeholders of values that have a unit."""


def with_station_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a Typer command a flag for each key of a station; their values reach its `**values`.

    The command's own first flag comes after `--source`, its other flags after those of all keys.
    """
    first, *others = (
        one for one in inspect.signature(command).parameters.values() if one.kind is Parameter.KEYWORD_ONLY
    )
    source, *further = _flags()
    signature = inspect.Signature([source, first, *further, *others])
    setattr(command, "__signature__", signature)  # noqa: B010  functions have no such attribute by their type
    return command


def keys_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values given on the command line, by key. Raises ConfigError if a KEY=VALUE is malformed."""
    said: dict[str, Any] = {}
    for key in Settings.model_fields:
        value = values.get(key)
        if values.get(f"no_{key}"):
            said[key] = False
        elif value is not None and value != []:
            said[key] = _table(key, value) if flag_of(key).is_table else value
    return said


def _table(key: str, texts: list[str]) -> dict[str, str]:
    """The table of KEY=VALUE texts. The last one of a key counts. Raises ConfigError."""
    table = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ConfigError(f"{flag(key)} {text!r}: give KEY=VALUE, as in {_example(key)}")
        table[name] = value
    return table


def _example(key: str) -> str:
    return {"camera": "exposure_us=5000", "presence": "axis=y", "belt": "speed=0.5"}[key]


def _flags() -> Iterator[Parameter]:
    """The flags in the order of the keys."""
    for key in Settings.model_fields:
        own, takes, group = flag_of(key), _taken(key), info_of(key).group
        names = (f"{flag(key)}/--no-{key.replace('_', '-')}",) if takes is bool else ()
        metavar = None if takes is bool else own.metavar or _metavar(key)
        yield _parameter(
            key,
            takes,
            typer.Option(*names, metavar=metavar, help=_help(key), show_default=False, rich_help_panel=group),
        )
        if own.off is not None:
            option = typer.Option(f"--no-{key}", help=own.off, show_default=False, rich_help_panel=group)
            yield Parameter(f"no_{key}", Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])


def _parameter(key: str, takes: Any, option: Any) -> Parameter:
    return Parameter(key, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[takes | None, option])


def _help(key: str) -> str:
    """The key's description, with its default."""
    default = default_text(key)
    more = " May be repeated." if get_origin(_taken(key)) is list else ""
    return f"{info_of(key).about}{more}" + (f" [default: {default}]" if default else "")


def _taken(key: str) -> Any:
    """The type of the key's flag: a list if it may be repeated. `Settings` parses the texts."""
    kind = _bare(Settings.model_fields[key].annotation)
    if kind is bool:
        return bool
    if get_origin(kind) is tuple or flag_of(key).is_table:
        return list[str]
    return int if get_origin(kind) is Literal and isinstance(get_args(kind)[0], int) else str


def _metavar(key: str) -> str:
    """The choices of a key with a Literal type, else the placeholder of its value."""
    kind, unit = _bare(Settings.model_fields[key].annotation), info_of(key).unit
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return METAVARS.get(unit or "") or {int: "N", float: "X"}.get(kind) or key.upper()


def _bare(kind: Any) -> Any:
    """The type without None and annotations; the first one of a union."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    return _bare(get_args(kind)[0]) if get_origin(kind) in (Union, UnionType) else kind
