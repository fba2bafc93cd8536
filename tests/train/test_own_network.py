"""A user's own network: a module in a file named by the recipe, trained, and loaded again only by explicit name."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edge.errors import EdgeError, RecipeError
from edge.terminal.progress import Progress
from train.fit import fit, open_run
from train.models import Batch
from train.own_network import OwnClassifier, OwnSegmenter, network_of
from train.recipe import Recipe, load_recipe
from train.run import NETWORK_FILE, RunError, load_run
from train.soft_maximum import SHARPNESS
from train.weights import start_from

MakeData = Callable[..., Path]

SIDE = 32

MAP = """
from torch import nn

class Mine(nn.Module):
    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(channels, 1, 1)
        )

    def forward(self, pictures):
        return self.layers(pictures)
"""

LOGIT = """
import torch
from torch import nn

def build(bias=0.0):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    nn.init.constant_(network[-1].bias, bias)
    return network
"""

SCALAR = MAP.replace("return self.layers(pictures)", "return self.layers(pictures).mean()")

KEEPING = MAP.replace(
    "return self.layers(pictures)",
    "if not hasattr(self, 'gain'):\n            self.gain = 2 * torch.ones(1)\n"
    "        return self.layers(pictures) * self.gain",
).replace("from torch", "import torch\nfrom torch", 1)

POOLED = MAP.replace("return self.layers(pictures)", "return self.layers(pictures).mean(dim=(2, 3), keepdim=True)")

WHOLE = """
import torch
from train.models import Network

class Mine(Network):
    learns_from = "good"

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))

    def forward(self, image, mask):
        return (self.weight * image * mask).mean(dim=(1, 2, 3)), None

    def loss(self, batch):
        return {"score": self(batch.image, batch.mask)[0].mean()}
"""

RECIPE = """
title = "mine"

[letterbox]
side = 32

[model]
name = "{name}"

[train]
learning_rate = 1e-2
batch = 4
epochs = 1

[threshold]
strategy = "balanced"
"""


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Recipe]:
    """`own(source, name)` writes a file with a network and a recipe beside it, and loads the recipe."""

    def write(source: str, name: str, *overrides: str) -> Recipe:
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        (folder / "mine.py").write_text(source)
        (folder / "mine.toml").write_text(RECIPE.replace("{name}", f"mine.py:{name}"))
        return load_recipe(str(folder / "mine.toml"), list(overrides))

    return write


def made(recipe: Recipe) -> nn.Module:
    return network_of(recipe)


def batch() -> Batch:
    torch.manual_seed(0)
    mask = torch.ones(2, 1, SIDE, SIDE)
    mask[:, :, :8] = 0
    truth = torch.zeros(2, 1, SIDE, SIDE)
    truth[1, :, 12:16, 12:16] = 1
    return Batch(torch.rand(2, 3, SIDE, SIDE), mask, torch.tensor([0.0, 1.0]), truth, torch.ones(2))


def test_what_the_module_gives_says_what_it_learns_from(own: Callable[..., Recipe]) -> None:
    assert isinstance(segmenter := made(own(MAP, "Mine")), OwnSegmenter)
    assert isinstance(classifier := made(own(LOGIT, "build")), OwnClassifier)
    assert (segmenter.learns_from, classifier.learns_from) == ("masks", "labels")
    assert made(own(WHOLE, "Mine")).learns_from == "good"


def test_one_logit_in_a_map_of_one_cell_is_a_classifier(own: Callable[..., Recipe]) -> None:
    network = made(own(POOLED, "Mine"))
    assert isinstance(network, OwnClassifier)
    assert network(torch.rand(3, 3, SIDE, SIDE), torch.ones(3, 1, SIDE, SIDE))[0].shape == (3,)


def test_what_the_module_keeps_of_the_trial_can_be_trained_with(own: Callable[..., Recipe]) -> None:
    network = made(own(KEEPING, "Mine"))
    torch.stack(list(network.loss(batch()).values())).sum().backward()


def test_options_of_the_recipe_are_the_arguments_of_the_class_or_function(own: Callable[..., Recipe]) -> None:
    assert made(own(MAP, "Mine", "model.channels=7")).body.layers[0].out_channels == 7
    assert made(own(LOGIT, "build", "model.bias=3.5")).body[-1].bias.item() == 3.5
    assert made(own(WHOLE, "Mine", "model.weight=2")).weight.item() == 2
    with pytest.raises(RecipeError, match=r"mine\.py:Mine has no option 'chanels'; did you mean 'channels'\? it has"):
        made(own(MAP, "Mine", "model.chanels=7"))
    with pytest.raises(RecipeError, match=r"mine\.py:Mine: channels = 'many': must be a whole number"):
        made(own(MAP, "Mine", "model.channels=many"))


@pytest.mark.parametrize(("source", "name"), [(MAP, "Mine"), (LOGIT, "build")])
def test_padding_never_changes_the_score_and_the_loss_reaches_the_weights(
    own: Callable[..., Recipe], source: str, name: str
) -> None:
    network, shown = made(own(source, name)), batch()
    noisy = shown.image + 9 * (1 - shown.mask)
    score, where = network(shown.image, shown.mask)
    assert torch.equal(network(noisy, shown.mask)[0], score)
    assert score.shape == (2,)
    assert ((score >= 0) & (score <= 1)).all()
    if where is not None:
        assert where.shape == (2, SIDE // 4, SIDE // 4)
        assert not where[:, :2].any()
        highest, cells = torch.logit(where.amax(dim=(1, 2))), where[0].numel()
        assert (torch.logit(score) >= highest - 1e-4).all(), "the soft maximum is at least the maximum"
        assert (torch.logit(score) <= highest + math.log(cells) / SHARPNESS + 1e-4).all()
    torch.stack(list(network.loss(shown).values())).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_a_grey_letterbox_gives_the_module_one_channel(own: Callable[..., Recipe]) -> None:
    network = made(own(MAP.replace("Conv2d(3,", "Conv2d(1,"), "Mine", "letterbox.colour=grey"))
    assert network.channels == 1


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        (MAP, "Yours", r"mine\.py has no class or function Yours; name the one that makes the network"),
        ("import nonesuch\n", "Mine", r"mine\.py, line 1: ModuleNotFoundError: No module named 'nonesuch'"),
        ("def build(\n", "build", r"mine\.py, line 1: SyntaxError: '\(' was never closed"),
        ("def build():\n    return 1 / 0\n", "build", r"mine\.py:build, line 2: ZeroDivisionError: division by zero"),
        ("def build():\n    return 7\n", "build", r"makes a int; a network is a torch\.nn\.Module"),
        ("import torch\nbuild = lambda: torch.nn.Flatten(0)\n", "build", r"gives \[6144\] for 2 pictures of 32×32"),
        (SCALAR, "Mine", r"gives \[\] for 2 pictures of 32×32; it has to give one logit"),
        (LOGIT.replace("(4, 1)", "(4, 3)").replace("nn.init", "#"), "build", r"gives \[2, 3\] for 2 pictures of 32×32"),
        (MAP.replace("(3, ch", "(1, ch"), "Mine", r"mine\.py:Mine cannot take pictures \[2, 3, 32, 32\]: RuntimeError"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_network_is_one_line(own: Callable[..., Recipe], source: str, name: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as refusal:
        made(own(source, name))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    recipe = load_recipe("demo-line", [f"model.name={tmp_path / 'none.py:Mine'}"])
    with pytest.raises(RecipeError, match=r"none\.py cannot be read: No such file"):
        network_of(recipe)


def test_the_file_is_found_beside_the_recipe_or_for_set_from_the_working_directory(
    own: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own(MAP, "Mine").model.own == (tmp_path / "mine" / "mine.py", "Mine")
    monkeypatch.chdir(tmp_path / "mine")
    recipe = load_recipe("demo-line", ["model.name=mine.py:Mine"])
    assert recipe.model.own == (tmp_path / "mine" / "mine.py", "Mine")
    assert recipe.model.label == "mine.py:Mine"
    assert not load_recipe("demo-line").model.is_own


class Changing(Progress):
    """Changes a file while the photographs are read."""

    def __init__(self, file: Path) -> None:
        super().__init__(is_shown=False)
        self.file, self.has_changed = file, False

    def begin(self, what: str, steps: int | None = None) -> Callable[[], None]:
        if what == "reading photographs":
            self.file.write_text("raise SystemExit('this ran')\n")
            self.has_changed = True
        return super().begin(what, steps)


def test_a_run_holds_the_file_and_is_loaded_only_by_who_names_it(
    own: Callable[..., Recipe], make_data: MakeData, tmp_path: Path
) -> None:
    recipe, out = own(MAP, "Mine"), tmp_path / "run"
    data = make_data(train=(8, 8), val=(4, 4))
    progress = Changing(recipe.model.own[0])
    run = fit("mine", recipe, data, out, progress=progress)
    assert progress.has_changed
    recipe.model.own[0].write_text(MAP)
    assert (out / NETWORK_FILE).read_text() == MAP, "what was executed, not what lay there later"
    assert json.loads((out / "run.json").read_text())["files"][NETWORK_FILE]
    with pytest.raises(RunError, match=r"mine\.py:Mine, whose code would run here; .* --network .*run/network\.py"):
        load_run(out)
    again = load_run(out, network_file=tmp_path / "mine" / "mine.py")
    assert all(torch.equal(one, run.network.state_dict()[key]) for key, one in again.network.state_dict().items())

    (tmp_path / "mine" / "mine.py").write_text(f"{MAP}\nraise SystemExit('this ran')\n")
    with pytest.raises(EdgeError, match=r"mine\.py is not the file of this training's network"):
        load_run(out, network_file=tmp_path / "mine" / "mine.py")
    with pytest.raises(
        RunError, match=r"the file of the network has changed since .*run began; put back .*network\.py"
    ):
        open_run(out, run.record.model_copy(update={"files": {NETWORK_FILE: "0" * 64}}), resume=True)
    (out / NETWORK_FILE).write_text("raise SystemExit('this ran')\n")
    with pytest.raises(RunError, match=r"network\.py is not the file that this training wrote"):
        load_run(out, network_file=out / NETWORK_FILE)


def test_a_checkpoint_of_the_module_itself_is_where_the_training_starts(
    own: Callable[..., Recipe], tmp_path: Path
) -> None:
    network, other = made(own(MAP, "Mine")), made(own(MAP, "Mine"))
    torch.save(other.body.state_dict(), tmp_path / "start.pt")
    assert start_from(network, str(tmp_path / "start.pt")) == f"weights: all from {tmp_path / 'start.pt'}"
    assert torch.equal(network.body.layers[0].weight, other.body.layers[0].weight)
