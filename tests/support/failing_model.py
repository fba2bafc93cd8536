"""A bundle whose model fails on purpose, depending on the brightness of the frame.

A frame with mean m has the score m / 255. Above 250 the score is NaN. Below 2 the runtime raises an error. From 2 to 6
it requests more memory than exists. The bundle has only an ONNX artifact.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.line import DEMO_BUNDLE

from edge.bundle import GOLDEN, load_bundle, seal

BLACK, HUNGRY, GOOD, BAD, WHITE = 1, 4, 50, 200, 252
"""Mean brightness of frames: runtime error, too much memory requested, good, bad, score NaN."""


def _graph() -> onnx.ModelProto:
    def constant(name: str, values: list[float], kind: int = TensorProto.FLOAT) -> onnx.TensorProto:
        return helper.make_tensor(name, kind, [len(values)], values)

    node = helper.make_node
    nodes = [
        node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float"], ["mean4"], keepdims=1),
        node("Reshape", ["mean4", "one"], ["mean"]),
        node("Sub", ["ceiling", "mean"], ["room"]),
        node("Sqrt", ["room"], ["root"]),  # NaN above the ceiling
        node("Mul", ["root", "root"], ["square"]),
        node("Sub", ["ceiling", "square"], ["same"]),
        node("Div", ["same", "full"], ["bright"]),
        node("Less", ["mean", "floor"], ["is_black"]),
        node("Cast", ["is_black"], ["index"], to=TensorProto.INT64),
        node("Gather", ["nothing", "index"], ["none"]),  # element 1 does not exist
        node("Less", ["mean", "hunger"], ["is_hungry"]),
        node("Cast", ["is_hungry"], ["times"], to=TensorProto.INT64),
        node("Mul", ["times", "terabytes"], ["size"]),
        node("ConstantOfShape", ["size"], ["much"]),
        node("ReduceSum", ["much"], ["sum"], keepdims=0),
        node("Add", ["bright", "none"], ["added"]),
        node("Add", ["added", "sum"], ["score"]),
    ]
    constants = [
        constant("one", [1], TensorProto.INT64), constant("ceiling", [250.0]), constant("full", [255.0]),
        constant("floor", [2.0]), constant("nothing", [0.0]), constant("hunger", [6.0]),
        constant("terabytes", [2**42], TensorProto.INT64),
    ]  # fmt: skip
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "moody", [frame], [score], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def moody_bundle(folder: Path) -> Path:
    """Write the bundle into `folder`, and return its path."""
    path = Path(shutil.copytree(DEMO_BUNDLE, folder / "moody.edge"))
    shutil.rmtree(path / "openvino")
    onnx.save(_graph(), path / "model.onnx")
    frame = np.full((64, 64, 3), GOOD, np.uint8)
    np.savez(path / GOLDEN, count=1, frame_0=frame, score_0=np.float32(GOOD / 255))
    manifest = load_bundle(DEMO_BUNDLE).manifest
    artifact = manifest.artifacts["onnxruntime"]
    threshold = artifact.threshold.model_copy(update={"value": 0.5})
    changes = {
        "name": "moody",
        "map_size": None,
        "map_threshold": None,
        "artifacts": {"onnxruntime": artifact.model_copy(update={"threshold": threshold})},
    }
    seal(path, manifest.model_copy(update=changes))
    return path


def write_frames(folder: Path, brightness: list[int]) -> Path:
    """Write pictures of 64×64 pixels with these means. Each has two greys, because a blank picture is not judged."""
    import cv2

    folder.mkdir()
    for number, grey in enumerate(brightness):
        dark = 0 if grey < 128 else 150
        share = (grey - dark) / (255 - dark)
        is_light = np.diff(np.floor(np.arange(64 * 64 + 1) * share)).reshape(64, 64, 1) > 0
        cv2.imwrite(str(folder / f"{number:04}.png"), np.where(is_light, 255, dark).repeat(3, 2).astype(np.uint8))
    return folder
