"""Reasons why a threshold does not hold, as text: differences between the splits of a run, and their strength."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.evaluation.distribution_shift import PICTURE_PROPERTIES, Shift, picture_properties, shifts
from edge.evaluation.threshold_stability import SIGNIFICANCE
from edge.photographs.photograph import read_photograph
from train.report.scored_photographs import Inspected, sample

MOST = 300
"""Photographs of one class and split whose properties are measured, evenly spaced in the list."""

PAIRS = (("train", "val"), ("val", "test"))
SPLITS_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}
COMPARATIVES = {
    "score": ("lower scores", "higher scores"),
    "mean grey": ("darker", "brighter"),
    "contrast": ("flatter", "richer in contrast"),
    "sharpness": ("softer", "sharper"),
    "size": ("smaller", "larger"),
    "aspect": ("narrower", "wider"),
}
STRENGTHS = ((0.5, "far"), (0.3, "clearly"), (0.0, "slightly"))
"""Words for the distance between two distributions, 0 to 1."""


@dataclass(frozen=True)
class Difference:
    """A significant difference: `sentence` as text, `shift` with the numbers."""

    sentence: str
    shift: Shift

    @property
    def is_after_choice(self) -> bool:
        """Whether a picture property differs between validation, where the threshold was chosen, and test."""
        before, after, _, name = self.shift.name.split("|")
        return (before, after) == PAIRS[-1] and name != "score"


@dataclass(frozen=True)
class Comparison:
    """The significant ones among `made` comparisons, the strongest first."""

    found: list[Difference]
    made: int


def compare_splits(inspected: dict[str, list[Inspected]]) -> Comparison:
    """Compare scores and picture properties of neighbouring splits, good with good and bad with bad."""
    properties = {
        (split, bad): list(_measured([one for one in members if one.is_bad == bad]))
        for split, members in inspected.items()
        for bad in (False, True)
    }
    comparisons = {}
    for before, after in PAIRS:
        for bad in (False, True):
            sides = [properties.get((split, bad), []) for split in (before, after)]
            parts = [sample([one for one, _ in side]).parts for side in sides]
            for name in ("score", *PICTURE_PROPERTIES):
                first, second = ([measured[name] for _, measured in side] for side in sides)
                comparisons[f"{before}|{after}|{'bad' if bad else 'good'}|{name}"] = (first, second, parts[0], parts[1])
    made = shifts(comparisons)
    found = [Difference(_sentence(shift), shift) for shift in made if shift.p_value < SIGNIFICANCE]
    found.sort(key=lambda difference: -difference.shift.distance)
    return Comparison(found, len(made))


def _measured(inspected: Sequence[Inspected]) -> Iterator[tuple[Inspected, dict[str, float]]]:
    step = max(1, -(-len(inspected) // MOST))
    for one in inspected[::step]:
        yield one, {"score": one.score, **picture_properties(read_photograph(one.photograph))}


def _sentence(shift: Shift) -> str:
    before, after, label, name = shift.name.split("|")
    strength = next(word for least, word in STRENGTHS if shift.distance >= least)
    direction = COMPARATIVES[name][shift.after > shift.before]
    verb = "have" if name == "score" else "are"
    unit = PICTURE_PROPERTIES.get(name, "")
    medians = f"median {name} {_number(shift.after)} against {_number(shift.before)}{' ' + unit if unit else ''}"
    who = f"{SPLITS_IN_WORDS[after]} photographs of {label} parts".capitalize()
    return f"{who} {verb} {strength} {direction} than those for {SPLITS_IN_WORDS[before]}: {medians}."


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
