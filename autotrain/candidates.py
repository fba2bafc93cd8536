"""The recipes that a data set allows, in the order in which they are tried."""

from collections.abc import Sequence
from typing import NamedTuple

from train.data.split import Division
from train.fit import FEWEST
from train.recipe import Recipe, load_recipe
from train.recipe_list import read_facts

ONE_CLASS = ("padim", "patchcore", "padim-patchcore")
EVERY_MASK, FEW_MASKS = "inspector", "inspector-labels"
SUPERVISED = (EVERY_MASK, FEW_MASKS)
"""Which of the two is tried depends on whether every bad training photograph has a mask."""

FEWEST_BAD = 10
"""Bad training photographs from which a supervised recipe is tried."""


class Candidate(NamedTuple):
    """A recipe, and the minutes that it is expected to take on the machine on which it was measured."""

    name: str
    recipe: Recipe
    minutes: float


class Allowed(NamedTuple):
    """The recipes that can be trained, and of each other one why it cannot."""

    candidates: list[Candidate]
    left_out: dict[str, str]


def candidates(division: Division, overrides: Sequence[str] = ()) -> Allowed:
    """What the training photographs allow. Raises RecipeError if an override does not fit a recipe."""
    train = division.splits["train"]
    bad, masks = sum(one.is_bad for one in train), sum(one.is_bad and one.mask is not None for one in train)
    allowed, left_out = [], {}
    for name in (*ONE_CLASS, *SUPERVISED):
        recipe = load_recipe(name, list(overrides))
        if (why := _refusal(name, len(train) - bad, bad, masks)) is not None:
            left_out[name] = why
            continue
        facts = read_facts(name).measured
        learnt = len(train) if name in SUPERVISED else len(train) - bad
        everything = sum(map(len, division.splits.values()))
        allowed.append(Candidate(name, recipe, facts.minutes * (learnt + everything) / (2 * facts.photographs)))
    return Allowed(allowed, left_out)


def _refusal(name: str, good: int, bad: int, masks: int) -> str | None:
    if good < FEWEST:
        return f"{good} good training photographs; it needs at least {FEWEST}"
    if name in ONE_CLASS:
        return None
    if bad < FEWEST_BAD:
        return f"{bad} bad training photographs; it is tried from {FEWEST_BAD} on"
    if name == EVERY_MASK and masks < bad:
        return f"{bad - masks} of {bad} bad training photographs have no mask; {FEW_MASKS} is for those"
    if name == FEW_MASKS and masks == bad:
        return f"every bad training photograph has a mask; {EVERY_MASK} is for those"
    return None
