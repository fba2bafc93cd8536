"""A bundle with almost no inference time: the score of a frame is its mean brightness, from 0 to 1."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge.bundle import GOLDEN, load_bundle, seal
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.sources import SourceRequest
from edge.sources.replay import FRAMES, ReplaySource


def mean_bundle(path: Path, size: tuple[int, int]) -> Path:
    """Write the bundle into the new folder `path`.

    Of the frames of source `replay` of this size (height, width) the brightest is a reject, all others are good.
    """
    source = ReplaySource(SourceRequest("replay", size=size))
    frames = [frame for frame in (source.capture(index).frame for index in range(FRAMES)) if frame is not None]
    scores = sorted(float(frame.mean()) / 255 for frame in frames)
    path.mkdir()
    onnx.save(_graph(), path / "model.onnx")
    np.savez(path / GOLDEN, count=1, frame_0=frames[0], score_0=np.float32(frames[0].mean() / 255))
    manifest = load_bundle(shipped_bundle(DEMO)).manifest
    artifact = manifest.artifacts["onnxruntime"]
    threshold = artifact.threshold.model_copy(update={"value": (scores[-2] + scores[-1]) / 2})
    changes = {
        "name": "mean",
        "description": "the mean brightness of a frame, for measurements",
        "map_size": None,
        "map_threshold": None,
        "artifacts": {"onnxruntime": artifact.model_copy(update={"path": "model.onnx", "threshold": threshold})},
    }
    seal(path, manifest.model_copy(update=changes))
    return path


def _graph() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean4"], keepdims=1),
        helper.make_node("Reshape", ["mean4", "one"], ["mean"]),
        helper.make_node("Div", ["mean", "full"], ["score"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("full", TensorProto.FLOAT, [1], [255.0]),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "mean", [frame], [score], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model
