"""Source `belt`: the demo line under a free-running camera, its belt in motion; it knows which parts are where."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.errors import SourceError
from edge.sources import Capture, Shown, SourceRequest
from edge.sources.stored import paced, wanted

if TYPE_CHECKING:
    from edge.demo.moving import View

DEFAULT_SIZE, DEFAULT_RATE = (720, 1280), 30.0


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "belt"


def available() -> list[tuple[str, str]]:
    """The belt is always there."""
    return [("belt", "built-in rendered belt that runs under a camera, for --trigger presence (simulated)")]


class BeltSource:
    """Frames of the moving belt, at its rate."""

    name = "belt"
    simulated = live = free_running = True
    device = False

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.moving import MovingBelt

        self._wanted = wanted(request, None)
        self._rate = request.rate or DEFAULT_RATE
        belt = request.belt
        try:
            self._belt = MovingBelt(
                request.seed, request.size or DEFAULT_SIZE, self._rate, belt.speed, belt.pitch, belt.jitter
            )
        except ValueError as error:
            raise SourceError(f"belt: {error}") from None
        self.shape: tuple[int, int] | None = self._belt.size
        self.length = self._wanted.length

    def captures(self) -> Iterator[Capture]:
        """One capture an exposure."""
        return paced((_capture(index, self._belt.view(index)) for index in self._wanted.indices()), self._rate)

    def close(self) -> None:
        """Nothing to release."""


def open(request: SourceRequest) -> BeltSource:
    """Open the belt. Raises SourceError if the request asks for an impossible size, seed, rate or belt."""
    return BeltSource(request)


def _capture(index: int, view: "View") -> Capture:
    shown = tuple(Shown(part.code, part.truth, part.x, part.y) for part in view.parts)
    return Capture(index, f"frame {index}", view.frame, shown=shown)
