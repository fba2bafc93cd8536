"""Detection of pictures without content: black, saturated and flat ones, for which a model's score is meaningless.

Every frame is checked before inference, stored or live, and every photograph of a training. The check reads only a few
rows.
"""

from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

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
    of green; the lightest value; the share of white values; the largest standard deviation of a channel; a checksum.
    """

    brightness: float
    sharpness: float
    lightest: int
    white_share: float
    deviation: float
    checksum: int


def sample(frame: "npt.NDArray[np.uint8]") -> Sampled:
    """Sample ROWS rows of a frame `uint8 [height, width, 3]`."""
    import cv2
    import numpy as np

    step = max(1, frame.shape[0] // ROWS)
    rows = np.ascontiguousarray(frame[step // 2 :: step])
    green = cv2.extractChannel(rows, 1)
    left, right = green[:, :-1], green[:, 1:]
    return Sampled(
        brightness=cv2.sumElems(green)[0] / green.size,
        sharpness=cv2.norm(left, right, cv2.NORM_L1) / left.size if left.size else 0.0,
        lightest=int(rows.max()),
        white_share=float(np.count_nonzero(green >= WHITE) / green.size),
        deviation=float(cv2.meanStdDev(rows)[1].max()),
        checksum=crc32(rows.data),
    )


def blank_fault(frame: "npt.NDArray[np.uint8]") -> Fault | None:
    """Why a frame `uint8 [height, width, 3]` has no content; None if it may show a part."""
    return blank_fault_of(sample(frame))


def blank_fault_of(sampled: Sampled) -> Fault | None:
    """Like `blank_fault`, for rows that were already sampled."""
    if sampled.lightest < BLACK:
        return Fault(Reason.BLACK, f"no value of the frame is above {sampled.lightest}")
    if sampled.white_share >= WHITE_SHARE:
        return Fault(Reason.SATURATED, f"{sampled.white_share:.0%} of the frame is {WHITE} or more")
    if sampled.deviation < FLAT:
        return Fault(Reason.SHARPNESS, f"the frame is flat, its values deviate by {sampled.deviation:.1f} grey levels")
    return None
