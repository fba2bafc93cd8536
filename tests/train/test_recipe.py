"""Recipes are data: an unknown key is refused in one line that names it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import RecipeError
from train.models import build_network
from train.recipe import Recipe, ThresholdChoice, called, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_loads_and_makes_its_network(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.title
    build_network(recipe.model.name, recipe.model.options)


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_survives_being_written_into_a_run(name: str) -> None:
    recipe = load_recipe(name)
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_run_remembers_a_recipe_by_its_whole_name(name: str, tmp_path: Path) -> None:
    assert called(name) == name
    (tmp_path / "mine.v2.toml").write_text("")
    assert called(str(tmp_path / "mine.v2.toml")) == "mine.v2"


def test_any_key_can_be_set_with_its_toml_type() -> None:
    recipe = load_recipe(
        "demo-line",
        [
            "train.epochs=3",
            "letterbox.mean=[0, 0.5, 1]",
            "threshold.strategy=recall",
            "threshold.at_least=0.9",
            "title=mine",
        ],
    )
    assert recipe.train.epochs == 3
    assert recipe.letterbox.mean == (0, 0.5, 1)
    assert (recipe.threshold.strategy, recipe.threshold.options) == ("recall", {"at_least": 0.9})
    assert recipe.title == "mine"
    assert load_recipe("demo-line").train.epochs != 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"unknown key 'train\.epoch'; did you mean 'train\.epochs'\? train has optimizer, learn"),
        ("epochs=3", r"unknown key 'epochs'; did you mean 'train\.epochs'\? a recipe has title, about, letterbox"),
        ("trian.epochs=3", r"unknown key 'trian'; did you mean 'train'\? a recipe has title, about, letterbox"),
        ("train.epochs=0", r"train\.epochs = 0: must be at least 1"),
        ("train.epochs=many", r"train\.epochs = 'many'"),
        ("letterbox.side=8", r"letterbox\.side = 8"),
        ("letterbox.filter=nearest", r"letterbox\.filter = 'nearest'"),
        ("letterbox.std=[1, 1]", r"std has 2 values; a network that sees rgb takes 3"),
        ("letterbox.region={top=0, left=0, height=64, width=64, wide=64}", r"region has top, left, height, width"),
        ("letterbox.region={top=8000, left=0, height=640, width=64}", r"no frame has more than 8192"),
        ("train.epochs", r"--set 'train\.epochs' is not of the form table\.key=value"),
        ("title.epochs=3", r"--set 'title\.epochs=3': 'title' is not a table"),
    ],
)
def test_wrong_key_or_value_is_named_in_one_line(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refusal:
        load_recipe("demo-line", [override])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("override", ["letterbox.mean=[0.5, 0.5, 0.5]", "letterbox.std=[0.2, 0.2, 0.2]"])
def test_recipe_is_normalised_by_the_data_or_by_numbers_and_not_by_both(override: str) -> None:
    with pytest.raises(RecipeError, match=r"train\.normalise = 'data' computes letterbox\.mean") as refusal:
        load_recipe("demo-line", ["train.normalise=data", override])
    assert "\n" not in str(refusal.value)
    assert load_recipe("demo-line", [override]).train.normalise == "letterbox"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recal", "no threshold strategy 'recal'; did you mean 'recall'? there are best-f1, recall"),
        ("recal=0.9", "no threshold strategy 'recal'; did you mean 'recall'? there are best-f1, recall"),
        ("0.58x", "--threshold 0.58x: a training chooses it by a strategy; there are best-f1, recall"),
        ("0.58", "cost, reject-rate; edge-export also takes a number"),
    ],
)
def test_a_threshold_that_is_no_strategy_is_answered_with_the_nearest_one(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        ThresholdChoice.parse(text)


def test_recipe_of_ones_own_is_a_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('title = "mine"\n')
    with pytest.raises(RecipeError, match="letterbox is missing"):
        load_recipe(str(mine))
    mine.write_text("title = \n")
    with pytest.raises(RecipeError, match="cannot be read: Invalid value"):
        load_recipe(str(mine))
    with pytest.raises(RecipeError, match="no recipe 'hers'; there are autoencoder-bottleneck"):
        load_recipe("hers")


def test_a_recipe_that_a_windows_editor_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b'\xef\xbb\xbfextends = "inspector"\r\n[train]\r\nepochs = 3\r\n')
    assert load_recipe(str(file)).train.epochs == 3


def test_listing_and_help_do_not_import_torch() -> None:
    code = "import sys, train.cli, train.recipe as r; [r.load_recipe(n) for n in r.recipe_names()]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "lightning", "kornia", "sklearn", "scipy", "cv2"} & set(loaded)


def test_the_page_of_all_keys_is_what_the_definition_says() -> None:
    from train.reference import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "python -m train.reference writes it again"


def test_every_key_and_option_is_on_the_page() -> None:
    from train.reference import PAGE, table_of

    text = PAGE.read_text(encoding="utf-8")
    for name, field in Recipe.model_fields.items():
        table = table_of(field)
        keys = {name: field} if table is None else table.model_fields
        assert not [key for key in keys if f"| `{key}` |" not in text]
    for option in ("`hardest`", "`dimensions`", "`at_least = 0.95`", "`pos_weight`"):
        assert option in text
