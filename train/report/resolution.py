"""What is too fine for a network to see: defects thinner than one of its pixels, and how many of them it misses."""

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
    """Bad photographs with ground truth: those whose defect is `thin`, less than one pixel of the network, and others.

    `pixel` is how many pixels of the photograph, each way, make one of the network: the median.
    """

    pixel: float
    thin: int
    thin_missed: int
    others: int
    others_missed: int


def fineness(contract: LetterboxContract, inspected: Iterable[Inspected], threshold: float) -> Fineness | None:
    """Count them; None where there is no ground truth."""
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
    """At most how wide the truth (uint8 [H, W], above 127 is defect) is where it is widest, in its pixels.

    That is the diameter of the largest circle inside, which is up to a pixel more than a line drawn with a pen.
    """
    inside = np.pad((truth > 127).astype(np.uint8), 1)
    return 2 * float(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max())


def _truth(one: Inspected) -> Frame | None:
    return read_truth(one.photograph)


def _pixel(truth: Frame, contract: LetterboxContract) -> float:
    box = contract.fit(*truth.shape)
    return min(box.frame_height / box.height, box.frame_width / box.width)
