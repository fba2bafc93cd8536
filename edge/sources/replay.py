"""Source `replay`: a few frames of the demo line, rendered once and shown again and again.

A camera that costs nothing but the copy into the ring: the source for measuring everything behind the camera.
"""

from collections.abc import Iterator
from dataclasses import replace

from edge.sources import Capture, SourceRequest
from edge.sources.demo import DemoSource
from edge.sources.stored import paced

FRAMES = 16


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "replay"


def available() -> list[tuple[str, str]]:
    """Always there."""
    return [("replay", f"{FRAMES} frames of the demo line over and over, for measurements (simulated)")]


class ReplaySource(DemoSource):
    """The demo line, whose parts come round again after the sixteenth."""

    name = "replay"

    def captures(self) -> Iterator[Capture]:
        """One capture a part; rendering is over before the first."""
        stock = [self.capture(index) for index in range(FRAMES)]
        return paced((replace(stock[index % FRAMES], index=index) for index in self._wanted.indices()), self.rate)


def open(request: SourceRequest) -> ReplaySource:
    """Open it. Raises SourceError if the request asks for an impossible size, seed or rate."""
    return ReplaySource(request)
