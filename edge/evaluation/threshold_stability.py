"""The recall and specificity of each threshold strategy on the photographs used to choose, and on others.

A threshold is chosen where it looks best, so its figures there are slightly too good by construction; `Promise` says
whether the figures on other photographs differ by more than chance explains. Needs the extra `verify`; the station does
not import it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError
from edge.evaluation.intervals import rates_differ
from edge.evaluation.metrics import Confusion, confusion
from edge.evaluation.thresholds import STRATEGIES, ChosenThreshold, choose_threshold

SIGNIFICANCE = 0.05
"""Differences with a p-value below this count as real."""


@dataclass(frozen=True)
class Sample:
    """N judged photographs: `scores` float64 [N], `bad` bool [N], and the part on each, if known."""

    scores: npt.NDArray[np.float64]
    bad: npt.NDArray[np.bool_]
    parts: tuple[str, ...] | None = None

    def of_class(self, bad: bool) -> "Sample":
        """The bad photographs, or the good ones."""
        members = np.flatnonzero(self.bad == bad)
        parts = None if self.parts is None else tuple(self.parts[index] for index in members)
        return Sample(self.scores[members], self.bad[members], parts)


class Promise(BaseModel):
    """A threshold with its counts where it was chosen (`threshold.confusion`) and on another sample (`given`).

    The p-values are the probability of so large a difference if nothing has changed; None if a class is absent.
    """

    model_config = ConfigDict(frozen=True)

    threshold: ChosenThreshold
    given: Confusion
    recall_p_value: float | None
    specificity_p_value: float | None

    @property
    def promised(self) -> Confusion:
        """The counts where the threshold was chosen."""
        return self.threshold.confusion

    @property
    def recall_held(self) -> bool | None:
        """Whether the given recall is within chance of the promised one; None if unknown."""
        return _within_chance(self.recall_p_value)

    @property
    def specificity_held(self) -> bool | None:
        """Whether the given specificity is within chance of the promised one; None if unknown."""
        return _within_chance(self.specificity_p_value)

    @property
    def held(self) -> bool | None:
        """Whether both held; None if both are unknown."""
        known = [held for held in (self.recall_held, self.specificity_held) if held is not None]
        return all(known) if known else None


def keep_promise(threshold: ChosenThreshold, chosen_on: Sample, given_on: Sample) -> Promise:
    """Compare the counts of `threshold` on the sample on which it was chosen with those on another sample."""
    p_values = [_p_value(threshold.value, chosen_on.of_class(bad), given_on.of_class(bad)) for bad in (True, False)]
    return Promise(
        threshold=threshold,
        given=confusion(given_on.scores, given_on.bad, threshold.value),
        recall_p_value=p_values[0],
        specificity_p_value=p_values[1],
    )


def every_promise(chosen_on: Sample, given_on: Sample, **parameters: dict[str, float]) -> dict[str, Promise]:
    """The promise of every strategy in `STRATEGIES` that `chosen_on` allows, by name.

    Strategies have their default parameters, or those given by the strategy's name with underscores for dashes.
    """
    kept = {}
    for strategy in STRATEGIES:
        try:
            options = parameters.get(strategy.replace("-", "_"), {})
            threshold = choose_threshold(chosen_on.scores, chosen_on.bad, strategy, **options)
        except DataError:  # the strategy needs a class that is absent
            continue
        kept[strategy] = keep_promise(threshold, chosen_on, given_on)
    return kept


def _p_value(threshold: float, before: Sample, after: Sample) -> float | None:
    if not len(before.scores) or not len(after.scores):
        return None
    return rates_differ(before.scores >= threshold, after.scores >= threshold, before.parts, after.parts)


def _within_chance(p_value: float | None) -> bool | None:
    return None if p_value is None else p_value >= SIGNIFICANCE
