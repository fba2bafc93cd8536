"""Source `replay`: a few frames of the demo line, rendered once and shown in a loop.

A camera whose only cost is the copy into the ring, to measure everything behind the camera. With a rate it may have a
line's rhythm: `replay:jitter=0.2,idle=5/60` has a jitter of a fifth of the interval, and pauses for 5 s after every
60 s of work. Frames of more than `MOST_RENDERED` pixels are smaller ones tiled: rendering 20 megapixels takes seconds.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge.errors import SourceError
from edge.sources.base import Capture, Kind, SourceRequest
from edge.sources.cadence import Rhythm, rhythmic
from edge.sources.demo import DEFAULT_SIZE, DemoSource

NAME = "replay"
FRAMES = 16
MOST_RENDERED = 3_000_000


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == NAME or name.startswith(f"{NAME}:")


class ReplaySource(DemoSource):
    """The demo line in a loop of sixteen parts."""

    name = NAME

    def __init__(self, request: SourceRequest) -> None:
        """Raises SourceError if the request has an impossible size, seed, rate or rhythm."""
        height, width = request.size or DEFAULT_SIZE
        is_tiled = height * width > MOST_RENDERED
        super().__init__(replace(request, size=None) if is_tiled else request)
        self.shape = height, width
        words = request.name.partition(":")[2]
        if words and self.rate is None:
            raise SourceError(f"{request.name}: a rhythm needs the rate of its parts; give --rate too")
        self._rhythm = None if self.rate is None else Rhythm.of(self.rate, words)

    def capture(self, index: int) -> Capture:
        """Part `index`; a large frame is a tiling of the same part."""
        import numpy as np

        capture, shape = super().capture(index), self.shape
        assert capture.frame is not None
        assert shape is not None
        if capture.frame.shape[:2] == shape:
            return capture
        times = (-(-shape[0] // capture.frame.shape[0]), -(-shape[1] // capture.frame.shape[1]), 1)
        return replace(capture, frame=np.ascontiguousarray(np.tile(capture.frame, times)[: shape[0], : shape[1]]))

    def captures(self) -> Iterator[Capture | None]:
        """One capture per part; all parts are rendered before the first. None: the line pauses."""
        stock = [self.capture(index) for index in range(FRAMES)]
        shown = (replace(stock[index % FRAMES], index=index) for index in self._wanted.indices())
        return shown if self._rhythm is None else rhythmic(shown, self._rhythm)


def open(request: SourceRequest) -> ReplaySource:
    """Open the source. Raises SourceError if the request cannot be met."""
    return ReplaySource(request)


KIND = Kind(
    claims,
    open,
    (NAME, f"{NAME}:jitter=0.2,idle=5/60"),
    f"{FRAMES} frames of the demo line over and over, for measurements (simulated)",
    default_size=DEFAULT_SIZE,
)
