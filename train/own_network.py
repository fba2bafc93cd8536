"""A network of one's own: a torch.nn.Module, or a Network, in a Python file that the recipe names as FILE.py:NAME."""

import hashlib
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract
from train.losses import balanced_bce, dice_loss
from train.models import Batch, Network, build_network, checked_options
from train.recipe import Model, Recipe
from train.soft_maximum import SoftMaximum
from train.tiles import Tiled

TWO = 2
"""Pictures of the trial by which a network's kind is found."""

WANTED = (
    "it has to give one logit a picture, [N], [N, 1] or [N, 1, 1, 1], or a map of logits, [N, 1, h, w] with h and w "
    "that divide the side; higher is worse"
)


class OwnClassifier(Network):
    """Somebody's module that gives one logit a picture, [N] or [N, 1]; it learns from good and bad photographs.

    The module is called with pictures [N, C, S, S] whose padding is 0. The score is the logit's sigmoid; there is no
    map.
    """

    learns_from = "labels"

    def __init__(self, module: nn.Module, channels: int) -> None:
        super().__init__()
        self.module, self.channels = module, channels

    @property
    def body(self) -> nn.Module:
        """The module."""
        return self.module

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        """Score [N] and no map; see Network."""
        return self.logits(image, mask).sigmoid(), None

    def logits(self, image: Tensor, mask: Tensor) -> Tensor:
        """One logit per picture, [N]."""
        return self.module(image * mask).flatten()  # type: ignore[no-any-return]

    def loss(self, batch: Batch, *, pos_weight: float = 1.0) -> dict[str, Tensor]:
        """Cross-entropy; the weight of a bad photograph is `pos_weight`."""
        logits, weight = self.logits(batch.image, batch.mask), torch.tensor(pos_weight, device=batch.image.device)
        return {"picture": F.binary_cross_entropy_with_logits(logits, batch.label, pos_weight=weight)}


class OwnSegmenter(Network):
    """Somebody's module that gives a map of logits, [N, 1, h, w]; it learns from masks.

    The module is called with pictures [N, C, S, S] whose padding is 0. The map is the sigmoid of its logits, 0 on the
    padding; the score is the sigmoid of their soft maximum over the frame, with a scale and an offset that are learnt.
    """

    learns_from = "masks"
    takes_any_size = True

    def __init__(self, module: nn.Module, channels: int) -> None:
        super().__init__()
        self.module, self.channels = module, channels
        self.picture = SoftMaximum()

    @property
    def body(self) -> nn.Module:
        """The module."""
        return self.module

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, h, w]; see Network."""
        logits = self.module(image * mask)
        frame = _shrunk(mask, logits)
        return self.picture(logits, frame).sigmoid(), (logits.sigmoid() * frame).squeeze(1)

    def loss(self, batch: Batch, *, picture: float = 1.0, hardest: float = 0.005) -> dict[str, Tensor]:
        """Balanced cross-entropy and Dice of the map, and `picture` times the cross-entropy of the score.

        `hardest` is the fraction of a picture's good cells that count: those most similar to a defect.
        """
        logits = self.module(batch.image * batch.mask)
        frame, truth = _shrunk(batch.mask, logits), _shrunk(batch.truth, logits)
        return {
            "cells": balanced_bce(logits, truth, frame, batch.label, hardest),
            "dice": dice_loss(logits, truth, frame),
            "picture": picture * F.binary_cross_entropy_with_logits(self.picture(logits, frame), batch.label),
        }


def network_of(recipe: Recipe, file: Path | None = None, sha256: str | None = None) -> Network:
    """The network that a recipe names, created with its options: one of the package, or one of a person's file.

    If the recipe has tiles, the network looks at those. A file is executed, as any import is. `file` is read instead of
    the one that the recipe names, and `sha256` is what it must hash to. Raises RecipeError with a one-line message if
    there is no such network, or it cannot be one.
    """
    model, contract, tiles = recipe.model, recipe.letterbox, recipe.tiles
    if tiles is None:
        return _whole(model, contract, file, sha256)
    squares = contract.model_copy(update={"side": tiles.side})
    return Tiled(_whole(model, squares, file, sha256), tiles, contract)


def _whole(model: Model, contract: LetterboxContract, file: Path | None, sha256: str | None) -> Network:
    if not model.is_own:
        return build_network(model.name, model.options)
    named, name = model.own
    file = file or named
    source = _read(file, sha256)
    network = _fitted(_created(file, source, name, model.options), contract, f"{named.name}:{name}")
    network.source = source
    return network


def _created(file: Path, source: bytes, name: str, options: dict[str, Any]) -> nn.Module:
    """What the class or function `name` of the file makes of the options."""
    where = f"{file}:{name}"
    factory = getattr(_imported(file, source), name, None)
    if factory is None or not callable(factory):
        raise RecipeError(f"{file} has no class or function {name}; name the one that makes the network")
    checked = checked_options(factory, options, f"[model] {where}", with_positional=True)
    with _own_errors(where, file):
        made = factory(**checked)
    if not isinstance(made, nn.Module):
        raise RecipeError(f"{where} makes a {type(made).__name__}; a network is a torch.nn.Module")
    return made


def _read(file: Path, sha256: str | None) -> bytes:
    """The content of the file. Raises RecipeError if it does not have this hash."""
    try:
        source = file.read_bytes()
    except OSError as error:
        raise RecipeError(f"network {file} cannot be read: {error.strerror or error}") from None
    if sha256 is not None and hashlib.sha256(source).hexdigest() != sha256:
        raise RecipeError(f"{file} is not the file of this training's network: it was changed, or is another one")
    return source


def _imported(file: Path, source: bytes) -> ModuleType:
    """The file's content, executed as a module."""
    module = ModuleType(f"own_network_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses and torch.export look it up there
    with _own_errors(str(file), file):
        exec(compile(source, str(file), "exec"), vars(module))
    return module


def _fitted(made: nn.Module, contract: LetterboxContract, where: str) -> Network:
    """The module as a Network; what it gives on a trial says of which kind it is."""
    if isinstance(made, Network):
        return made
    side, channels = contract.side, contract.channels
    was_training = made.training
    try:
        with torch.no_grad():  # what the module keeps of the trial must serve in training
            given = made.eval()(torch.zeros(TWO, channels, side, side))
    except Exception as error:
        raise RecipeError(
            f"{where} cannot take pictures [{TWO}, {channels}, {side}, {side}]: {_said(error)}; letterbox.side and "
            "letterbox.colour say what it is given"
        ) from None
    finally:
        made.train(was_training)
    kind = _kind(given, side)
    if kind is None:
        shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise RecipeError(f"{where} gives {shape} for {TWO} pictures of {side}×{side}; {WANTED}")
    return OwnClassifier(made, channels) if kind == "picture" else OwnSegmenter(made, channels)


def _kind(given: object, side: int) -> Literal["picture", "map"] | None:
    if not isinstance(given, Tensor) or given.dim() == 0 or given.shape[0] != TWO:
        return None
    if given.shape[1:] in ((), (1,), (1, 1, 1)):
        return "picture"
    if given.dim() == 4 and given.shape[1] == 1 and all(n and side % n == 0 for n in given.shape[2:]):
        return "map"
    return None


def _shrunk(picture: Tensor, logits: Tensor) -> Tensor:
    """`picture` [N, 1, S, S] in the cells of `logits` [N, 1, h, w]: the largest value in each."""
    return F.max_pool2d(picture, (picture.shape[2] // logits.shape[2], picture.shape[3] // logits.shape[3]))


@contextmanager
def _own_errors(where: str, file: Path):  # type: ignore[no-untyped-def]
    """What goes wrong in a person's own code is one line that names the file and the line."""
    try:
        yield
    except Exception as error:
        lines = [step.lineno for step in traceback.extract_tb(error.__traceback__) if step.filename == str(file)]
        at = f", line {lines[-1]}" if lines else f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise RecipeError(f"network {where}{at}: {_said(error)}") from None


def _said(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {said[0]}' if said else ''}"
