"""The smallest model: a graph of three nodes."""

import onnx
from onnx import TensorProto, helper


def tiny_graph() -> onnx.ModelProto:
    """The mean brightness of a frame."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean4"], keepdims=1),
        helper.make_node("Reshape", ["mean4", "one"], ["score"]),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])
    constants = [helper.make_tensor("one", TensorProto.INT64, [1], [1])]
    graph = helper.make_graph(nodes, "mean", [frame], [score], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
