"""Detection of pictures without content: black, saturated and flat ones, for which a model's score is meaningless.

Every frame is checked before inference, stored or live, and every photograph of a training. The check reads only a few
rows.
"""

from typing import TYPE_CHECKING, NamedTuple

from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ROWS = 32
"""Number of sampled rows, evenly spaced."""

BLACK, WHITE = 8, 250
"""A frame is black if every sampled value is below BLACK, white if WHITE_SHARE of the values are WHITE or more."""

WHITE_SHARE = 0.98

FLAT = 0.5
"""Standard deviation, in grey levels, that at least one channel of a frame with a part exceeds. A covered lens and a
grey fill stay below it; a part, or a sensor's noise on a lit scene, does not."""


class Sampled(NamedTuple):
    """Statistics of the sampled rows: mean brightness, 0 to 255, and sharpness, the mean step between neighbours, both
    of green; the lightest value; the share of white values; the largest standard deviation of a channel, or a lower
    bound of it that is at least FLAT.
    """

    brightness: float
    sharpness: float
    lightest: int
    white_share: float
    deviation: float


def sampled_rows(frame: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.uint8]":
    """A copy of ROWS rows, or a few more, of a frame `uint8 [height, width, 3]`."""
    import numpy as np

    step = max(1, frame.shape[0] // ROWS)
    return np.array(frame[step // 2 :: step], order="C")


def sample(rows: "npt.NDArray[np.uint8]") -> Sampled:
    """Statistics of the `sampled_rows` of a frame."""
    import cv2
    import numpy as np

    green = cv2.extractChannel(rows, 1)
    left, right = green[:, :-1], green[:, 1:]
    sharpness = cv2.norm(left, right, cv2.NORM_L1) / left.size if left.size else 0.0
    # The mean step between neighbours is at most twice the mean distance from the mean, and that at most the deviation.
    deviation = sharpness / 2 * left.size / green.size
    return Sampled(
        brightness=cv2.sumElems(green)[0] / green.size,
        sharpness=sharpness,
        lightest=int(rows.max()),
        white_share=float(np.count_nonzero(green >= WHITE) / green.size),
        deviation=deviation if deviation >= FLAT else float(cv2.meanStdDev(rows)[1].max()),
    )


def blank_fault(frame: "npt.NDArray[np.uint8]") -> Fault | None:
    """Why a frame `uint8 [height, width, 3]` has no content; None if it may show a part."""
    return blank_fault_of(sample(sampled_rows(frame)))


def blank_fault_of(sampled: Sampled) -> Fault | None:
    """Like `blank_fault`, for rows that were already sampled."""
    if sampled.lightest < BLACK:
        return Fault(Reason.BLACK, f"no value of the frame is above {sampled.lightest}")
    if sampled.white_share >= WHITE_SHARE:
        return Fault(Reason.SATURATED, f"{sampled.white_share:.0%} of the frame is {WHITE} or more")
    if sampled.deviation < FLAT:
        return Fault(Reason.SHARPNESS, f"the frame is flat, its values deviate by {sampled.deviation:.1f} grey levels")
    return None
