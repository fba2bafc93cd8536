"""ONNX Runtime: the ONNX graph itself, and its static quantization to QDQ."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, compose, helper

from edge.frame import Frame
from export.float16 import store_half
from export.letterbox_graph import IR_VERSION, letterbox_model
from export.runtimes.base import ONNX_PATH, ExportRuntime, Floats, Inputs, Quantizer, quiet

QUANTIZED = ["AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "Relu"]
"""Operations that may be quantized. A single Add or Resize is not among them: each would add two roundings."""

INTEGER_LAYERS = {"QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "QGemm"}
"""Operation types of int8 layers in the graph that the runtime executes."""


class InsideOnnx:
    """An ONNX artifact in ONNX Runtime."""

    def __init__(self, path: Path, tensors: list[str]) -> None:
        """`tensors` are names of tensors in the graph."""
        model = onnx.load(path)
        model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
        self._tensors = tensors
        self._session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def look(self, frame: Frame) -> dict[str, Floats]:
        """See `Inside.look`."""
        return dict(zip(self._tensors, self._session.run(self._tensors, {"frame": frame[np.newaxis]}), strict=True))


@dataclass
class OnnxRuntimeQuantizer(Quantizer):
    """ONNX Runtime's static quantization to QDQ: uint8 activations, int8 weights; 7 bits are its `reduce_range`."""

    path: ClassVar[str] = "model-int8.onnx"
    _ranges: str | None = field(default=None, init=False)

    def __call__(self, integer: set[str], path: Path) -> None:
        """See `Quantizer`. The ranges are measured at the first call."""
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
        with quiet():
            quant_pre_process(self.network, prepared, skip_optimization=True, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantized,
                _Reader(self.photographs),
                op_types_to_quantize=QUANTIZED,
                nodes_to_quantize=sorted(integer),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=self.weight_bits == 7,
                # A tensor is rounded only at the inputs of int8 layers; other operations read it unrounded.
                extra_options={"OpTypesToExcludeOutputQuantization": QUANTIZED},
                calibration_cache_path=ranges,
            )
        self._ranges = ranges.read_text()
        model: onnx.ModelProto = onnx.load(quantized)
        return model

    @staticmethod
    def integer_layers(path: Path) -> int:
        """See `Quantizer.integer_layers`. A layer counts if ONNX Runtime fused it with the rounding on both sides."""
        with tempfile.TemporaryDirectory() as folder:
            options = ort.SessionOptions()
            options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
            options.log_severity_level = 3
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            ran = onnx.load(options.optimized_model_filepath)
        return sum(node.op_type in INTEGER_LAYERS for node in ran.graph.node)


class _Reader:
    """Passes the calibration photographs to `quantize_static`."""

    def __init__(self, photographs: list[Inputs]) -> None:
        self._rest = iter(photographs)

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)


class _Runtime(ExportRuntime):
    """See `ExportRuntime`."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    path = ONNX_PATH
    quantizer = OnnxRuntimeQuantizer
    reads_onnx = True
    packages = ("onnxruntime",)

    def write(self, onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        """See `ExportRuntime.write`; the artifact is the ONNX graph."""
        path.write_bytes(onnx_path.read_bytes())

    def inside(self, path: Path, tensors: list[str]) -> InsideOnnx:
        """See `ExportRuntime.inside`."""
        return InsideOnnx(path, tensors)


RUNTIME = _Runtime()
