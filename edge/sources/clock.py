"""Source `clock`: the rendered line, live, with a clock in each picture, to measure the age of a verdict's frame.

The clock is read and drawn when the picture is yielded, which is this line's moment of exposure. The time stamp of the
capture is taken separately, so that the two can be compared. `edge.demo.clock` describes the drawing.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge.errors import SourceError
from edge.sources.base import Capture, Kind, SourceRequest
from edge.sources.demo import DEFAULT_SIZE, DemoSource
from edge.sources.replay import FRAMES
from edge.sources.stored import paced

RATE = 20.0
"""Pictures per second by default: without a rate a picture, and its clock, would wait for the reader."""


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "clock"


class ClockSource(DemoSource):
    """Sixteen parts of the demo line in a loop, at a rate; each picture shows the time of its yield in microseconds."""

    name = "clock"

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.clock import HEIGHT, WIDTH

        height, width = request.size or DEFAULT_SIZE
        if height < HEIGHT or width < WIDTH:
            raise SourceError(f"clock: a frame of {width}x{height} has no room for it; give {WIDTH}x{HEIGHT} or more")
        super().__init__(replace(request, rate=RATE if request.rate is None else request.rate))

    def captures(self) -> Iterator[Capture]:
        """One capture per part; all are rendered before the first, so that rendering does not disturb the timing."""
        from edge.demo.clock import draw, now_us

        stock = [self.capture(index) for index in range(FRAMES)]
        copies = (_copied(stock[index % FRAMES], index) for index in self._wanted.indices())
        for capture in paced(copies, self.rate):
            assert capture.frame is not None
            draw(capture.frame, now_us())
            yield capture


def _copied(capture: Capture, index: int) -> Capture:
    """A copy of the capture with its own frame to draw on, and another index."""
    assert capture.frame is not None
    return replace(capture, index=index, frame=capture.frame.copy())


def open(request: SourceRequest) -> ClockSource:
    """Open the source. Raises SourceError if the request has an impossible size, seed or rate."""
    return ClockSource(request)


KIND = Kind(
    claims,
    open,
    ("clock",),
    "the demo line with a clock in the picture, for measuring the age of frames (simulated)",
    default_size=DEFAULT_SIZE,
)
