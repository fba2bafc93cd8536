"""Defects thinner than one pixel of the network's input, and how many of them are missed."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from train.data.photographs import read_truth
from train.report.scored_photographs import Inspected


@dataclass(frozen=True)
class Fineness:
    """Bad photographs with ground truth: those with a `thin` defect, less than one pixel of the network, and others.

    `pixel` is the median number of photograph pixels, in each direction, per pixel of the network.
    """

    pixel: float
    thin: int
    thin_missed: int
    others: int
    others_missed: int


def fineness(contract: LetterboxContract, inspected: Iterable[Inspected], threshold: float) -> Fineness | None:
    """Count thin defects and misses; None without ground truth."""
    pixels, missed = [], {True: [0, 0], False: [0, 0]}
    for one in inspected:
        truth = _truth(one) if one.is_bad else None
        if truth is None or not truth.any():
            continue
        pixel = _pixel(truth, contract)
        pixels.append(pixel)
        counts = missed[thickness(truth) < pixel]
        counts[0] += 1
        counts[1] += one.is_miss(threshold)
    return Fineness(median(pixels), *missed[True], *missed[False]) if pixels else None


def thickness(truth: Frame) -> float:
    """Upper bound of the truth's width (uint8 [H, W], above 127 is defect) at its widest place, in pixels.

    It is the diameter of the largest inscribed circle, up to a pixel more than the width of a drawn line.
    """
    inside = np.pad((truth > 127).astype(np.uint8), 1)
    return 2 * float(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max())


def _truth(one: Inspected) -> Frame | None:
    return read_truth(one.photograph)


def _pixel(truth: Frame, contract: LetterboxContract) -> float:
    box = contract.fit(*truth.shape)
    return min(box.frame_height / box.height, box.frame_width / box.width)
