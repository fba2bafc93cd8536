"""One training on drawn photographs, by the steps of `edge-train`, and the scores of validation and test."""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.few_photographs.draws import Draw
from edge.terminal.progress import SILENT
from train.backbones.efficientnet_lite import EfficientNetLite
from train.data.rendered import Rendered, in_order
from train.devices import ONE_DEVICE
from train.fit import check, for_unmarked, quiet_lightning, run_epochs, take_checkpoint
from train.learner import Learner
from train.models import Network
from train.own_network import network_of
from train.recipe import Recipe
from train.score import BATCH
from train.weights import start_from

Scores = npt.NDArray[np.float32]
Features = Callable[[Tensor], list[Tensor]]


class Memory:
    """The maps of a frozen encoder, by the content of the picture, which many trainings use."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[Tensor]] = {}

    def clear(self) -> None:
        """Forget everything: a picture takes a megabyte, and networks that are gone may be collected late."""
        self._known.clear()

    def of(self, network: Network) -> None:
        """Let the encoder of a network that does not train it look up what it has computed before."""
        encoder = network.encoder
        assert isinstance(encoder, EfficientNetLite)
        compute = encoder.features
        encoder.features = lambda image: self._features(compute, image)  # type: ignore[method-assign]

    def _features(self, compute: Features, image: Tensor) -> list[Tensor]:
        keys = [hashlib.blake2b(one.numpy().tobytes(), digest_size=16).digest() for one in image]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            maps = compute(image[new])
            for place, index in enumerate(new):
                self._known[keys[index]] = [one[place].clone() for one in maps[1:]]
        found = zip(*(self._known[key] for key in keys), strict=True)
        return [image.new_zeros(0), *(torch.stack(maps) for maps in found)]  # no network here uses the map at stride 2


def train(recipe: Recipe, data: Path, draw: Draw, test: Rendered, memory: Memory) -> tuple[Scores, Scores]:
    """Train a recipe on what was drawn; the scores of validation and of test.

    The steps are those of `train.fit.fit` without what it records: the survey of the files, the comparison of the
    splits, and the report. Raises DataError or RecipeError if the photographs do not allow the recipe.
    """
    splits = {"train": draw.learnt, "val": draw.chosen_on}
    torch.manual_seed(recipe.train.seed)
    network = network_of(recipe)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch documents it, its types lack it
    check(recipe, network, data, splits)
    start_from(network, recipe.model.weights, recipe.model.weights_key)
    recipe = for_unmarked(recipe, draw.learnt, SILENT)
    if network.learns_by == "statistics":
        memory.of(network)
    learner = Learner(network, recipe)
    good = [photograph for photograph in draw.learnt if not photograph.is_bad]
    with torch.no_grad():
        network.eval().familiarise(in_order(Rendered(good, recipe.letterbox, exact=True), recipe.train.batch))
    network.train()
    with tempfile.TemporaryDirectory(prefix="few-photographs-") as folder, quiet_lightning():
        checkpoint = run_epochs(learner, splits, Path(folder), False, ONE_DEVICE, SILENT)
        take_checkpoint(checkpoint, network, recipe, draw.chosen_on, SILENT.begin)
    return scores(network, Rendered(draw.chosen_on, recipe.letterbox, exact=True)), scores(network, test)


@torch.inference_mode()
def scores(network: Network, photographs: Rendered) -> Scores:
    """The scores, float32 [N], as `train.score.score_photographs` computes them of photographs that are rendered."""
    network.eval()
    return torch.cat([network(batch.image, batch.mask)[0] for batch in in_order(photographs, BATCH)]).numpy()
