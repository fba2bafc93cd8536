"""The network's anomaly map in the coordinates of the frame: heat map, and outline of the ground truth."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract

Floats = npt.NDArray[np.float32]

OUTLINE = (255, 229, 0)
"""Cyan, BGR: different from all colours of the heat map."""


def map_in_frame(heat: Floats, contract: LetterboxContract, height: int, width: int) -> Floats:
    """A map float32 [h, w] over the letterboxed square of `contract`, as float32 [height, width] over its frame.

    Each pixel of the frame gets the map's value at its centre, interpolated between cells. Cells entirely on the
    padding are not used. Outside the contract's region, which was not inspected, the value is -inf.
    """
    box = contract.fit(height, width)
    rows = _cells(box.frame_height, heat.shape[0], box.side, box.top, box.height)
    columns = _cells(box.frame_width, heat.shape[1], box.side, box.left, box.width)
    found = cv2.remap(heat, *np.meshgrid(columns, rows), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    whole = np.full((height, width), -np.inf, np.float32)
    whole[box.frame_top :, box.frame_left :][: box.frame_height, : box.frame_width] = found
    return whole


def _cells(pixels: int, cells: int, side: int, before: int, inside: int) -> Floats:
    """Fractional cell index over the centre of each of `pixels`, which `inside` pixels of the square show, after
    `before` pixels of padding.
    """
    first, last = before * cells // side, -(-(before + inside) * cells // side) - 1
    centres = (np.arange(pixels) + 0.5) * inside / pixels + before
    return (centres * cells / side - 0.5).clip(first, last).astype(np.float32)


@dataclass(frozen=True)
class Scale:
    """The values of a map that are shown as cold and as hot: one scale for all pictures of a report."""

    cold: float
    hot: float

    def of(self, heat: Floats) -> Floats:
        """The map scaled from 0 (cold) to 1 (hot)."""
        return ((heat - self.cold) / max(self.hot - self.cold, 1e-12)).clip(0, 1).astype(np.float32)


def shared_scale(good: list[Floats], level: float | None = None) -> Scale:
    """Cold is the median of the cells of good photographs; hot is their 99.8th percentile, or `level` if higher.

    `level` is the value from which a map counts as a defect, if known.
    """
    cells = np.concatenate([heat.ravel() for heat in good])
    cold, hot = (float(value) for value in np.quantile(cells, [0.5, 0.998]))
    hot = max(hot, level) if level is not None else hot
    return Scale(cold, hot) if hot > cold else Scale(cold, cold + 1)


def overlaid(frame: Frame, heat: Floats) -> Frame:
    """The frame uint8 [H, W, 3] BGR in grey under `heat` (0 to 1, [H, W]); cold areas stay unchanged grey."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.float32)
    colour = coloured(heat).astype(np.float32)
    opacity = 0.85 * heat[:, :, None]
    return (grey * (1 - opacity) + colour * opacity).round().astype(np.uint8)


def coloured(heat: Floats) -> Frame:
    """Heat from 0 to 1, [H, W], in the colours of the legend: uint8 [H, W, 3] BGR."""
    return np.asarray(cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO), np.uint8)


def outlined(frame: Frame, truth: Frame) -> Frame:
    """A copy of the frame with an outline just outside of `truth` (uint8 [H, W], above 127 is defect)."""
    thickness = max(1, round(max(frame.shape) / 320))
    around = cv2.dilate((truth > 127).astype(np.uint8), np.ones((4 * thickness + 1,) * 2, np.uint8))
    contours, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(frame.copy(), contours, -1, OUTLINE, thickness), np.uint8)
