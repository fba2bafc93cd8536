"""Source `demo`: the built-in rendered production line, which knows the truth of each part."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.errors import SourceError
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.stored import paced, wanted

if TYPE_CHECKING:
    from edge.demo.line import DemoFrame

DEFAULT_SIZE = (720, 1280)


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "demo"


def available() -> list[tuple[str, str]]:
    """The demo line is always there."""
    return [("demo", "built-in rendered production line (simulated)")]


class DemoSource(Source):
    """Parts of the demo line, one a capture. With a rate they pass live; without, each waits until it is taken."""

    name = "demo"
    simulated = True

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.line import DemoLine

        self._wanted = wanted(request, None)
        self.rate = self._wanted.rate
        try:
            self._line = DemoLine(request.seed, request.size or DEFAULT_SIZE)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from None
        self.shape = self._line.size
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture | None]:
        """One capture a part, in order; the stamp of a live one is the moment at which its frame is complete."""
        photographs = (self.capture(index) for index in self._wanted.indices())
        return paced(photographs, self.rate)

    def capture(self, index: int) -> Capture:
        """Render part `index`."""
        return _capture(self._line.render(index))

    def close(self) -> None:
        """Nothing to release."""


def open(request: SourceRequest) -> DemoSource:
    """Open the demo line. Raises SourceError if the request asks for an impossible size, seed or rate."""
    return DemoSource(request)


def _capture(photograph: "DemoFrame") -> Capture:
    part = photograph.part
    details = {"code": part.code}
    if part.defects:
        details["defect"] = " ".join(str(defect) for defect in part.defects)
    return Capture(part.index, part.code, photograph.frame, truth=part.truth, details=details)


KIND = Kind(claims, open, available, default_size=DEFAULT_SIZE)
