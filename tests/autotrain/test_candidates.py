"""Masks decide which of the recipes for good and bad photographs is tried."""

from pathlib import Path

import pytest

from autotrain.candidates import FEWEST_BAD, candidates
from edge.photographs.photograph import Photograph
from train.data.split import Division


def division(bad: int, masks: int) -> Division:
    good = [Photograph(Path("x"), f"good{number}", "good") for number in range(20)]
    known = [Path("mask") if number < masks else None for number in range(bad)]
    ill = [Photograph(Path("x"), f"bad{number}", "bad", mask) for number, mask in enumerate(known)]
    return Division("a folder", "as the folders say", {"train": good + ill, "val": [], "test": []}, {})


@pytest.mark.parametrize(
    ("bad", "masks", "tried"),
    [(12, 12, "inspector"), (12, 11, "inspector-labels"), (12, 0, "inspector-labels"), (FEWEST_BAD - 1, 9, None)],
)
def test_one_recipe_for_good_and_bad_photographs_is_tried(bad: int, masks: int, tried: str | None) -> None:
    allowed = candidates(division(bad, masks))
    assert [one.name for one in allowed.candidates] == [
        "padim",
        "patchcore",
        "padim-patchcore",
        *([tried] if tried else []),
    ]
    assert allowed.left_out.keys() == {"inspector", "inspector-labels"} - {tried}
    if tried:
        (why,) = allowed.left_out.values()
        assert f"{tried} is for those" in why
