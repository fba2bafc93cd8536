"""Networks, one file each, and their interface for training, export and scoring."""

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
from edge.text import dotted
from edge.validation import first_problem, known_keys, plain
from train.kind_head import KindHead


class Batch(NamedTuple):
    """Photographs on their way into a network; N of them, letterboxed to S×S.

    `image` float32 [N, C, S, S] normalised, with the channels of the letterbox's `colour`; `mask` float32 [N, 1, S, S],
    1 on the frame, 0 on the padding; `label` float32 [N], 1 is bad; `truth` float32 [N, 1, S, S], 1 on the defect;
    `located` float32 [N], 1 if `truth` says where the defects are: of a good photograph, or a bad one with a mask, even
    an empty one. `located` is 0 for a bad photograph without a mask: its `truth` is all 0 because nothing is known.
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    truth: Tensor
    located: Tensor


class Network(nn.Module, ABC):
    """Base class of all networks.

    `learns_from` says what the network learns from: only "good" photographs (a one-class model), "labels" or "masks".
    `masks_optional` says of one that learns from masks that it also learns from bad photographs without one.
    `takes_any_size` says that `loss` accepts squares of another side than the network's, so that it can learn from
    crops and from reduced pictures. `learns_by` says how: by gradient descent on `loss`, or from the statistics that
    `gather` and `conclude` compute in one epoch. `calibrated` says that `calibrate` sets weights of the score on the
    validation photographs, whose metrics are then too good. `learns_places` says that what it learns holds for one
    place of a picture, so that it cannot look at tiles. `learnt_sizes` names the buffers whose shape depends on what
    was learnt. `channels` is the number of channels of its pictures. `source` is the content of the file of a network
    of one's own, as it was executed. Options of the recipe's [model] are the keyword arguments of `__init__`,
    those of [loss] are the keyword-only arguments of `loss`. Each module of this package contains exactly one Network.
    """

    learns_from: Literal["good", "labels", "masks"]
    masks_optional: bool = False
    takes_any_size: bool = False
    learns_by: Literal["gradients", "statistics"] = "gradients"
    learns_places: bool = False
    calibrated: bool = False
    learnt_sizes: ClassVar[tuple[str, ...]] = ()
    channels: int = 3
    source: bytes | None = None

    @abstractmethod
    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """(`score` float32 [N], higher is worse; `map` float32 [N, h, w], 0 on the padding, or None).

        Pixels of `image` under the padding never change the score. Exportable by `torch.onnx.export(dynamo=True)` with
        static shapes.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss, scalars by name; training minimises their sum."""

    def gather(self, batch: Batch) -> None:
        """Process one training batch: called instead of a gradient step if `learns_by` is "statistics"."""
        raise NotImplementedError

    def conclude(self) -> None:
        """Compute the model from all gathered batches: called after the last batch, before validation."""
        raise NotImplementedError

    def familiarise(self, good: Iterable[Batch]) -> None:
        """Process every good training photograph once, whole and not augmented, before the first epoch."""

    def calibrate(self, known: Iterable[Batch]) -> None:
        """Process every validation photograph once, after the last epoch, to set what training does not."""

    def normalised_by(self, contract: LetterboxContract) -> None:
        """Receive the normalisation of the pictures before training, for a loss that uses another network."""

    @property
    def body(self) -> nn.Module:
        """The module whose names of weights a checkpoint has: this network, or the one that it wraps."""
        return self

    @property
    def tile_network(self) -> "Network":
        """The network whose loss training minimises: this one, or the one that looks at the tiles of its pictures."""
        return self

    def pretrained(self) -> tuple[nn.Module, str] | None:
        """The pretrained part of this network, and its name in `train.weights.PUBLISHED`; None if there is none."""
        return None

    @property
    def tells_kinds(self) -> KindHead | None:
        """The part of this network that can tell kinds of defects apart; None if there is none."""
        return None

    def judged(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score and map, as `forward` gives them, and the features [N, F] for `tells_kinds`; None if there is none."""
        return (*self(image, mask), None)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        for name in self.learnt_sizes:
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=getattr(self, name).device))
        super()._load_from_state_dict(state, prefix, *rest)


def build_network(name: str, options: dict[str, Any]) -> Network:
    """The network of the module `name` (with dashes or underscores), created with `options`.

    Raises RecipeError if there is no such module or an option is not valid.
    """
    network = network_class(name)
    return network(**checked_options(network.__init__, options, f"[model] {name}"))


def check_side(network: Network, side: int, has_learnt: bool = False) -> None:
    """Raise RecipeError with a one-line message if the network cannot process squares of `side` pixels.

    Most networks halve them several times; one that `has_learnt` statistics of each place accepts only its own side.
    """
    has_to_see_first = type(network.tile_network).familiarise is not Network.familiarise
    if not has_learnt and (network.learns_by == "statistics" or has_to_see_first):  # it has no statistics yet
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
    """The class of network that `build_network` creates. Raises RecipeError if there is no such module."""
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
    """The names that `build_network` accepts."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if not file.stem.startswith("_"))


def checked_options(
    function: Callable[..., Any], options: dict[str, Any], where: str, with_positional: bool = False
) -> dict[str, Any]:
    """`options`, checked against the keyword-only parameters of `function`, or all that a keyword can give.

    Raises RecipeError, naming the wrong one.
    """
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        p.name: (Any if p.annotation is p.empty else p.annotation, ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY or (with_positional and p.kind is p.POSITIONAL_OR_KEYWORD)
    }
    schema = create_model("Options", __config__=ConfigDict(extra="forbid"), **fields)
    try:
        return schema.model_validate(options).model_dump()
    except ValidationError as error:
        first = first_problem(error)
        if first["type"] == "extra_forbidden":
            key = dotted(first["loc"])
            raise RecipeError(f"{where} has no option {key!r}; {known_keys(key, fields, 'it')}") from None
        raise RecipeError(f"{where}: {plain(error, schema)}") from None
