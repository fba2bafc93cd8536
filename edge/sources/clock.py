"""Source `clock`: the rendered line, live, with a clock in each picture: for measuring how old a verdict's frame is.

The clock is read and drawn when the picture is let go, which is this line's moment of exposure, and not by what stamps
the picture: so the two can be held against each other. `edge.demo.clock` says how it looks.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge.errors import SourceError
from edge.sources.base import Capture, Kind, SourceRequest
from edge.sources.demo import DEFAULT_SIZE, DemoSource
from edge.sources.replay import FRAMES
from edge.sources.stored import paced

RATE = 20.0
"""Pictures a second where none are asked for: without a pace a picture would wait, and its clock with it."""


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "clock"


def available() -> list[tuple[str, str]]:
    """Always there."""
    return [("clock", "the demo line with a clock in the picture, for measuring the age of frames (simulated)")]


class ClockSource(DemoSource):
    """Sixteen parts of the demo line over and over, at a pace, and on each the microsecond at which it was let go."""

    name = "clock"

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.clock import HEIGHT, WIDTH

        height, width = request.size or DEFAULT_SIZE
        if height < HEIGHT or width < WIDTH:
            raise SourceError(f"clock: a frame of {width}x{height} has no room for it; give {WIDTH}x{HEIGHT} or more")
        super().__init__(replace(request, rate=RATE if request.rate is None else request.rate))

    def captures(self) -> Iterator[Capture]:
        """One capture a part; rendering is over before the first, so that it takes nothing from what is measured."""
        from edge.demo.clock import draw, now_us

        stock = [self.capture(index) for index in range(FRAMES)]
        copies = (_copied(stock[index % FRAMES], index) for index in self._wanted.indices())
        for capture in paced(copies, self.rate):
            assert capture.frame is not None
            draw(capture.frame, now_us())
            yield capture


def _copied(capture: Capture, index: int) -> Capture:
    """Its frame to draw on, with another index."""
    assert capture.frame is not None
    return replace(capture, index=index, frame=capture.frame.copy())


def open(request: SourceRequest) -> ClockSource:
    """Open it. Raises SourceError if the request asks for an impossible size, seed or rate."""
    return ClockSource(request)


KIND = Kind(claims, open, available, default_size=DEFAULT_SIZE)
