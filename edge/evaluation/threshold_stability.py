"""The recall and specificity of each threshold strategy on the photographs used to choose, and on others.

A threshold is chosen where it looks best, so its figures there are slightly too good by construction; `Promise` says
whether the figures on other photographs differ by more than chance explains, whether they are what the strategy was
asked for, and whether the threshold is of any use. Needs the extra `verify`; the station does not import it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError
from edge.evaluation.asked_rate import AskedRate, asked_rate
from edge.evaluation.intervals import rates_differ
from edge.evaluation.metrics import Confusion, Rate, confusion
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
    `asked` is the rate that the strategy was asked for and that on the other sample; None if it was asked for none.
    `chance_p_value` is the probability that bad and good parts of the other sample differ so much in their rate of
    rejects if the threshold does not tell them apart; None if a class is absent.
    """

    model_config = ConfigDict(frozen=True)

    threshold: ChosenThreshold
    given: Confusion
    recall_p_value: float | None
    specificity_p_value: float | None
    asked: AskedRate | None = None
    chance_p_value: float | None = None

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
    def recall_is_worse(self) -> bool:
        """Whether the given recall is lower than chance explains."""
        return self.recall_held is False and _is_lower(self.given.recall, self.promised.recall)

    @property
    def specificity_is_worse(self) -> bool:
        """Whether the given specificity is lower than chance explains."""
        return self.specificity_held is False and _is_lower(self.given.specificity, self.promised.specificity)

    @property
    def beats_chance(self) -> bool | None:
        """Whether bad parts of the other sample are rejected more often than its good ones; None if unknown.

        If not, as many bad parts would be stopped by rejecting parts at random.
        """
        if self.chance_p_value is None:
            return None
        caught, false_rejects = self.given.recall.value or 0.0, 1 - (self.given.specificity.value or 0.0)
        return caught > false_rejects and self.chance_p_value < SIGNIFICANCE

    @property
    def held(self) -> bool | None:
        """Whether both held; None if both are unknown."""
        known = [held for held in (self.recall_held, self.specificity_held) if held is not None]
        return all(known) if known else None


def keep_promise(threshold: ChosenThreshold, chosen_on: Sample, given_on: Sample) -> Promise:
    """Compare the counts of `threshold` on the sample on which it was chosen with those on another sample."""
    bad, good = given_on.of_class(True), given_on.of_class(False)
    return Promise(
        threshold=threshold,
        given=confusion(given_on.scores, given_on.bad, threshold.value),
        recall_p_value=_p_value(threshold.value, chosen_on.of_class(True), bad),
        specificity_p_value=_p_value(threshold.value, chosen_on.of_class(False), good),
        asked=asked_rate(threshold, given_on.scores, given_on.bad, given_on.parts),
        chance_p_value=_p_value(threshold.value, bad, good),
    )


def every_promise(chosen_on: Sample, given_on: Sample, **parameters: dict[str, float]) -> dict[str, Promise]:
    """The promise of every strategy in `STRATEGIES` that `chosen_on` allows, by name.

    Strategies have their default parameters, or those given by the strategy's name with underscores for dashes.
    """
    return {
        strategy: keep_promise(chosen, chosen_on, given_on)
        for strategy, chosen in _choices(chosen_on, parameters).items()
        if not isinstance(chosen, DataError)
    }


def refused_strategies(chosen_on: Sample, **parameters: dict[str, float]) -> dict[str, str]:
    """Why `chosen_on` does not allow a strategy, by name; the parameters are those of `every_promise`."""
    choices = _choices(chosen_on, parameters)
    return {strategy: str(error) for strategy, error in choices.items() if isinstance(error, DataError)}


def _choices(chosen_on: Sample, parameters: dict[str, dict[str, float]]) -> dict[str, ChosenThreshold | DataError]:
    """The threshold of every strategy, or why there is none."""
    found: dict[str, ChosenThreshold | DataError] = {}
    for strategy in STRATEGIES:
        options = parameters.get(strategy.replace("-", "_"), {})
        try:
            found[strategy] = choose_threshold(
                chosen_on.scores, chosen_on.bad, strategy, parts=chosen_on.parts, **options
            )
        except DataError as error:  # the strategy needs a class that is absent, or more parts
            found[strategy] = error
    return found


def _p_value(threshold: float, before: Sample, after: Sample) -> float | None:
    if not len(before.scores) or not len(after.scores):
        return None
    return rates_differ(before.scores >= threshold, after.scores >= threshold, before.parts, after.parts)


def _is_lower(given: Rate, promised: Rate) -> bool:
    return (given.value or 0.0) < (promised.value or 0.0)


def _within_chance(p_value: float | None) -> bool | None:
    return None if p_value is None else p_value >= SIGNIFICANCE
