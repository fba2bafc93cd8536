"""Source `replay`: a few frames of the demo line, rendered once and shown again and again.

A camera that costs nothing but the copy into the ring: the source for measuring everything behind the camera. Frames of
more than `MOST_RENDERED` pixels are smaller ones side by side: to render one of 20 megapixels takes seconds.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge.sources import Capture, SourceRequest
from edge.sources.demo import DEFAULT_SIZE, DemoSource
from edge.sources.stored import paced

FRAMES = 16
MOST_RENDERED = 3_000_000


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "replay"


def available() -> list[tuple[str, str]]:
    """Always there."""
    return [("replay", f"{FRAMES} frames of the demo line over and over, for measurements (simulated)")]


class ReplaySource(DemoSource):
    """The demo line, whose parts come round again after the sixteenth."""

    name = "replay"

    def __init__(self, request: SourceRequest) -> None:
        height, width = request.size or DEFAULT_SIZE
        is_tiled = height * width > MOST_RENDERED
        super().__init__(replace(request, size=None) if is_tiled else request)
        self.shape = height, width

    def capture(self, index: int) -> Capture:
        """Part `index`; the same part many times over where the frame is large."""
        import numpy as np

        capture, shape = super().capture(index), self.shape
        assert capture.frame is not None
        assert shape is not None
        if capture.frame.shape[:2] == shape:
            return capture
        times = (-(-shape[0] // capture.frame.shape[0]), -(-shape[1] // capture.frame.shape[1]), 1)
        return replace(capture, frame=np.ascontiguousarray(np.tile(capture.frame, times)[: shape[0], : shape[1]]))

    def captures(self) -> Iterator[Capture]:
        """One capture a part; rendering is over before the first."""
        stock = [self.capture(index) for index in range(FRAMES)]
        return paced((replace(stock[index % FRAMES], index=index) for index in self._wanted.indices()), self._rate)


def open(request: SourceRequest) -> ReplaySource:
    """Open it. Raises SourceError if the request asks for an impossible size, seed or rate."""
    return ReplaySource(request)
