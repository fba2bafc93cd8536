"""Drawn parts for the tests of data: each part has unique marks, and can be photographed again in other light."""

from pathlib import Path

import cv2
import numpy as np


def part(rng: np.random.Generator, shared: np.ndarray | None = None) -> np.ndarray:
    """A part with unique marks, uint8 [160, 240, 3], drawn on the `shared` picture [160, 240] if it is given."""
    marks = cv2.GaussianBlur(rng.normal(0, 1, (160, 240)).astype(np.float32), (0, 0), 4)
    marks *= 20 / marks.std()
    grey = 110 + marks if shared is None else shared + 0.15 * marks
    return np.dstack([grey.clip(0, 255).astype(np.uint8)] * 3)


def seen_again(rng: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """Another photograph of the part: in other light, shifted by a few pixels, and compressed as JPEG."""
    lit = frame * rng.uniform(0.6, 1.3) + np.linspace(0, rng.uniform(-40, 40), frame.shape[1])[None, :, None]
    top, left = rng.integers(0, 6, 2)
    moved = lit.clip(0, 255).astype(np.uint8)[top : 150 + top, left : 230 + left]
    return cv2.imdecode(cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR)


def write(path: Path, picture: np.ndarray) -> None:
    """Write a picture, and create the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
