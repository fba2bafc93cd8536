"""Shared parts of self-contained HTML pages: the template environment, and embedded pictures."""

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from edge.frame import Frame
from edge.report.thumbnail import data_uri


@dataclass(frozen=True)
class Picture:
    """One picture of a card: its data URI, its description, and its size in pixels."""

    address: str
    about: str
    width: int
    height: int


def embedded(picture: Frame, about: str) -> Picture:
    """A picture embedded in the page."""
    return Picture(data_uri(picture), about, picture.shape[1], picture.shape[0])


@cache
def templates(package: str) -> Environment:
    """The templates in a package's folder, compiled once: values are escaped, a missing value is an error."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=select_autoescape(["j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
