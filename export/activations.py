"""Layer outputs of the PyTorch network, and the late layer that the network and the exported graphs have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from edge.errors import EdgeError
from edge.frame import Frame
from edge.letterbox.frame import graph_frame
from export.letterbox_graph import PREFIX
from export.runtimes.base import Floats
from export.runtimes.onnxruntime import InsideOnnx
from export.source import Subject
from train.letterbox import letterboxed

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""ONNX operations whose output is the output of a layer."""

ALIKE = 1e-2
"""Largest difference, by `off`, at which a graph layer and a module output of the same shape are the same layer."""


class ParityError(EdgeError):
    """An artifact differs from PyTorch by more than is allowed. No bundle is written."""


@dataclass(frozen=True)
class Layer:
    """A late layer that the network and the graphs have in common: `tensor` in the graphs, `module` in the network."""

    tensor: str
    module: str


def late_layer(subject: Subject, path: Path, frame: Frame) -> Layer | None:
    """The last layer of the graph at `path` that is also the output of a PyTorch module.

    An exporter folds and renames layers. A layer is therefore identified by its shape and by its values on `frame`.
    Returns None if no module output has the shape of any graph layer. Raises ParityError if the last graph layer with a
    matching shape differs from every module output of that shape.
    """
    nodes = [node for node in onnx.load(path).graph.node if node.op_type in HEAVY]
    tensors = [node.output[0] for node in nodes if not node.output[0].startswith(PREFIX)]
    layers = _layers(subject, frame)
    if not tensors or not layers:
        return None
    said = InsideOnnx(path, tensors).look(graph_frame(frame, subject.contract))
    for tensor in reversed(tensors):
        apart = {module: off(said[tensor], out) for module, out in layers.items() if out.shape == said[tensor].shape}
        nearest = min(apart, key=lambda module: apart[module], default=None)
        if nearest is None:
            continue
        if apart[nearest] > ALIKE:
            raise ParityError(
                f"layer {tensor} of the ONNX graph says what no layer of PyTorch says, {nearest} is nearest; "
                "no bundle was written"
            )
        return Layer(tensor, nearest)
    return None


def off(found: Floats, expected: Floats) -> float:
    """Norm of the difference of two tensors of one shape, divided by the norm of `expected`."""
    return float(np.linalg.norm(found - expected) / np.maximum(np.linalg.norm(expected), 1e-12))


def _layers(subject: Subject, frame: Frame) -> dict[str, Floats]:
    modules = [name for name, module in subject.network.named_modules() if not list(module.children())]
    with listening(subject.network, modules) as heard:
        image, mask = letterboxed(frame, subject.contract)
        subject.network(image[None], mask[None])
    return heard


@contextmanager
def listening(network: torch.nn.Module, modules: list[str]) -> Iterator[dict[str, Floats]]:
    """While the context is open, the last output of each of `modules`, by name, if the output is a single tensor."""
    heard: dict[str, Floats] = {}

    def hear(name: str) -> Any:
        def hook(module: torch.nn.Module, given: Any, out: Any) -> None:
            if isinstance(out, torch.Tensor):
                heard[name] = out.detach().clone().numpy()  # a following ReLU may work in place

        return hook

    handles = [network.get_submodule(name).register_forward_hook(hear(name)) for name in modules if name]
    try:
        with torch.inference_mode():
            yield heard
    finally:
        for handle in handles:
            handle.remove()
