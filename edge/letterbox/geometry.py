"""Letterbox arithmetic, frame to model and back, in integers.

Floats get the letterboxed size wrong: ``int(299 * (224 / 299))`` is 223. Here every size is an integer division.
"""

from dataclasses import dataclass

SMALLEST_FRAME, LARGEST_FRAME = 16, 8192
"""Allowed side lengths of a frame in pixels. A smaller frame shows no part; a larger one was never tested."""


@dataclass(frozen=True)
class Letterbox:
    """Position of `frame_height` × `frame_width` pixels of a frame in a square model input of `side` pixels.

    `height`, `width` are their size after resizing, `top`, `left` the padding before them, in pixels. In the frame the
    pixels begin at row `frame_top`, column `frame_left`.
    """

    frame_height: int
    frame_width: int
    side: int
    height: int
    width: int
    top: int
    left: int
    frame_top: int = 0
    frame_left: int = 0

    @property
    def bottom(self) -> int:
        """Padding below the resized frame, in pixels."""
        return self.side - self.height - self.top

    @property
    def right(self) -> int:
        """Padding to the right of the resized frame, in pixels."""
        return self.side - self.width - self.left

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """Frame coordinates (x, y) of a point in letterboxed coordinates; pixel edges, not centres, are integers."""
        return (
            self.frame_left + (x - self.left) * self.frame_width / self.width,
            self.frame_top + (y - self.top) * self.frame_height / self.height,
        )


def letterbox(
    frame_height: int, frame_width: int, side: int, stretch: bool = False, origin: tuple[int, int] = (0, 0)
) -> Letterbox:
    """Fit a frame into a square of `side` pixels, centred, with its aspect ratio; an odd padding pixel goes after it.

    With `stretch` the frame fills the square instead, and its aspect ratio is lost. `origin` (row, column) is where
    these pixels begin in a larger frame.

    Raises ValueError if a size is not positive.
    """
    if min(frame_height, frame_width, side) < 1:
        raise ValueError(f"letterbox of {frame_width}×{frame_height} into {side}: sizes must be at least 1")
    longest = max(frame_height, frame_width)
    height = side if stretch else max(1, frame_height * side // longest)
    width = side if stretch else max(1, frame_width * side // longest)
    top, left = (side - height) // 2, (side - width) // 2
    return Letterbox(frame_height, frame_width, side, height, width, top, left, *origin)
