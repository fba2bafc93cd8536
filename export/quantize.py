"""The network in int8, by each runtime's own quantizer, behind the letterbox of the float32 artifacts.

Only the network is quantized; the letterbox, which stays float32, is put in front of it afterwards. Ranges are the
smallest and largest values seen on the calibration photographs: a defect is an outlier, and a narrower range clips it.
Weights are symmetric, one scale for each channel. CPUs without VNNI add two products of uint8 and int8 in 16 bits, and
saturate unless the weights take 7 of the 8 bits.
"""

import io
import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import openvino as ov
from onnx import compose, helper

from edge.letterbox.contract import LetterboxContract
from export.float16 import store_half
from export.letterbox_graph import IR_VERSION, letterbox_model

WeightBits = Literal[7, 8]

Inputs = dict[str, npt.NDArray[np.float32]]
"""One letterboxed photograph: `image` float32 [1, C, S, S] and `mask` float32 [1, 1, S, S]."""

INTEGER_IN_ONNXRUNTIME = ["AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "Relu"]
"""Operations that its quantizer is given: not an Add or a Resize alone, for each would be rounded twice more."""


LAYERS_IN_ONNXRUNTIME = {"QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "QGemm"}
LAYERS_IN_OPENVINO = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
"""Layers of a graph as the runtime executes it."""


@dataclass
class Quantizer(ABC):
    """What is quantized, and how. Called, it writes one artifact; the same one may be called again and again."""

    network: onnx.ModelProto
    contract: LetterboxContract
    photographs: list[Inputs]
    metadata: dict[str, str]
    weight_bits: WeightBits = 8

    @abstractmethod
    def __call__(self, integer: set[str], path: Path) -> None:
        """Write the artifact at `path` in which the ONNX nodes named in `integer`, and no others, compute in int8.

        Overwrites nothing: there is no file at `path` yet.
        """


class OpenVinoQuantizer(Quantizer):
    """NNCF's post-training quantization; 7 bits are the weights' range halved (its `OverflowFix.ENABLE`)."""

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


@dataclass
class OnnxRuntimeQuantizer(Quantizer):
    """ONNX Runtime's static quantization to QDQ: uint8 activations, int8 weights; 7 bits are its `reduce_range`."""

    _ranges: str | None = field(default=None, init=False)

    def __call__(self, integer: set[str], path: Path) -> None:
        """See `Quantizer`; the ranges are measured the first time."""
        with tempfile.TemporaryDirectory() as folder:
            quantized = self._quantized(integer, Path(folder))
        quantized.ir_version = IR_VERSION
        model = compose.merge_models(
            letterbox_model(self.contract), quantized, io_map=[("image", "image"), ("mask", "mask")]
        )
        helper.set_model_props(model, self.metadata)
        store_half(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)

    def _quantized(self, integer: set[str], folder: Path) -> onnx.ModelProto:
        from onnxruntime.quantization import QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        ranges, prepared, quantized = folder / "ranges.json", folder / "prepared.onnx", folder / "int8.onnx"
        if self._ranges is not None:
            ranges.write_text(self._ranges)
        with _quiet():
            quant_pre_process(self.network, prepared, skip_optimization=True, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantized,
                _Reader(self.photographs),
                op_types_to_quantize=INTEGER_IN_ONNXRUNTIME,
                nodes_to_quantize=sorted(integer),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=self.weight_bits == 7,
                # A number is rounded where a layer in int8 reads it: other readers get it as it was made.
                extra_options={"OpTypesToExcludeOutputQuantization": INTEGER_IN_ONNXRUNTIME},
                calibration_cache_path=ranges,
            )
        self._ranges = ranges.read_text()
        model: onnx.ModelProto = onnx.load(quantized)
        return model


class _Reader:
    """What `quantize_static` reads photographs from."""

    def __init__(self, photographs: list[Inputs]) -> None:
        self._rest = iter(photographs)

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)


def _folded(network: bytes) -> ov.Model:
    """The network with constants where it computes with constants alone: NNCF only sees weights that are constants."""
    from openvino.passes import ConstantFolding, Manager

    model = ov.Core().read_model(io.BytesIO(network))
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    return model


def _quantized(network: ov.Model, photographs: list[Inputs], kept: set[str], bits: WeightBits) -> ov.Model:
    os.environ.setdefault("NNCF_CI", "1")  # else it reports to its makers what it is used for
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # An ONNX node may have become several, named after it.
    names = [
        node.get_friendly_name() for node in network.get_ops() if node.get_friendly_name().partition("/")[0] in kept
    ]
    with _quiet():
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


def integer_kernels(runtime: str, path: Path) -> int:
    """How many layers of the artifact at `path` the runtime computes in int8 here: what was asked for is no proof.

    ONNX Runtime computes in int8 only where it can fuse a layer with the rounding on both its sides.
    """
    if runtime == "openvino":
        ran = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).get_runtime_model()
        kinds = [(_told(op, "layerType"), _told(op, "runtimePrecision")) for op in ran.get_ordered_ops()]
        return sum(kind in LAYERS_IN_OPENVINO and precision in ("u8", "i8") for kind, precision in kinds)
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        ran = onnx.load(options.optimized_model_filepath)
    return sum(node.op_type in LAYERS_IN_ONNXRUNTIME for node in ran.graph.node)


def _told(op: Any, key: str) -> str:
    info = op.get_rt_info()
    return str(info[key].astype(str)) if key in info else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantizers print: they warn of what is meant, and draw progress over ours."""
    loggers: list[Any] = [logging.getLogger(), logging.getLogger("nncf")]
    levels = [logger.level for logger in loggers]
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
