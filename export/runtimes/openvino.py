"""OpenVINO: its intermediate representation, and NNCF's post-training quantization."""

import io
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov

from edge.backends.runtimes.openvino_letterbox import fixed_letterbox
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from export.letterbox_graph import letterbox_model
from export.runtimes.base import IMAGE, ExportRuntime, Floats, Inputs, Quantizer, WeightBits, quiet

LAYERS = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
"""Operation types of layers in the graph that the runtime executes."""


class InsideOpenVino:
    """An artifact in OpenVINO, for frames of any size."""

    def __init__(self, path: Path, tensors: list[str]) -> None:
        """`tensors` are names of tensors in the graph."""
        model = ov.Core().read_model(path)
        outputs = model.add_outputs(tensors)
        self._tensors = dict(zip(tensors, outputs, strict=True))
        self._compiled = _compiled(ov.Model(outputs, model.get_parameters(), "inside"))

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`."""
        answers = self._compiled([frame[np.newaxis]])
        return {name: answers[i] for i, name in enumerate(self._tensors)}


class FixedLetterbox:
    """OpenVINO's letterbox for a camera's frame size, compiled for each size."""

    def __init__(self, contract: LetterboxContract) -> None:
        """Nothing is compiled before the first `look`."""
        self._compile = lru_cache(maxsize=4)(lambda shape: _compiled(_fixed(shape, contract)))

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`. The only tensor is `IMAGE`."""
        return {IMAGE: self._compile(frame.shape[:2])([frame[np.newaxis]])[0]}


def _fixed(shape: tuple[int, int], contract: LetterboxContract) -> ov.Model:
    from openvino import opset13 as ops

    channels = [] if contract.frame == "grey" else [3]
    frame = ops.parameter([1, *shape, *channels], np.uint8, name="frame")
    return ov.Model([fixed_letterbox(frame, shape, contract)[0]], [frame], "letterbox")


def _compiled(model: ov.Model) -> Any:
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class OpenVinoQuantizer(Quantizer):
    """NNCF's post-training quantization. For 7 bits the weights' range is halved (NNCF's `OverflowFix.ENABLE`)."""

    path = "openvino-int8/model.xml"

    def __call__(self, integer: set[str], path: Path) -> None:
        """See `Quantizer`."""
        kept = {node.name for node in self.network.graph.node} - integer
        network = _quantized(_folded(self.network.SerializeToString()), self.photographs, kept, self.weight_bits)
        letterbox = ov.Core().read_model(io.BytesIO(letterbox_model(self.contract).SerializeToString()))
        model = _behind(letterbox, network)
        for key, value in self.metadata.items():
            model.set_rt_info(value, ["edge-inspect", key])
        path.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)

    @staticmethod
    def integer_layers(path: Path) -> int:
        """See `Quantizer.integer_layers`."""
        ran = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).get_runtime_model()
        kinds = [(_told(op, "layerType"), _told(op, "runtimePrecision")) for op in ran.get_ordered_ops()]
        return sum(kind in LAYERS and precision in ("u8", "i8") for kind, precision in kinds)


def _folded(network: bytes) -> ov.Model:
    """The network with constant subgraphs folded into constants: NNCF only recognises weights that are constants."""
    from openvino.passes import ConstantFolding, Manager

    model = ov.Core().read_model(io.BytesIO(network))
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    return model


def _quantized(network: ov.Model, photographs: list[Inputs], kept: set[str], bits: WeightBits) -> ov.Model:
    os.environ.setdefault("NNCF_CI", "1")  # disables NNCF's usage telemetry
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # OpenVINO may split an ONNX node into several, named after it.
    names = [
        node.get_friendly_name() for node in network.get_ops() if node.get_friendly_name().partition("/")[0] in kept
    ]
    with quiet():
        return nncf.quantize(
            network,
            nncf.Dataset(photographs),
            subset_size=len(photographs),
            ignored_scope=nncf.IgnoredScope(names=names, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE if bits == 7 else nncf.OverflowFix.DISABLE,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            ),
        )


def _behind(letterbox: ov.Model, network: ov.Model) -> ov.Model:
    """One model: the outputs of `letterbox` are the inputs of `network`."""
    for parameter in network.get_parameters():
        source = letterbox.output(parameter.get_friendly_name()).get_node().input_value(0)
        for reader in parameter.output(0).get_target_inputs():
            reader.replace_source_output(source)
    return ov.Model(network.get_results(), letterbox.get_parameters(), "edge-inspect")


def _told(op: Any, key: str) -> str:
    info = op.get_rt_info()
    return str(info[key].astype(str)) if key in info else ""


class _Runtime(ExportRuntime):
    """See `ExportRuntime`."""

    name = "openvino"
    title = "OpenVINO"
    path = "openvino/model.xml"
    quantizer = OpenVinoQuantizer
    reads_onnx = True
    rank = 1
    packages = ("openvino", "nncf")

    def write(self, onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        """Write `path` and its .bin, with the weights' types of the ONNX graph; see `ExportRuntime.write`."""
        model = ov.Core().read_model(onnx_path)  # convert_model would write float16 constants as float32
        for key, value in metadata.items():
            model.set_rt_info(value, ["edge-inspect", key])
        path.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)

    def refusal(self, model: onnx.ModelProto) -> str | None:
        """See `ExportRuntime.refusal`."""
        try:
            core = ov.Core()
            core.compile_model(core.read_model(model.SerializeToString()), "CPU")
        except Exception as error:  # OpenVINO's errors have no common base class
            return str(error).rpartition("Summary:")[2].partition("To facilitate")[0]
        return None

    def inside(self, path: Path, tensors: list[str]) -> InsideOpenVino:
        """See `ExportRuntime.inside`."""
        return InsideOpenVino(path, tensors)

    def fixed_letterbox(self, contract: LetterboxContract) -> FixedLetterbox:
        """See `ExportRuntime.fixed_letterbox`."""
        return FixedLetterbox(contract)


RUNTIME = _Runtime()
