"""Source `belt`: the demo line under a free-running camera, with a moving belt; it knows where each part is.

The position of the belt depends only on the time since `began_ns`. A process that opens the belt again with the same
`began_ns` finds it at the position that it has reached meanwhile.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.errors import SourceError
from edge.sources.base import Capture, Kind, Shown, Source, SourceRequest
from edge.sources.stored import wanted

if TYPE_CHECKING:
    from edge.demo.moving import View

DEFAULT_SIZE, DEFAULT_RATE = (720, 1280), 30.0


def claims(name: str) -> bool:
    """Whether `name` means this source."""
    return name == "belt"


class BeltSource(Source):
    """Frames of the moving belt at its rate, starting with the frame that is due at the first read."""

    name = "belt"
    simulated = live = free_running = True

    def __init__(self, request: SourceRequest) -> None:
        from edge.demo.moving import MovingBelt

        self._wanted = wanted(request, None)
        self.rate = self._rate = self._wanted.rate or DEFAULT_RATE
        belt = request.belt
        try:
            self._belt = MovingBelt(
                request.seed, request.size or DEFAULT_SIZE, self.rate, belt.speed, belt.pitch, belt.jitter
            )
        except ValueError as error:
            raise SourceError(f"belt: {error}") from None
        self.shape = self._belt.size
        self.length = self._wanted.length
        self.began_ns = request.began_ns  # None: the belt starts with the first read

    def captures(self) -> Iterator[Capture]:
        """One capture per exposure, stamped with its due time: a frame that is read late is old, as a camera's is."""
        now_ns, start = time.monotonic_ns(), self._wanted.start
        began_ns = self.began_ns = self.began_ns or now_ns - self._after_ns(start)
        due = int((now_ns - began_ns) * self._rate / 1e9)
        for index in replace(self._wanted, start=max(start, due)).indices():
            capture = _capture(index, self._belt.view(index))
            due_ns = began_ns + self._after_ns(index)
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            yield replace(capture, captured_ns=due_ns)

    def _after_ns(self, index: int) -> int:
        """Nanoseconds from the start of the belt to frame `index`."""
        return round(index * 1e9 / self._rate)

    def close(self) -> None:
        """Nothing to release."""


def open(request: SourceRequest) -> BeltSource:
    """Open the belt. Raises SourceError if the request asks for an impossible size, seed, rate or belt."""
    return BeltSource(request)


def _capture(index: int, view: "View") -> Capture:
    shown = tuple(Shown(part.code, part.truth, part.x, part.y) for part in view.parts)
    return Capture(index, f"frame {index}", view.frame, shown=shown)


KIND = Kind(
    claims,
    open,
    ("belt",),
    "built-in rendered belt that runs under a camera, for --trigger presence (simulated)",
    default_size=DEFAULT_SIZE,
)
