"""Types of the values of a station's settings: the forms allowed in a file or a flag, and their parsers.

A parser raises ValueError with the form that the value must have. The caller adds the key.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainValidator

from edge.letterbox.contract import RegionOfInterest
from edge.rates import per_second
from edge.sources import Rate
from edge.sources.size import region_numbers
from edge.station.codes.contract import CodeFormat

BOOLEAN_WORDS = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null"})
"""Texts that are not accepted as file names: they are probably meant as a boolean without quotes, or as no value."""


def _path(said: Any) -> Any:
    """The path as given. Raises ValueError if it is a boolean in quotes, or empty."""
    if isinstance(said, str | Path) and str(said).strip().lower() in BOOLEAN_WORDS:
        raise ValueError("that names no file; true and false are written without quotes")
    return said


def _list(said: Any) -> Any:
    """A list; a single value is a list of one."""
    return said if isinstance(said, list | tuple) else [said]


def _text(said: Any) -> Any:
    """A text; an integer is converted to text."""
    return str(said) if isinstance(said, int) and not isinstance(said, bool) else said


def _folder(said: Any) -> Path | Literal[False] | None:
    """A folder, or false. Raises ValueError."""
    if said is None or said is False:
        return said
    if not isinstance(said, str | Path):
        raise ValueError("give a folder, or false")
    return Path(_path(said))


def _rate(said: Any) -> Rate | None:
    """Pictures per second from "10/s" or "600/min", or "file". A float is an already parsed rate. Raises ValueError."""
    if said is None:
        return None
    if said == "file":
        return "file"
    if isinstance(said, float) and 0 < said < float("inf"):
        return said
    try:
        return per_second(said if isinstance(said, str) else "")
    except ValueError:
        raise ValueError("give a rate with its unit, as in 10/s or 600/min, or file") from None


def _region(said: Any) -> Any:
    """A region from LEFT,TOP,WIDTHxHEIGHT. Raises ValueError."""
    if isinstance(said, RegionOfInterest):
        return said
    left, top, width, height = region_numbers(said)
    return {"left": left, "top": top, "width": width, "height": height}


def _regex(said: Any) -> Any:
    """A text that is a regular expression. Raises ValueError."""
    try:
        return said if not isinstance(said, str) else re.compile(said).pattern
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"that is no regular expression: {error}") from error


def _before(parse: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(parse)


NamedPath = Annotated[Path, _before(_path)]
"""A path. Booleans in quotes are rejected."""

NamedPaths = Annotated[tuple[NamedPath, ...], _before(_list)]
Names = Annotated[tuple[str, ...], _before(_list)]
Port = Annotated[str, _before(_text)]
"""[HOST:]PORT; a port may be a number."""

RecordsFolder = Annotated[Path | Literal[False] | None, PlainValidator(_folder)]
RateOrFile = Annotated[Rate | None, PlainValidator(_rate)]
Region = Annotated[RegionOfInterest, _before(_region)]
Regions = Annotated[tuple[Region, ...], _before(_list)]
CodeFormats = Annotated[tuple[CodeFormat, ...], _before(_list)]
Regex = Annotated[str, _before(_regex)]
