"""A bundle that tells two kinds of defects apart, left and right, by the half of the map with the larger peak."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from support.line import DEMO_BUNDLE

from edge.bundle import GOLDEN, load_bundle, seal
from edge.bundle.manifest import Manifest

KINDS = ("left", "right")


def kind_bundle(folder: Path, change: Callable[[Manifest], Manifest] = lambda manifest: manifest) -> Path:
    """The demonstration's bundle in `folder`, whose name it gets, with the output `kind` and what belongs to it; both
    runtimes run one graph. `change` may change its manifest.
    """
    shutil.copytree(DEMO_BUNDLE, folder)
    manifest = load_bundle(DEMO_BUNDLE).manifest
    shutil.rmtree(folder / "openvino")
    graph = folder / "model.onnx"
    onnx.save(_with_kinds(onnx.load(graph), manifest), graph)
    _add_golden(folder / GOLDEN, graph)
    artifacts = {
        name: one.model_copy(update={"path": "model.onnx", "golden_kind_tolerance": 1e-3})
        for name, one in manifest.artifacts.items()
    }
    changes: dict[str, Any] = {"name": folder.stem, "artifacts": artifacts, "schema_version": 3, "kinds": KINDS}
    seal(folder, change(manifest.model_copy(update=changes)))
    return folder


def _with_kinds(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    assert manifest.map_size is not None
    width = manifest.map_size[1]
    numbers = {"zero": [0], "half": [width // 2], "all": [width], "last": [-1], "places": [1, 2], "two": [2]}
    model.graph.initializer.extend(
        helper.make_tensor(f"kinds/{name}", TensorProto.INT64, [len(values)], values)
        for name, values in numbers.items()
    )
    model.graph.initializer.append(helper.make_tensor("kinds/sharpness", TensorProto.FLOAT, [1], [20.0]))

    def add(op: str, inputs: str, output: str, **attributes: int) -> None:
        named = ["map" if name == "map" else f"kinds/{name}" for name in inputs.split()]
        made = output if output == "kind" else f"kinds/{output}"
        model.graph.node.append(helper.make_node(op, named, [made], **attributes))

    for side, begin, end in (("left", "zero", "half"), ("right", "half", "all")):
        add("Slice", f"map {begin} {end} last", side)
        add("ReduceMax", f"{side} places", f"{side}_peak", keepdims=0)
    add("Concat", "left_peak right_peak", "peaks", axis=0)
    add("Mul", "peaks sharpness", "logits")
    add("Softmax", "logits", "kind", axis=0)
    model.graph.output.append(helper.make_tensor_value_info("kind", TensorProto.FLOAT, [2]))
    return model


def _add_golden(file: Path, graph: Path) -> None:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    with np.load(file) as content:
        arrays = dict(content)
    for number in range(int(arrays["count"])):
        (arrays[f"kind_{number}"],) = session.run(["kind"], {"frame": arrays[f"frame_{number}"][None]})
    np.savez_compressed(file, **arrays)
