"""What passes inside PyTorch's network and inside the artifacts: the letterboxed picture, and a late layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import openvino as ov
import torch
from onnx import TensorProto, helper

from edge.backends.openvino_letterbox import fixed_letterbox
from edge.errors import EdgeError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.frame import graph_frame
from export.letterbox_graph import PREFIX
from export.source import Subject
from train.letterbox import letterboxed

Floats = npt.NDArray[np.float32]

IMAGE = "image"
"""The letterboxed picture, in the graphs: float32 [1, 3, S, S]."""

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations whose output is a layer's."""

ALIKE = 1e-2
"""A layer of the graph that is further `off` than this from all of PyTorch's of its shape is another layer."""


class ParityError(EdgeError):
    """An artifact does not say what PyTorch says; there is no bundle."""


class Inside(Protocol):
    """A graph that tells what passes inside it."""

    def look(self, frame: Frame) -> dict[str, Floats]:
        """The tensors asked for, by name, when it is shown `frame`, as `edge.letterbox.frame.graph_frame` gives it."""
        ...


class InsideOnnx:
    """An ONNX artifact in ONNX Runtime."""

    def __init__(self, path: Path, tensors: list[str]) -> None:
        """`tensors` names values of the graph."""
        model = onnx.load(path)
        model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
        self._tensors = tensors
        self._session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`."""
        return dict(zip(self._tensors, self._session.run(self._tensors, {"frame": frame[np.newaxis]}), strict=True))


class InsideOpenVino:
    """An artifact in OpenVINO, for frames of any size."""

    def __init__(self, path: Path, tensors: list[str]) -> None:
        """`tensors` names values of the graph."""
        model = ov.Core().read_model(path)
        outputs = model.add_outputs(tensors)
        self._tensors = dict(zip(tensors, outputs, strict=True))
        self._compiled = _compiled(ov.Model(outputs, model.get_parameters(), "inside"))

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`."""
        answers = self._compiled([frame[np.newaxis]])
        return {name: answers[i] for i, name in enumerate(self._tensors)}


class FixedLetterbox:
    """The letterbox that OpenVINO is given for a camera's frame size, compiled anew for each size."""

    def __init__(self, contract: LetterboxContract) -> None:
        """Nothing is compiled before a frame is shown."""
        self._compile = lru_cache(maxsize=4)(lambda shape: _compiled(_fixed(shape, contract)))

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`; `IMAGE` alone."""
        return {IMAGE: self._compile(frame.shape[:2])([frame[np.newaxis]])[0]}


def _fixed(shape: tuple[int, int], contract: LetterboxContract) -> ov.Model:
    from openvino import opset13 as ops

    channels = [] if contract.frame == "grey" else [3]
    frame = ops.parameter([1, *shape, *channels], np.uint8, name="frame")
    return ov.Model([fixed_letterbox(frame, shape, contract)[0]], [frame], "letterbox")


def _compiled(model: ov.Model) -> Any:
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@dataclass(frozen=True)
class Layer:
    """A late layer that PyTorch and the graphs both have: `tensor` of the graphs, `module` of the network."""

    tensor: str
    module: str


def late_layer(subject: Subject, path: Path, frame: Frame) -> Layer | None:
    """The last layer of the graph at `path` that is a module's output in PyTorch, too; found by showing both `frame`.

    An exporter folds and renames: a layer is known by its shape and, among those of one shape, by what it says. None
    where no module has the shape of any layer of the graph; raises ParityError where the last layer of which some has
    the shape says what none of them says.
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
    """The difference of two tensors of one shape, as a share of what was expected: norm by norm."""
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-12))


def _layers(subject: Subject, frame: Frame) -> dict[str, Floats]:
    modules = [name for name, module in subject.network.named_modules() if not list(module.children())]
    with listening(subject.network, modules) as heard:
        image, mask = letterboxed(frame, subject.contract)
        subject.network(image[None], mask[None])
    return heard


@contextmanager
def listening(network: torch.nn.Module, modules: list[str]) -> Iterator[dict[str, Floats]]:
    """While the block runs: what each of `modules` put out last, by name, if that was one tensor."""
    heard: dict[str, Floats] = {}

    def hear(name: str) -> Any:
        def hook(module: torch.nn.Module, given: Any, out: Any) -> None:
            if isinstance(out, torch.Tensor):
                heard[name] = out.detach().clone().numpy()  # a ReLU behind it may work in place

        return hook

    handles = [network.get_submodule(name).register_forward_hook(hear(name)) for name in modules if name]
    try:
        with torch.inference_mode():
            yield heard
    finally:
        for handle in handles:
            handle.remove()
