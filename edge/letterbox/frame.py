"""Conversion of the station's frame to the frame that a bundle's graph takes."""

import numpy as np

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract


def graph_frame(frame: Frame, contract: LetterboxContract) -> Frame:
    """The frame `uint8 [H, W, 3]` BGR unchanged, or as `uint8 [H, W]` if the contract's frames are grey.

    The three equal channels of a grey camera become one channel; colours become their luminance, rounded. Raises
    DataError if the frame does not contain the contract's region, of which a graph would silently see only a part.
    """
    contract.fit(*frame.shape[:2])
    if contract.frame == "bgr":
        return frame
    import cv2

    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)


def seen(picture: Frame, contract: LetterboxContract) -> Frame:
    """The inspected pixels of a frame or of its mask, `uint8 [h, w, …]`, as a view.

    Raises DataError if the picture does not contain the contract's region.
    """
    box = contract.fit(*picture.shape[:2])
    rows = slice(box.frame_top, box.frame_top + box.frame_height)
    columns = slice(box.frame_left, box.frame_left + box.frame_width)
    return picture[rows, columns]
