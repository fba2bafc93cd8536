"""The weights of the shipped bundle as a checkpoint from which a training can start.

The graph of a bundle has batch normalisation folded into the convolutions. The folded weights are taken as they are,
and each normalisation gets the mean and the variance that its convolution has on photographs, with a weight and a bias
that undo them: the network computes what the graph computes, and its normalisations are in the state of trained ones.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edge.bundle import Bundle
from edge.frame import Frame
from export.runtimes.base import ONNX_PATH
from train.letterbox import letterboxed
from train.models import Network, build_network
from train.recipe import load_recipe

RECIPE = "demo-line"
FOLDED = "_bias"
"""What the exporter appends to the name of a convolution's weight for the folded bias."""


def write_weights(bundle: Bundle, frames: Sequence[Frame], file: Path) -> float:
    """Write the weights of the shipped bundle `bundle` to `file`. Returns the largest difference of a score on `frames`
    between the network with these weights and the graph, as ONNX Runtime computes it.
    """
    from edge.backends import load_from

    recipe = load_recipe(RECIPE, [])
    network = build_network(recipe.model.name, recipe.model.options)
    initializers = onnx.load(bundle.path / ONNX_PATH).graph.initializer
    values = {one.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(one))) for one in initializers}
    pairs = _unfold(network, values)
    network.eval()
    inputs = [letterboxed(frame, bundle.manifest.letterbox) for frame in frames]
    kept: dict[nn.BatchNorm2d, list[Tensor]] = {norm: [] for norm in pairs}
    hooks = [norm.register_forward_hook(_keeper(kept[norm])) for norm in pairs]
    _scores(network, inputs)
    for hook in hooks:
        hook.remove()
    for norm, seen in kept.items():
        _settle(norm, torch.cat(seen))
    torch.save({"model": network.state_dict()}, file)
    backend = load_from(bundle, "onnxruntime", 1)
    graph = [float(backend.infer(frame).score) for frame in frames]
    return max(abs(one - other) for one, other in zip(_scores(network, inputs), graph, strict=True))


def _unfold(network: Network, values: dict[str, Tensor]) -> list[nn.BatchNorm2d]:
    """Load the graph's values into the network; each normalisation first passes its convolution and adds the bias."""
    modules, norms = dict(network.named_modules()), []
    state = {name: value for name, value in values.items() if name in network.state_dict()}
    network.load_state_dict(state, strict=False)
    for name, module in modules.items():
        if not isinstance(module, nn.BatchNorm2d):
            continue
        base, _, last = name.rpartition(".")
        convolution = f"{base}.0" if last == "1" else f"{base}.second"
        with torch.no_grad():
            module.running_mean.zero_()  # type: ignore[union-attr]
            module.running_var.fill_(1.0)  # type: ignore[union-attr]
            module.weight.fill_((1.0 + module.eps) ** 0.5)
            module.bias.copy_(values[f"{convolution}.weight{FOLDED}"])
        norms.append(module)
    return norms


def _keeper(seen: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """A hook that keeps mean and mean square of each channel of what goes into a module."""

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        flat = inputs[0].transpose(0, 1).flatten(1)
        seen.append(torch.stack([flat.mean(1), flat.square().mean(1)])[None])

    return keep


def _settle(norm: nn.BatchNorm2d, moments: Tensor) -> None:
    """Give a normalisation the mean and variance that were seen, without a change of what it computes."""
    mean, square = moments.mean(0)
    variance = (square - mean.square()).clamp_min(1e-8)
    with torch.no_grad():
        norm.bias.add_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]


def _scores(network: Network, inputs: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    with torch.inference_mode():
        return [float(network(image[None], mask[None])[0]) for image, mask in inputs]
