"""Source `demo`: a built-in rendered production line; the truth of each part is known."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.demo.lines import PLATE_SIZE
from edge.errors import SourceError
from edge.sources.base import Capture, Kind, Source, SourceRequest
from edge.sources.stored import paced, wanted

if TYPE_CHECKING:
    from edge.demo.rendered_line import DemoFrame

DEFAULT_SIZE = PLATE_SIZE


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "demo"


class DemoSource(Source):
    """Parts of a demo line, one per capture. With a rate they are live; without, each waits until it is read."""

    name = "demo"
    simulated = True

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.lines import open_line

        self._wanted = wanted(request, None)
        self.rate = self._wanted.rate
        try:
            self._line = open_line(request.line, request.seed, size=request.size)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from None
        self.shape = self._line.size
        self.length = self._wanted.length
        self.live = request.rate is not None

    def captures(self) -> Iterator[Capture | None]:
        """One capture per part, in order; a live capture is stamped when its frame is complete."""
        photographs = (self.capture(index) for index in self._wanted.indices())
        return paced(photographs, self.rate)

    def capture(self, index: int) -> Capture:
        """Render part `index`."""
        return _capture(self._line.render(index))

    def close(self) -> None:
        """Nothing to release."""


def open(request: SourceRequest) -> DemoSource:
    """Open a demo line. Raises SourceError if the request asks for an impossible size, seed or rate."""
    return DemoSource(request)


def _capture(photograph: "DemoFrame") -> Capture:
    part = photograph.part
    details = {"code": part.code}
    if part.defects:
        details["defect"] = " ".join(str(defect) for defect in part.defects)
    return Capture(part.index, part.code, photograph.frame, truth=part.truth, details=details)


KIND = Kind(
    claims,
    open,
    ("demo",),
    "built-in rendered production line, which --line names (simulated)",
    has_lines=True,
    default_size=DEFAULT_SIZE,
)
