"""A frame reduced for the finder: a grid of cells, rows across the belt, columns along it."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Frame

COLUMNS, ROWS = 160, 45
"""Cells along and across the belt; a frame with fewer pixels has one cell per pixel."""

SMOOTH = 3
"""Size of the box filter over cells: smaller details, such as grains of dirt and sensor noise, are not parts."""

Cells = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Cells over frames of one size (height, width) on a belt that runs along `axis`."""

    shape: tuple[int, int]
    axis: Literal["x", "y"]

    @property
    def length(self) -> int:
        """The frame's size along the belt, pixels."""
        return self.shape[1] if self.axis == "x" else self.shape[0]

    @property
    def columns(self) -> int:
        """Cells along the belt."""
        return min(COLUMNS, self.length)

    @property
    def cell(self) -> float:
        """Length of a cell along the belt, pixels."""
        return self.length / self.columns

    def cells(self, frame: Frame) -> Cells:
        """The cells `float32 [rows, columns, 3]` of a frame: some of its lines along the belt, averaged over each
        cell's length. The other lines of the frame are not read.
        """
        across = self.shape[0] if self.axis == "x" else self.shape[1]
        step = max(1, across // ROWS)
        if self.axis == "x":
            lines = frame[step // 2 :: step]
        else:
            lines = np.ascontiguousarray(frame[:, step // 2 :: step].transpose(1, 0, 2))
        small = cv2.resize(lines, (self.columns, len(lines)), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.blur(small, (SMOOTH, SMOOTH)), np.float32)

    def picture(self, cells: Cells) -> Frame:
        """A smooth frame `uint8 [H, W, 3]` with the colours of `cells`."""
        levels = np.clip(np.rint(cells), 0, 255).astype(np.uint8)
        if self.axis == "y":
            levels = np.ascontiguousarray(levels.transpose(1, 0, 2))
        height, width = self.shape
        wide = cv2.resize(levels, (width, levels.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
