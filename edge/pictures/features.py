"""Features of a picture as a model sees it: brightness, colour, and texture at three scales.

They compare a picture with the photographs that a bundle learned from, at a small fraction of an inference's cost: a
few rows are copied, everything else is computed on these rows.
"""

from math import log1p, sqrt
from typing import TYPE_CHECKING, NamedTuple

from edge.letterbox.geometry import letterbox

if TYPE_CHECKING:
    import cv2
    import numpy as np
    import numpy.typing as npt

    from edge.frame import Frame
    from edge.letterbox.contract import LetterboxContract

RESOLUTION: dict[str, float] = {
    "brightness": 2.0,
    "contrast": 0.05,
    "blue": 1.0,
    "red": 1.0,
    "colourfulness": 0.05,
    "fine horizontal texture": 0.05,
    "medium horizontal texture": 0.05,
    "coarse horizontal texture": 0.05,
    "fine vertical texture": 0.05,
    "medium vertical texture": 0.05,
    "coarse vertical texture": 0.05,
    "dark area": 0.02,
    "bright area": 0.02,
    "edges": 0.02,
}
"""Each feature, and the smallest difference of it that matters.

`brightness` is the mean grey level; `blue` and `red` are the means of these channels less that of green, in grey
levels. Contrast (the standard deviation of the grey levels), colourfulness (the mean absolute difference of red and of
blue from green) and texture (the mean absolute difference of two grey levels `LAGS` apart) are log(1 + grey levels).
The areas and the edges (steps of more than `EDGE`) are square roots of shares of the picture.
"""

FEATURES = tuple(RESOLUTION)

SIDE = 256
"""The longer side of the picture on which the features are defined, in pixels; the model's own side if that is less."""

LAGS = (1, 4, 16)
"""Distances of the texture features, in pixels of that picture."""

BANDS = 8
"""Places where rows are copied: at each a row, and one at each of the `LAGS` below it."""

COLOUR_COLUMNS = 64
"""Columns of the first row of each band on which the colours are compared."""

DARK, BRIGHT, EDGE = 8, 246, 15
"""A dark area is not above the first, a bright one above the second, and an edge's step above the third grey level."""


class Rows(NamedTuple):
    """A copy of some rows of a picture, `uint8 [BANDS * (1 + len(LAGS)), w, 3]` BGR, until the next copy.

    `width` is the width of the picture on which the features are defined, in pixels.
    """

    pixels: "npt.NDArray[np.uint8]"
    width: int


class FeatureExtractor:
    """Measures the features of pictures of one contract. Not for use by two threads at once."""

    def __init__(self, contract: "LetterboxContract") -> None:
        """Colours are not compared if the model sees none."""
        self._contract = contract
        self._sees_colour = contract.frame == "bgr" and contract.colour != "grey"
        self._shape: tuple[int, int] | None = None

    def copy_rows(self, frame: "Frame") -> Rows:
        """The rows of a frame `uint8 [H, W, 3]` BGR from which `features` computes.

        Raises DataError if the frame does not contain the contract's region.
        """
        if frame.shape[:2] != self._shape:
            self._plan(*frame.shape[:2])
        if frame.flags.c_contiguous:
            frame.take(self._rows, axis=0, out=self._copy, mode="clip")  # new memory costs as much as the copy
        else:  # a region of a frame: take would copy all of it first
            self._copy[:] = frame[self._rows]
        return Rows(self._copy[:, self._columns], self._width)

    def features(self, rows: Rows) -> "npt.NDArray[np.float64]":
        """The features of `RESOLUTION`, float64 [14], in that order."""
        import cv2
        import numpy as np

        full = cv2.cvtColor(rows.pixels, cv2.COLOR_BGR2GRAY, dst=self._grey)
        shrinks = rows.width < full.shape[1]
        grey = cv2.resize(full, (rows.width, len(full)), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        mean, deviation = cv2.meanStdDev(grey)
        blue, red, colourfulness = self._colours(rows.pixels) if self._sees_colour else (0.0, 0.0, 0.0)
        bands = grey.reshape(BANDS, 1 + len(LAGS), -1)
        across = [_difference(grey[:, :-lag], grey[:, lag:]) for lag in LAGS]
        down = [_difference(bands[:, 0], bands[:, number]) for number in range(1, 1 + len(LAGS))]
        steps = cv2.absdiff(grey[:, :-1], grey[:, 1:])
        shares = 1 - _share_above(grey, DARK), _share_above(grey, BRIGHT), _share_above(steps, EDGE)
        levels = map(log1p, (colourfulness, *across, *down))
        brightness, contrast = float(mean[0, 0]), log1p(float(deviation[0, 0]))
        return np.array([brightness, contrast, blue, red, *levels, *map(sqrt, shares)], np.float64)

    def _plan(self, height: int, width: int) -> None:
        """Find the rows to copy from a frame of this size."""
        import numpy as np

        box = self._contract.fit(height, width)
        small = letterbox(
            box.frame_height, box.frame_width, min(SIDE, self._contract.side), self._contract.is_stretched
        )
        tops = (np.arange(BANDS) + 0.5) * max(0, small.height - LAGS[-1]) / BANDS
        rows = (tops[:, None] + (0, *LAGS)).ravel() + 0.5
        inside = np.minimum(rows * box.frame_height / small.height, box.frame_height - 1).astype(np.intp)
        self._rows = box.frame_top + inside
        self._columns = slice(box.frame_left, box.frame_left + box.frame_width)
        self._copy = np.empty((len(self._rows), width, 3), np.uint8)
        self._grey = np.empty((len(self._rows), box.frame_width), np.uint8)
        self._width = max(2, small.width)
        self._shape = height, width

    def _colours(self, pixels: "npt.NDArray[np.uint8]") -> tuple[float, float, float]:
        """Blue and red less green, and their mean absolute difference from green, in grey levels."""
        import cv2

        few = cv2.resize(pixels[:: 1 + len(LAGS)], (COLOUR_COLUMNS, BANDS), interpolation=cv2.INTER_NEAREST)
        blue, green, red, _ = cv2.mean(few)
        b, g, r = cv2.split(few)
        return blue - green, red - green, _difference(b, g) + _difference(r, g)


def _difference(first: "cv2.typing.MatLike", second: "cv2.typing.MatLike") -> float:
    """The mean absolute difference of two arrays; 0 if they are empty."""
    import cv2

    return float(cv2.norm(first, second, cv2.NORM_L1) / first.size) if first.size else 0.0


def _share_above(grey: "cv2.typing.MatLike", level: int) -> float:
    """The share of an array that is above a level; 0 if it is empty."""
    import cv2

    return cv2.countNonZero(cv2.threshold(grey, level, 1, cv2.THRESH_BINARY)[1]) / grey.size if grey.size else 0.0
