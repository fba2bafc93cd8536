"""The ONNX rendering of the letterbox contract: any frame in, a network input of one fixed shape out.

The resize is two products with weight matrices, `rows · frame · columns`, both made inside the graph from the frame's
own size; for the filter `box`, of the block means instead of the frame. The positions are integers, so a weight is
exact to one float division. Every shape behind the padding is static, so a new frame size compiles the prelude again
and not the network. OpenVINO ignores `antialias` of an ONNX Resize without a word, which is why no Resize is used here.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.contract import LetterboxContract

OPSET = 18
IR_VERSION = 10

PREFIX = "letterbox/"
"""Of every name in the letterbox but its inputs and outputs: the network behind it may call its values as it likes."""


def letterbox_model(contract: LetterboxContract) -> onnx.ModelProto:
    """ONNX model: `frame` uint8 [1, height, width, 3] BGR → `image` float32 [1,3,S,S] and `mask` float32 [1,1,S,S].

    Height and width are dynamic; S is the contract's side.
    """
    g, side = _Graph(), contract.side
    shape = g.add("Shape", "frame")
    height = g.add("Slice", shape, g.integers(1), g.integers(2))
    width = g.add("Slice", shape, g.integers(2), g.integers(3))
    longest = g.add("Max", height, width)
    block = g.integers(1)
    if contract.filter == "box":
        block = g.add("Max", block, g.add("Div", longest, g.integers(side)))
    rows = _Axis(g, height, height if contract.is_stretched else longest, block, side)
    columns = _Axis(g, width, width if contract.is_stretched else longest, block, side)

    lines = _block_means(g, rows, columns) if contract.filter == "box" else _pixels(g, height)
    lines = g.add("MatMul", rows.weights, lines)  # [h, Wb·3]
    planes = g.add("Reshape", lines, g.add("Concat", rows.size, columns.blocks, g.integers(3), axis=0))
    planes = g.add("Transpose", planes, perm=[2, 0, 1])  # [3, h, Wb], BGR
    planes = g.add("MatMul", planes, g.add("Transpose", columns.weights, perm=[1, 0]))  # [3, h, w]
    planes = g.add("Gather", planes, g.integers(2, 1, 0), axis=0)  # RGB
    none = g.integers(0)
    pads = g.add("Concat", none, rows.before, columns.before, none, rows.after, columns.after, axis=0)
    planes = g.add("Pad", planes, pads, g.floats("fill", contract.fill))
    planes = g.add("Reshape", planes, g.integers(1, 3, side, side))
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (contract.mean, contract.std))
    scaled = g.add("Mul", planes, g.floats("scale", 1 / (255 * std)))
    g.add("Add", scaled, g.floats("shift", -mean / std), output="image")

    mask = g.add("Mul", g.add("Unsqueeze", rows.mask, g.integers(1)), columns.mask)
    g.add("Reshape", mask, g.integers(1, 1, side, side), output="mask")
    return g.model(side)


def _pixels(g: "_Graph", height: str) -> str:
    """The frame as float32 [H, W·3]."""
    return g.add("Reshape", g.cast("frame", TensorProto.FLOAT), g.add("Concat", height, g.integers(-1), axis=0))


def _block_means(g: "_Graph", rows: "_Axis", columns: "_Axis") -> str:
    """Means over k×k blocks, float32 [Hb, Wb·3]; pixels beyond the frame count as 0."""
    none, three, last = g.integers(0), g.integers(3), g.integers(-1)
    pads = g.add("Concat", none, none, none, none, none, rows.missing, columns.missing, none, axis=0)
    whole = g.cast(g.add("Pad", "frame", pads), TensorProto.FLOAT)
    lines = g.add("Reshape", whole, g.add("Concat", rows.blocks, rows.block, last, axis=0))
    lines = g.add("ReduceSum", lines, g.integers(1), keepdims=0)  # [Hb, Wb·k·3]
    cells = g.add("Reshape", lines, g.add("Concat", rows.blocks, columns.blocks, columns.block, three, axis=0))
    cells = g.add("ReduceSum", cells, g.integers(2), keepdims=0)  # [Hb, Wb, 3]
    area = g.cast(g.add("Mul", rows.block, columns.block), TensorProto.FLOAT)
    return g.add("Reshape", g.add("Div", cells, area), g.add("Concat", rows.blocks, last, axis=0))


class _Axis:
    """One axis of the letterbox: `longest` becomes `side`, and `length` in proportion.

    `size`, `before`, `after` are pixels of the result, `blocks` and `block` how many blocks of how many pixels the
    frame has, `missing` the pixels that the last one lacks: int64 [1]. `mask` is float32 [S], `weights` float32
    [size, blocks] as `edge.letterbox_weights.resize_weights` defines it.
    """

    def __init__(self, g: "_Graph", length: str, longest: str, block: str, side: int) -> None:
        whole, one = g.integers(side), g.integers(1)
        self.size = g.add("Max", one, g.add("Div", g.add("Mul", length, whole), longest))
        self.before = g.add("Div", g.add("Sub", whole, self.size), g.integers(2))
        self.after = g.add("Sub", g.add("Sub", whole, self.size), self.before)
        self.block = block
        self.blocks = g.add("Div", g.add("Sub", g.add("Add", length, block), one), block)
        self.missing = g.add("Sub", g.add("Mul", self.blocks, block), length)
        self.mask = self._mask(g, side)
        self.weights = self._weights(g, length)

    def _mask(self, g: "_Graph", side: int) -> str:
        position = g.add("Sub", g.constant("positions", np.arange(side)), self.before)
        is_inside = g.add("And", g.add("GreaterOrEqual", position, g.integers(0)), g.add("Less", position, self.size))
        return g.cast(is_inside, TensorProto.FLOAT)

    def _weights(self, g: "_Graph", length: str) -> str:
        i = g.add("Unsqueeze", g.range(self.size), g.integers(1))  # [size, 1]
        b = g.range(self.blocks)
        reach = g.add("Mul", self.size, self.block)
        apart = g.add("Sub", g.add("Mul", _odd(g, b), reach), g.add("Mul", _odd(g, i), length))
        width = g.add("Mul", g.add("Max", reach, length), g.integers(2))
        share = g.add("Div", g.cast(g.add("Abs", apart), TensorProto.FLOAT), g.cast(width, TensorProto.FLOAT))
        weights = g.add("Relu", g.add("Sub", g.floats("one", 1), share))
        pixels = g.add("Min", self.block, g.add("Sub", length, g.add("Mul", b, self.block)))
        filled = g.add("Div", g.cast(pixels, TensorProto.FLOAT), g.cast(self.block, TensorProto.FLOAT))
        total = g.add("ReduceSum", g.add("Mul", weights, filled), g.integers(1), keepdims=1)
        return g.add("Div", weights, total)


def _odd(g: "_Graph", index: str) -> str:
    """2·index + 1: the centre of a pixel, in half pixels."""
    return g.add("Add", g.add("Mul", index, g.integers(2)), g.integers(1))


class _Graph:
    """Collects nodes and constants; every method returns the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> str:
        name = f"{PREFIX}{name}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("_".join(("vector", *map(str, values))), np.array(values, np.int64))

    def integer(self, value: int) -> str:
        return self.constant(f"scalar_{value}", np.array(value, np.int64))

    def floats(self, name: str, values: npt.ArrayLike) -> str:
        return self.constant(name, np.asarray(values, np.float32))

    def add(self, op: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"{PREFIX}{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def range(self, length: str) -> str:
        return self.add("Range", self.integer(0), self.add("Squeeze", length), self.integer(1))

    def cast(self, value: str, to: int) -> str:
        return self.add("Cast", value, to=to)

    def model(self, side: int) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "letterbox",
            [value("frame", TensorProto.UINT8, [1, "height", "width", 3])],
            [
                value("image", TensorProto.FLOAT, [1, 3, side, side]),
                value("mask", TensorProto.FLOAT, [1, 1, side, side]),
            ],
            list(self.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
