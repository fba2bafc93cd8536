"""The layers of a network that can compute in int8: their nodes in the graph, their costs and their errors."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
OPERATIONS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}

BETWEEN = {"Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "MaxPool", "Relu", "Resize"}
"""Operations between two layers that can pass on int8 values. Other operations compute in float32."""


LEAST_COST = 1e-4
"""Smallest share of a layer in all multiplications. A layer below it gains nothing from int8."""


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product: its module `name`, its ONNX `node`, and its `cost` in multiplications."""

    name: str
    node: str
    cost: int


def integer_layers(network: nn.Module, graph: onnx.GraphProto, image: Tensor, mask: Tensor) -> list[Layer]:
    """All layers that are followed by another layer, in the order of `graph`, the ONNX graph of `network`.

    The last layers, which compute a logit or a picture, stay in float32 whatever their cost. So do all operations
    behind them: distances, soft maxima, sigmoids.
    """
    costs = _costs(network, image, mask)
    least = LEAST_COST * sum(costs.values())
    costs = {name: cost for name, cost in costs.items() if cost >= least}
    nodes = {node.input[1]: node for node in graph.node if node.op_type in OPERATIONS}
    found = {name: nodes[f"{name}.weight"] for name in costs if f"{name}.weight" in nodes}
    followed = _reachable(graph, {node.name for node in found.values()}, forward=False, beyond=lambda node: True)
    layers = [Layer(name, node.name, costs[name]) for name, node in found.items() if node.name in followed]
    order = {node.name: index for index, node in enumerate(graph.node)}
    return sorted(layers, key=lambda layer: order[layer.node])


def integer_nodes(graph: onnx.GraphProto, layers: Iterable[Layer]) -> set[str]:
    """Names of the nodes of `layers`, and of the BETWEEN nodes on the way from one of them to another."""
    chosen = {layer.node for layer in layers}

    def carries(node: onnx.NodeProto) -> bool:
        return node.op_type in BETWEEN

    behind = _reachable(graph, chosen, forward=True, beyond=carries)
    before = _reachable(graph, chosen, forward=False, beyond=carries)
    return chosen | {node.name for node in graph.node if carries(node) and node.name in behind & before}


@torch.inference_mode()
def layer_errors(
    network: nn.Module, layers: Iterable[Layer], image: Tensor, mask: Tensor, tick: Callable[[], None]
) -> dict[str, float]:
    """By layer, the mean squared change of score and map over a batch if only this layer computes with 8 bits."""
    score, where, *_ = network(image, mask)
    errors = {}
    for layer in layers:
        with _rounded(network.get_submodule(layer.name)):
            rounded_score, rounded_map, *_ = network(image, mask)
        errors[layer.name] = float((rounded_score - score).square().mean())
        if where is not None:
            errors[layer.name] += float((rounded_map - where).square().mean())
        tick()
    return errors


def noisy_layers(layers: Collection[Layer], errors: dict[str, float], share: float) -> set[str]:
    """Names of the layers that stay in float32, so that at most `share` of the sum of all errors remains.

    Layers with the most error for their cost are chosen first.
    """
    left, allowed, noisy = sum(errors.values()), share * sum(errors.values()), set()
    for layer in sorted(layers, key=lambda layer: errors[layer.name] / layer.cost, reverse=True):
        if left <= allowed:
            break
        left -= errors[layer.name]
        noisy.add(layer.name)
    return noisy


def _costs(network: nn.Module, image: Tensor, mask: Tensor) -> dict[str, int]:
    """Multiplications of each layer per frame, by module name."""
    costs: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            places = (inputs[0] if isinstance(module, nn.ConvTranspose2d) else output)[0, 0].numel()
            assert isinstance(module.weight, Tensor)
            costs[name] = module.weight.numel() * (1 if isinstance(module, nn.Linear) else places)

        return hook

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if isinstance(module, LAYERS)
    ]
    with torch.inference_mode():
        network(image[:1], mask[:1])
    for hook in hooks:
        hook.remove()
    return costs


def _reachable(
    graph: onnx.GraphProto, start: set[str], forward: bool, beyond: Callable[[onnx.NodeProto], bool]
) -> set[str]:
    """Names of the direct successors of the nodes in `start`, or predecessors without `forward`. The search continues
    behind each node that `beyond` accepts.
    """
    neighbours = defaultdict(list)
    makers = {value: node for node in graph.node for value in node.output}
    for node in graph.node:
        for maker in (makers[value] for value in node.input if value in makers):
            here, there = (maker, node) if forward else (node, maker)
            neighbours[here.name].append(there)
    seen: set[str] = set()
    todo = list(start)
    while todo:
        for node in neighbours[todo.pop()]:
            if node.name not in seen:
                seen.add(node.name)
                todo += [node.name] if beyond(node) else []
    return seen


@contextmanager
def _rounded(layer: nn.Module) -> Iterator[None]:
    """While the context is open, the layer's input is rounded to 256 levels, its weights to 255 levels per channel."""
    assert isinstance(layer.weight, Tensor)
    weight = layer.weight.data
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    others = [i for i in range(weight.dim()) if i != axis]
    step = (weight.abs().amax(dim=others, keepdim=True) / 127).clamp(min=1e-12)
    layer.weight.data = (weight / step).round() * step
    hook = layer.register_forward_pre_hook(lambda module, inputs: (_levels(inputs[0]),))
    try:
        yield
    finally:
        hook.remove()
        layer.weight.data = weight


def _levels(values: Tensor) -> Tensor:
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    step = ((high - low) / 255).clamp(min=1e-12)
    return (values / step).round() * step
