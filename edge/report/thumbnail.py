"""Pictures small enough to be embedded in a page."""

from base64 import b64encode

import cv2
import numpy as np

from edge.frame import Frame

LONGEST = 400
"""Longer side of a picture in the page, pixels: sharp on a phone, about 15 kB."""


def data_uri(picture: Frame) -> str:
    """A picture as a JPEG data URI."""
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
    return f"data:image/jpeg;base64,{b64encode(encoded.tobytes()).decode()}"


def fitted(picture: Frame, longest: int = LONGEST) -> Frame:
    """The picture, scaled down to `longest` pixels if it is larger."""
    height, width = picture.shape[:2]
    shrink = longest / max(height, width)
    if shrink >= 1:
        return picture
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return np.asarray(cv2.resize(picture, size, None, 0, 0, cv2.INTER_AREA), np.uint8)
