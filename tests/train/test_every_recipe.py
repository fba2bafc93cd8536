"""Every recipe of the package trains: one epoch on a few parts gives a run that can be read back."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from train.fit import fit
from train.recipe import load_recipe, recipe_names
from train.run import load_run

MakeData = Callable[..., Path]

SMALL = ["train.epochs=1", "train.batch=4", "model.weights=random"]


ALPHAS = [name for name in recipe_names() if name.startswith("unet-resnet34-alpha-")]


@pytest.mark.parametrize("name", [name for name in recipe_names() if name not in ALPHAS[1:]])
def test_recipe_trains(name: str, make_data: MakeData, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = load_recipe(name, SMALL)
    if recipe.letterbox.side > 32:
        recipe = load_recipe(name, [*SMALL, "letterbox.side=32"] + ["train.crop=32"] * (recipe.train.crop is not None))
    run = fit(name, recipe, make_data(train=(5, 5), val=(3, 3), test=(2, 2)), tmp_path / "run")
    assert run.record.finished
    assert run.record.metrics["test"].figures.auroc is not None
    again = load_run(tmp_path / "run").network.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in run.network.state_dict().items())


def test_recipes_of_another_alpha_are_the_one_that_trains_but_for_that_number() -> None:
    assert len(ALPHAS) > 1
    trains, *others = [load_recipe(name).model_dump(exclude={"title", "about"}) for name in ALPHAS]
    for other in others:
        assert other["loss"].keys() == trains["loss"].keys()
        assert 0 < other["loss"].pop("alpha") < 1
        assert other == trains | {"loss": {key: value for key, value in trains["loss"].items() if key != "alpha"}}


def test_recipe_that_extends_another_holds_what_both_say() -> None:
    base, recipe = load_recipe("unet-resnet34"), load_recipe("unet-resnet34-alpha-0.2")
    assert recipe.loss.options == {"alpha": 0.2}
    assert recipe.title != base.title
    assert recipe.letterbox == base.letterbox
    assert recipe.train == base.train
