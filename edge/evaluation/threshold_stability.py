"""What each threshold strategy promised on the photographs it chose on, and what it gave on others.

A threshold is chosen where it looks best, so its promise is a little too good by construction; `Promise` says
whether what it gave is further off than chance explains. Needs the extra `verify`; the station does not import it.
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
"""A difference that chance makes less often than this counts as real."""


@dataclass(frozen=True)
class Sample:
    """N judged photographs: `scores` float64 [N], `bad` bool [N], and the part that each shows, if that is known."""

    scores: npt.NDArray[np.float64]
    bad: npt.NDArray[np.bool_]
    parts: tuple[str, ...] | None = None

    def of_class(self, bad: bool) -> "Sample":
        """The bad ones, or the good ones."""
        members = np.flatnonzero(self.bad == bad)
        parts = None if self.parts is None else tuple(self.parts[index] for index in members)
        return Sample(self.scores[members], self.bad[members], parts)


class Promise(BaseModel):
    """A threshold with its promise (`threshold.confusion`) and what it gave on another sample.

    The p-values are the chance of so large a difference if nothing has changed; None where a class is absent.
    """

    model_config = ConfigDict(frozen=True)

    threshold: ChosenThreshold
    given: Confusion
    recall_p_value: float | None
    specificity_p_value: float | None

    @property
    def promised(self) -> Confusion:
        """What it did where it was chosen."""
        return self.threshold.confusion

    @property
    def recall_held(self) -> bool | None:
        """Whether the recall given is within chance of the recall promised; None if that cannot be said."""
        return _within_chance(self.recall_p_value)

    @property
    def specificity_held(self) -> bool | None:
        """Whether the specificity given is within chance of the one promised; None if that cannot be said."""
        return _within_chance(self.specificity_p_value)

    @property
    def held(self) -> bool | None:
        """Whether both held; None if nothing can be said of either."""
        known = [held for held in (self.recall_held, self.specificity_held) if held is not None]
        return all(known) if known else None


def keep_promise(threshold: ChosenThreshold, chosen_on: Sample, given_on: Sample) -> Promise:
    """Compare what `threshold` does on the sample it was chosen on with what it does on another."""
    p_values = [_p_value(threshold.value, chosen_on.of_class(bad), given_on.of_class(bad)) for bad in (True, False)]
    return Promise(
        threshold=threshold,
        given=confusion(given_on.scores, given_on.bad, threshold.value),
        recall_p_value=p_values[0],
        specificity_p_value=p_values[1],
    )


def every_promise(chosen_on: Sample, given_on: Sample, **parameters: dict[str, float]) -> dict[str, Promise]:
    """The promise of every strategy of `edge.evaluation.metrics` that `chosen_on` allows, by name.

    Strategies have their default parameters, or those given here by the strategy's name with underscores for dashes.
    """
    kept = {}
    for strategy in STRATEGIES:
        try:
            options = parameters.get(strategy.replace("-", "_"), {})
            threshold = choose_threshold(chosen_on.scores, chosen_on.bad, strategy, **options)
        except DataError:  # it needs a class that is not there
            continue
        kept[strategy] = keep_promise(threshold, chosen_on, given_on)
    return kept


def _p_value(threshold: float, before: Sample, after: Sample) -> float | None:
    if not len(before.scores) or not len(after.scores):
        return None
    return rates_differ(before.scores >= threshold, after.scores >= threshold, before.parts, after.parts)


def _within_chance(p_value: float | None) -> bool | None:
    return None if p_value is None else p_value >= SIGNIFICANCE
