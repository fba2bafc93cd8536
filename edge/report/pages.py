"""What self-contained HTML pages share: the templates' environment, and a picture inside the page."""

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from edge.frame import Frame
from edge.report.thumbnail import data_uri


@dataclass(frozen=True)
class Picture:
    """One picture of a card: its address inside the page, what it is, and its size in pixels."""

    address: str
    about: str
    width: int
    height: int


def embedded(picture: Frame, about: str) -> Picture:
    """A picture that travels inside the page."""
    return Picture(data_uri(picture), about, picture.shape[1], picture.shape[0])


def templates(package: str) -> Environment:
    """The templates that lie in the folder of a package: values are escaped, one that is missing is an error."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=select_autoescape(["j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
