"""Whether a threshold gives further parts the rate that its strategy was asked for.

The rate that was asked is compared with the interval of the rate on other photographs than those that chose the
threshold. Needs the extra `verify`, like `edge.evaluation.intervals`.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta

from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Rate, part_scores
from edge.evaluation.thresholds import STRATEGIES, ChosenThreshold

TAIL = 0.025
"""Error on each side of a 95 % interval."""

MOST_TO_TELL = 100_000
"""More parts than these are not said to be needed: the rate is as good as equal to what was asked."""


class Kept(StrEnum):
    """Where the interval of a rate lies: on the asked side, across what was asked, or on the other side."""

    KEPT = "kept"
    UNDECIDED = "cannot be told from so few"
    NOT_KEPT = "not kept"


class AskedRate(BaseModel):
    """The rate that a strategy was asked for, and the rate that its threshold gives.

    `bound` is the asked value, the least one if `is_at_least`, else the most. `given` has its 95 % interval, which
    counts each part once; its trials are parts for a strategy that makes a promise, else photographs. `confidence` is
    that of the promise, None without one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    bound: float
    is_at_least: bool
    confidence: float | None
    given: Rate

    @property
    def kept(self) -> Kept:
        """Whether the interval says that the asked rate is given."""
        low, high = (self.given.low, self.given.high) if self.is_at_least else (-self.given.high, -self.given.low)
        bound = self.bound if self.is_at_least else -self.bound
        return Kept.KEPT if low >= bound else Kept.NOT_KEPT if high < bound else Kept.UNDECIDED

    @property
    def parts_to_tell(self) -> int | None:
        """About how many independent parts would tell, if the rate is what it seems; None if MOST_TO_TELL would not."""
        share = self.given.value
        if share is None or not _tells(share, MOST_TO_TELL, self.bound):
            return None
        low, high = 0, MOST_TO_TELL
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _tells(share, middle, self.bound) else (middle, high)
        return high


def _tells(share: float, parts: int, bound: float) -> bool:
    """Whether the interval of Clopper and Pearson of a share of so many parts lies on one side of `bound`."""
    hits, others = share * parts, (1 - share) * parts
    low = float(beta.ppf(TAIL, hits, others + 1)) if hits else 0.0
    high = float(beta.ppf(1 - TAIL, hits + 1, others)) if others else 1.0
    return low >= bound or high < bound


def asked_rate(
    threshold: ChosenThreshold, scores: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_], parts: Sequence[str] | None
) -> AskedRate | None:
    """The rate that the strategy of `threshold` was asked for, and that on these photographs.

    `scores` float64 [N], `bad` bool [N]; `parts` names the part on each photograph, None if unknown. None if the
    strategy is asked for no rate, or if there is no photograph of the class.
    """
    entry = STRATEGIES[threshold.strategy]
    if entry.asks is None or not len(scores):
        return None
    if entry.promises and parts is not None:
        scores, bad = part_scores(scores, bad, parts, np.max)
        parts = None
    rejected = scores >= threshold.value
    members, hits = {
        "recall": (bad, rejected),
        "specificity": (~bad, ~rejected),
        "rate of false rejects": (~bad, rejected),
    }[entry.asks]
    if not members.any():
        return None
    of_members = None if parts is None else [part for part, is_member in zip(parts, members, strict=True) if is_member]
    is_at_least = "at_least" in threshold.parameters
    return AskedRate(
        name=entry.asks,
        bound=threshold.parameters["at_least" if is_at_least else "at_most"],
        is_at_least=is_at_least,
        confidence=threshold.parameters["confidence"] if entry.promises else None,
        given=clustered_rate(hits[members], of_members),
    )
