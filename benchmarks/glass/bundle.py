"""A bundle whose scores are the clocks in the pictures: the demonstration's network with a replaced score.

The network runs normally on every frame, with letterbox and map, and its score is computed; then the score is replaced
by the number in the blocks of `edge.demo.clock`. So the station itself is not changed by the measurement.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge.bundle import GOLDEN, load_bundle, seal
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.demo.clock import BITS, BLOCK, HEIGHT, LEAST_CONTRAST, WIDTH

SHOWN_BITS = 24
"""The lowest bits of the clock that a float32 can represent: 16 s of microseconds."""

SHOWN_MODULUS = 2**SHOWN_BITS

UNREAD = -1.0
"""The score of a picture without a readable clock."""

IMPOSSIBLE = -1e30
"""No network scores below this; but the graph compiler cannot know that, and so cannot remove the network."""


def clock_bundle(path: Path) -> Path:
    """Write the bundle into the new folder `path`. Every frame is good, whatever its clock."""
    demo = load_bundle(shipped_bundle(DEMO))
    path.mkdir()
    onnx.save(with_clock(onnx.load(demo.path / "model.onnx")), path / "model.onnx")
    golden: dict[str, Any] = {}
    for number, one in enumerate(demo.golden()):
        golden |= {f"frame_{number}": one.frame, f"score_{number}": np.float32(UNREAD), f"map_{number}": one.map}
    np.savez(path / GOLDEN, count=len(demo.golden()), **golden)
    artifact = demo.manifest.artifacts["openvino"]
    threshold = artifact.threshold.model_copy(update={"value": float(SHOWN_MODULUS)})
    changes = {
        "name": "clock",
        "description": "the demonstration's network, whose score is what the clock in the picture shows",
        "map_threshold": None,
        "artifacts": {
            runtime: artifact.model_copy(update={"backend": runtime, "path": "model.onnx", "threshold": threshold})
            for runtime in ("openvino", "onnxruntime")
        },
    }
    seal(path, demo.manifest.model_copy(update=changes))
    return path


def with_clock(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the clock's number as its `score`; the original score is still computed."""
    for node in model.graph.node:
        node.output[:] = ["network" if name == "score" else name for name in node.output]
    model.graph.initializer.extend(
        helper.make_tensor(f"clock/{name}", kind, [len(values)], values) for name, (kind, values) in _CONSTANTS.items()
    )
    model.graph.initializer.append(helper.make_tensor("clock/signs", TensorProto.FLOAT, [2, 1], [1.0, -1.0]))
    for operation, inputs, output, attributes in _READING:
        names = [_full(name) for name in inputs.split()]
        model.graph.node.append(helper.make_node(operation, names, [_full(output)], **attributes))
    onnx.checker.check_model(model)
    return model


def _full(name: str) -> str:
    """The model's own names unchanged, those of the clock with a prefix."""
    return name if name in ("frame", "network", "score") else f"clock/{name}"


_CONSTANTS: dict[str, tuple[int, list[Any]]] = {
    "rows_columns": (TensorProto.INT64, [1, 2]),
    "corner": (TensorProto.INT64, [0, 0]),
    "size": (TensorProto.INT64, [HEIGHT, WIDTH]),
    "room": (TensorProto.INT64, [0, 0, 0, 0, 0, HEIGHT, WIDTH, 0]),
    "centre": (TensorProto.INT64, [BLOCK // 2, BLOCK // 2]),
    "block": (TensorProto.INT64, [BLOCK, BLOCK]),
    "channel": (TensorProto.INT64, [3]),
    "row": (TensorProto.INT64, [1]),
    "weights": (TensorProto.FLOAT, [float(1 << n) if n < SHOWN_BITS else 0.0 for n in reversed(range(BITS))]),
    "nothing": (TensorProto.FLOAT, [0.0]),
    "contrast": (TensorProto.FLOAT, [float(LEAST_CONTRAST)]),
    "unread": (TensorProto.FLOAT, [UNREAD]),
    "impossible": (TensorProto.FLOAT, [IMPOSSIBLE]),
}

_READING: list[tuple[str, str, str, dict[str, Any]]] = [
    ("Slice", "frame corner size rows_columns", "blocks", {}),
    ("Cast", "blocks", "values", {"to": TensorProto.FLOAT}),
    ("Pad", "values room", "roomy", {}),  # a frame smaller than a clock is padded with black, which is no clock
    ("Slice", "roomy centre size rows_columns block", "centres", {}),
    ("ReduceMean", "centres channel", "grey", {"keepdims": 0}),  # [1, 2, BITS]
    ("Mul", "grey signs", "signed", {}),
    ("ReduceSum", "signed row", "difference", {"keepdims": 0}),  # [1, BITS]
    ("Greater", "difference nothing", "is_one", {}),
    ("Cast", "is_one", "ones", {"to": TensorProto.FLOAT}),
    ("Mul", "ones weights", "parts", {}),
    ("ReduceSum", "parts row", "number", {"keepdims": 0}),  # [1]
    ("Abs", "difference", "contrasts", {}),
    ("ReduceMin", "contrasts row", "least", {"keepdims": 0}),
    ("Less", "least contrast", "is_unread", {}),
    ("Less", "network impossible", "is_impossible", {}),
    ("Or", "is_unread is_impossible", "is_nothing", {}),
    ("Where", "is_nothing unread number", "score", {}),
]
