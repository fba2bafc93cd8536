"""Pictures with machine-readable codes."""

from typing import Any

import numpy as np
import zxingcpp

from edge.frame import Frame

GREY = 120


def grey(height: int = 240, width: int = 320) -> Frame:
    """A frame without a code: a faint pattern, since a blank frame is not judged."""
    rows, columns = np.indices((height, width))
    return np.repeat((GREY + (rows // 8 + columns // 8) % 2 * 6)[..., None], 3, axis=2).astype(np.uint8)


def drawn(
    frame: Frame, text: str | bytes, kind: str = "DataMatrix", at: tuple[int, int] = (20, 20), **options: Any
) -> Frame:
    """The frame with a code of zxing-cpp's format `kind`, its upper left corner at (row, column) `at`."""
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind), **options)
    image = np.array(zxingcpp.write_barcode_to_image(code, scale=3))
    frame = frame.copy()
    frame[at[0] : at[0] + image.shape[0], at[1] : at[1] + image.shape[1]] = image[..., None]
    return frame
