"""Reasons why a threshold does not hold: which properties differ between two sets of photographs, and by how much.

Scores and simple properties of the pictures are compared by the Kolmogorov-Smirnov test. If parts are known, each
counts once, with the mean of its photographs. Needs the extra `verify`; the station does not import this file.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import ks_2samp

from edge.evaluation.intervals import Parts, holm
from edge.evaluation.metrics import Numbers

PICTURE_PROPERTIES = {
    "mean grey": "grey levels",
    "contrast": "grey levels",
    "sharpness": "",
    "size": "megapixels",
    "aspect": "",
}
"""The properties measured by `picture_properties`, with their units."""


def picture_properties(frame: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Mean grey, contrast, sharpness, size and aspect of a frame, uint8 [H, W, 3] BGR.

    Contrast is the standard deviation of the grey levels; sharpness that of their Laplacian (Pech-Pacheco et al., ICPR
    2000); aspect is width divided by height.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    mean, deviation = cv2.meanStdDev(grey)
    return {
        "mean grey": float(mean[0, 0]),
        "contrast": float(deviation[0, 0]),
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_32F).std()),
        "size": height * width / 1e6,
        "aspect": width / height,
    }


class Shift(BaseModel):
    """The difference of one property between two sets of photographs.

    `distance` is the largest difference between the two cumulative distributions, 0 (equal) to 1 (disjoint); `p_value`
    is corrected for all comparisons made together; `before`, `after` are the medians; `units` are the numbers of
    compared parts or photographs on each side.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    before: float
    after: float
    distance: float
    p_value: float
    units: tuple[int, int]


def shifts(comparisons: Mapping[str, tuple[Numbers, Numbers, Parts, Parts]]) -> list[Shift]:
    """Compare (before, after, parts before, parts after) under each name; all of them, in the order given.

    The p-values are corrected together after Holm, so that one in twenty comparisons does not appear significant by
    chance. Comparisons with an empty side are left out.
    """
    names, results, sides = [], [], []
    for name, (before, after, parts_before, parts_after) in comparisons.items():
        pair = (_one_a_part(before, parts_before), _one_a_part(after, parts_after))
        if len(pair[0]) and len(pair[1]):
            names.append(name)
            sides.append(pair)
            results.append(ks_2samp(*pair))
    corrected = holm([float(result.pvalue) for result in results])
    return [
        Shift(
            name=name,
            before=float(np.median(before)),
            after=float(np.median(after)),
            distance=float(result.statistic),
            p_value=p_value,
            units=(len(before), len(after)),
        )
        for name, result, p_value, (before, after) in zip(names, results, corrected, sides, strict=True)
    ]


def _one_a_part(values: Numbers, parts: Sequence[str] | None) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if parts is None or not len(numbers):
        return numbers
    _, part = np.unique(np.asarray(parts, dtype=np.str_), return_inverse=True)
    return np.asarray(np.bincount(part, numbers) / np.bincount(part), np.float64)
