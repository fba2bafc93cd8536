"""The network of a bundle without its letterbox, as a user of another runtime would export it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edge.bundle import Bundle
from edge.errors import BundleError
from edge.letterbox.contract import LetterboxContract

LOW_IR_VERSION = 8
"""The lowest version with the needed operators, because older runtimes read no higher one."""


def write_network(bundle: Bundle, shape: tuple[int, int], file: Path) -> None:
    """Write ONNX: `image` float32 [1, C, S, S], letterboxed and normalised, → the outputs of the bundle, float32.

    All frames of `shape` (height, width) have the same padding, so that the mask is a constant, and constant
    subexpressions are folded. Raises BundleError if there is no ONNX artifact.
    """
    contract = bundle.manifest.letterbox
    artifact = next((one for one in bundle.manifest.artifacts.values() if one.path.endswith(".onnx")), None)
    if artifact is None:
        raise BundleError(f"{bundle.path} has no ONNX artifact, which other runtimes need; export it again")
    whole, side = onnx.load(bundle.path / artifact.path), contract.side
    for name, channels in (("image", contract.channels), ("mask", 1)):
        for old in [value for value in whole.graph.value_info if value.name == name]:
            whole.graph.value_info.remove(old)
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, side, side])
        whole.graph.value_info.append(value)
    outputs = [value.name for value in whole.graph.output]
    network = onnx.utils.Extractor(whole).extract_model(["image", "mask"], outputs)
    _fix_mask(network, contract, shape)
    onnx.save(network, file)
    _fold(file)
    folded = onnx.load(file)
    version = next(entry.version for entry in network.opset_import if entry.domain == "")
    del folded.opset_import[:]  # ONNX Runtime lists all domains that it supports
    folded.opset_import.append(helper.make_opsetid("", version))
    folded.ir_version = LOW_IR_VERSION
    onnx.save(shape_inference.infer_shapes(folded, strict_mode=True), file)


def _fix_mask(network: onnx.ModelProto, contract: LetterboxContract, shape: tuple[int, int]) -> None:
    """Make the input `mask` a constant, with the picture's channels where they are multiplied, for onnx2tf."""
    box = contract.fit(*shape)
    around = ((box.top, box.bottom), (box.left, box.right))
    mask: npt.NDArray[np.float32] = np.pad(np.ones((box.height, box.width), np.float32), around)[None, None]
    wide = np.repeat(mask, contract.channels, axis=1)
    for name, values in (("mask", mask), ("mask/wide", wide)):
        network.graph.initializer.append(numpy_helper.from_array(values, name))
    network.graph.input.remove(next(value for value in network.graph.input if value.name == "mask"))
    for node in network.graph.node:
        if node.op_type == "Mul" and set(node.input) == {"image", "mask"}:
            node.input[list(node.input).index("mask")] = "mask/wide"


def _fold(file: Path) -> None:
    """Let ONNX Runtime fold constants; its basic level writes only standard operators."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
