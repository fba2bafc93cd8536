"""Networks, one file each, and the interface that training, export and scoring know them by."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import ConfigDict, ValidationError, create_model
from torch import Tensor, nn

from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract


class Batch(NamedTuple):
    """Photographs on their way into a network; N of them, letterboxed to S×S.

    `image` float32 [N, C, S, S] normalised, with the channels of the letterbox's `colour`; `mask` float32 [N, 1, S, S],
    1 on the frame, 0 on the padding; `label` float32 [N], 1 is bad; `truth` float32 [N, 1, S, S], 1 on the defect (all
    0 where no mask is known).
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    truth: Tensor


class Network(nn.Module, ABC):
    """What every network of this package is.

    `learns_from` says what the network needs: "good" photographs only (a one-class model), "labels" or "masks".
    `takes_any_size` says that `loss` takes squares of another side than the network's, so that it can learn from crops.
    `learns_by` says how: descending the gradients of `loss`, or from what `gather` and `conclude` make of one epoch.
    `calibrated` says that `calibrate` sets weights of the score on the validation photographs, whose figures then
    flatter. `channels` are those of its pictures. Options of the recipe's [model] are the keyword arguments of
    `__init__`, those of [loss] are the keyword-only arguments of `loss`. A module of this package holds exactly one
    Network.
    """

    learns_from: ClassVar[Literal["good", "labels", "masks"]]
    takes_any_size: ClassVar[bool] = False
    learns_by: ClassVar[Literal["gradients", "statistics"]] = "gradients"
    calibrated: ClassVar[bool] = False
    channels: ClassVar[int] = 3

    @abstractmethod
    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """(`score` float32 [N], higher is worse; `map` float32 [N, h, w], 0 on the padding, or None).

        What stands under the padding of `image` never changes the score. Exportable by
        `torch.onnx.export(dynamo=True)` with static shapes.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss, scalars by name; training minimises their sum."""

    def gather(self, batch: Batch) -> None:
        """Take in one training batch: called instead of a step down the loss where `learns_by` is "statistics"."""
        raise NotImplementedError

    def conclude(self) -> None:
        """Make the model of all that was gathered: called after the last batch, before validation."""
        raise NotImplementedError

    def familiarise(self, good: Iterable[Batch]) -> None:
        """Look at every good training photograph once, whole and as it is, before the first epoch."""

    def calibrate(self, known: Iterable[Batch]) -> None:
        """Look at every validation photograph once, after the last epoch, to set what training does not."""

    def normalised_by(self, contract: LetterboxContract) -> None:
        """Told before training how its pictures are normalised, for a network that compares by another's eyes."""

    def pretrained(self) -> tuple[nn.Module, str] | None:
        """The part of this network that others have trained, and its name in `train.weights.PUBLISHED`."""
        return None


def build_network(name: str, options: dict[str, Any]) -> Network:
    """The network of the module `name` (dashes or underscores), made with `options`.

    Raises RecipeError if there is no such module or it does not take these options.
    """
    network = network_class(name)
    return network(**checked_options(network.__init__, options, f"[model] {name}"))


def check_side(network: Network, side: int, has_learnt: bool = False) -> None:
    """Raise RecipeError, in one line, if the network cannot work on squares of `side` pixels.

    Most halve them often; one that `has_learnt` statistics of each place takes the side that it learnt from alone.
    """
    has_to_see_first = type(network).familiarise is not Network.familiarise
    if not has_learnt and (network.learns_by == "statistics" or has_to_see_first):  # it has no numbers to work with yet
        return
    was_training = network.training
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, network.channels, side, side), torch.ones(1, 1, side, side))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        learnt = [one for part in network.modules() if (one := getattr(part, "learnt_side", None))]
        nearest = learnt[0] if learnt else max(32, round(side / 32) * 32)
        raise RecipeError(f"letterbox.side = {side}: the network cannot take it ({reason}); try {nearest}") from None
    finally:
        network.train(was_training)


def network_class(name: str) -> type[Network]:
    """The class that `build_network` makes one of. Raises RecipeError if there is no such module."""
    module_name = f"{__name__}.{name.replace('-', '_')}"
    if name not in network_names():
        raise RecipeError(f"no network named {name!r}; there are {', '.join(network_names())}")
    members = vars(import_module(module_name)).values()
    (network,) = (
        item
        for item in members
        if inspect.isclass(item) and issubclass(item, Network) and item.__module__ == module_name
    )
    return network


def network_names() -> list[str]:
    """The names that `build_network` knows."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if not file.stem.startswith("_"))


def checked_options(function: Callable[..., Any], options: dict[str, Any], where: str) -> dict[str, Any]:
    """`options`, checked against the keyword-only parameters of `function`. Raises RecipeError, naming the wrong."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    fields: dict[str, Any] = {p.name: (p.annotation, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    schema = create_model("Options", __config__=ConfigDict(extra="forbid"), **fields)
    try:
        return schema.model_validate(options).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{where} has no option {key!r}; it has {', '.join(fields) or 'none'}") from None
        raise RecipeError(f"{where}: {key}: {first['msg']}") from None
