"""The ONNX rendering of the letterbox contract: any frame in, a network input of one fixed shape out.

The resize is two products with weight matrices, `rows · frame · columns`, both computed inside the graph from the size
of the frame; for the filter `box` the block means replace the frame. The filter `bilinear` gathers pixels instead. All
positions are integers, so a weight is exact to one float division. Every shape behind the padding is static, so a new
frame size compiles the letterbox again, but not the network. No ONNX Resize is used, because OpenVINO ignores its
attribute `antialias` without a warning.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.letterbox.contract import LUMINANCE, LetterboxContract

OPSET = 18
IR_VERSION = 10

TOGETHER = 4
"""Blocks that are summed at once; the frame is padded to a multiple of this number. 4 takes half the time of 1 or 8."""

PREFIX = "letterbox/"
"""Prefix of all names in the letterbox except its inputs and outputs, so that they differ from those of any network."""


def letterbox_model(contract: LetterboxContract) -> onnx.ModelProto:
    """The letterbox as an ONNX model: `frame` → `image` float32 [1, C, S, S] and `mask` float32 [1, 1, S, S].

    `frame` is uint8 [1, height, width, 3] BGR, or [1, height, width] if the contract's `frame` is grey; height and
    width are dynamic. S is the contract's side, C the number of channels of its `colour`.
    """
    g, side = _Graph(), contract.side
    frame, height, width = _seen(g, contract)
    longest = g.add("Max", height, width)
    block = g.integers(1)
    if contract.filter == "box":
        block = g.add("Max", block, g.add("Div", longest, g.integers(side)))
    together = TOGETHER if contract.filter == "box" else 1
    rows = _Axis(g, height, height if contract.is_stretched else longest, block, side)
    columns = _Axis(g, width, width if contract.is_stretched else longest, block, side, together)

    if contract.filter == "bilinear":
        lines = _between_taps(g, _between_taps(g, frame, rows, along=0), columns, along=1)
    else:
        channels = 1 if contract.frame == "grey" else 3
        is_box = contract.filter == "box"
        lines = _block_means(g, frame, rows, columns, channels) if is_box else _pixels(g, frame, rows)
        lines = g.add("MatMul", rows.weights(), lines)
        lines = g.add("Reshape", lines, g.add("Concat", rows.size, columns.blocks, g.integers(channels), axis=0))
    planes = _coloured(g, lines, contract)
    if contract.filter != "bilinear":
        planes = g.add("MatMul", planes, g.add("Transpose", columns.weights(), perm=[1, 0]))
    none = g.integers(0)
    pads = g.add("Concat", none, rows.before, columns.before, none, rows.after, columns.after, axis=0)
    planes = g.add("Pad", planes, pads, g.floats("fill", contract.fill))
    planes = g.add("Reshape", planes, g.integers(1, contract.channels, side, side))
    mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (contract.mean, contract.std))
    scaled = g.add("Mul", planes, g.floats("scale", 1 / (255 * std)))
    g.add("Add", scaled, g.floats("shift", -mean / std), output="image")

    mask = g.add("Mul", g.add("Unsqueeze", rows.mask, g.integers(1)), columns.mask)
    g.add("Reshape", mask, g.integers(1, 1, side, side), output="mask")
    return g.model(contract)


def _seen(g: "_Graph", contract: LetterboxContract) -> tuple[str, str, str]:
    """The inspected part of the frame, uint8 [height, width, channels], and its height and width, int64 [1]."""
    frame, region = "frame", contract.region
    if contract.frame == "grey":
        frame = g.add("Unsqueeze", frame, g.integers(3))
    frame = g.add("Squeeze", frame, g.integers(0))
    if region is None:
        shape = g.add("Shape", frame)
        first, second, third = (g.integers(n) for n in range(3))
        return frame, g.add("Slice", shape, first, second), g.add("Slice", shape, second, third)
    begin, end = g.integers(region.top, region.left), g.integers(region.bottom, region.right)
    frame = g.add("Slice", frame, begin, end, g.integers(0, 1))
    # If the frame does not contain the region, the slice is smaller than this shape, and every runtime raises an error.
    size = g.integers(region.height, region.width, 1 if contract.frame == "grey" else 3)
    return g.add("Reshape", frame, size), g.integers(region.height), g.integers(region.width)


def _pixels(g: "_Graph", frame: str, rows: "_Axis") -> str:
    """The frame as float32 [H, W·channels]."""
    return g.cast(g.add("Reshape", frame, g.add("Concat", rows.blocks, g.integers(-1), axis=0)), TensorProto.FLOAT)


def _block_means(g: "_Graph", frame: str, rows: "_Axis", columns: "_Axis", channels: int) -> str:
    """Means over k×k blocks, float32 [Hb, Wb·channels]; pixels beyond the frame count as 0.

    The sums along the columns are an integer matrix product of the uint8 frame, which is read once, as bytes.
    `TOGETHER` blocks form one row of the product, for which ONNX Runtime's kernel is fastest.
    """
    none, last, values = g.integers(0), g.integers(-1), TOGETHER * channels
    pads = g.add("Concat", none, none, none, rows.missing, columns.missing, none, axis=0)
    rows_of_blocks = g.add("Concat", last, g.add("Mul", columns.block, g.integers(values)), axis=0)
    whole = g.add("Reshape", g.add("Pad", frame, pads), rows_of_blocks)
    lines = g.add("MatMulInteger", whole, _adding_up(g, columns.block, channels))
    lines = g.add("Reshape", lines, g.add("Concat", rows.blocks, rows.block, last, axis=0))
    cells = g.add("ReduceSum", g.cast(lines, TensorProto.FLOAT), g.integers(1), keepdims=0)
    area = g.cast(g.add("Mul", rows.block, columns.block), TensorProto.FLOAT)
    return g.add("Div", cells, area)


def _adding_up(g: "_Graph", block: str, channels: int) -> str:
    """The int8 matrix [TOGETHER·k·channels, TOGETHER·channels] of 0 and 1 that sums each channel of each block."""
    size = TOGETHER * channels
    by_block = np.eye(size, dtype=np.int8).reshape(TOGETHER, 1, channels, size)
    repeats = g.add("Concat", g.integers(1), block, g.integers(1, 1), axis=0)
    return g.add("Reshape", g.add("Tile", g.constant(f"each_{size}", by_block), repeats), g.integers(-1, size))


def _between_taps(g: "_Graph", picture: str, axis: "_Axis", along: int) -> str:
    """Resize one axis of [rows, columns, channels] by the filter `bilinear`, to float32; see `two_taps`."""
    taps = axis.taps()
    low, high = (g.cast(g.add("Gather", picture, at, axis=along), TensorProto.FLOAT) for at in (taps.low, taps.high))
    share = g.add("Unsqueeze", taps.share, g.integers(*range(1, 3 - along)))
    return g.add("Add", low, g.add("Mul", g.add("Sub", high, low), share))


def _coloured(g: "_Graph", lines: str, contract: LetterboxContract) -> str:
    """Convert [rows, columns, channels of the frame] to the network's colours: [channels, rows, columns]."""
    if (contract.frame, contract.colour) == ("bgr", "grey"):
        lines = g.add("MatMul", lines, g.floats("luminance", np.reshape(LUMINANCE[::-1], (3, 1))))
    planes = g.add("Transpose", lines, perm=[2, 0, 1])
    order = {("bgr", "rgb"): (2, 1, 0), ("grey", "rgb"): (0, 0, 0), ("grey", "bgr"): (0, 0, 0)}
    taken = order.get((contract.frame, contract.colour))
    return planes if taken is None else g.add("Gather", planes, g.integers(*taken), axis=0)


class _Taps(NamedTuple):
    """For each pixel of the result its two source pixels, int64 [size], and the share of the second, float32 [size]."""

    low: str
    high: str
    share: str


class _Axis:
    """One axis of the letterbox: `longest` is scaled to `side`, and `length` in proportion.

    All are int64 [1]: `size`, `before` and `after` are pixels of the result; `blocks` is the number of blocks of the
    frame, a multiple of `together`, and `block` their size in pixels; `missing` is the number of pixels beyond the
    frame in the last blocks. `mask` is float32 [S].
    """

    def __init__(self, g: "_Graph", length: str, longest: str, block: str, side: int, together: int = 1) -> None:
        whole, one = g.integers(side), g.integers(1)
        self.size = g.add("Max", one, g.add("Div", g.add("Mul", length, whole), longest))
        self.before = g.add("Div", g.add("Sub", whole, self.size), g.integers(2))
        self.after = g.add("Sub", g.add("Sub", whole, self.size), self.before)
        self.block = block
        unit = g.add("Mul", block, g.integers(together))
        units = g.add("Div", g.add("Sub", g.add("Add", length, unit), one), unit)
        self.blocks = g.add("Mul", units, g.integers(together))
        self.missing = g.add("Sub", g.add("Mul", self.blocks, block), length)
        self.mask = self._mask(g, side)
        self._g, self._length = g, length

    def _mask(self, g: "_Graph", side: int) -> str:
        position = g.add("Sub", g.constant("positions", np.arange(side)), self.before)
        is_inside = g.add("And", g.add("GreaterOrEqual", position, g.integers(0)), g.add("Less", position, self.size))
        return g.cast(is_inside, TensorProto.FLOAT)

    def weights(self) -> str:
        """The weights float32 [size, blocks], as defined by `edge.letterbox.weights.resize_weights`."""
        g, length = self._g, self._length
        i = g.add("Unsqueeze", g.range(self.size), g.integers(1))  # [size, 1]
        b = g.range(self.blocks)
        reach = g.add("Mul", self.size, self.block)
        apart = g.add("Sub", g.add("Mul", _odd(g, b), reach), g.add("Mul", _odd(g, i), length))
        width = g.add("Mul", g.add("Max", reach, length), g.integers(2))
        share = g.add("Div", g.cast(g.add("Abs", apart), TensorProto.FLOAT), g.cast(width, TensorProto.FLOAT))
        weights = g.add("Relu", g.add("Sub", g.floats("one", 1), share))
        pixels = g.add("Min", self.block, g.add("Sub", length, g.add("Mul", b, self.block)))
        pixels = g.add("Max", pixels, g.integers(0))  # 0 for blocks that lie entirely beyond the frame
        filled = g.add("Div", g.cast(pixels, TensorProto.FLOAT), g.cast(self.block, TensorProto.FLOAT))
        total = g.add("ReduceSum", g.add("Mul", weights, filled), g.integers(1), keepdims=1)
        return g.add("Div", weights, total)

    def taps(self) -> _Taps:
        """The source pixels of the filter `bilinear`, as defined by `edge.letterbox.weights.two_taps`."""
        g, none, one = self._g, self._g.integers(0), self._g.integers(1)
        place = g.add("Sub", g.add("Mul", _odd(g, g.range(self.size)), self._length), self.size)
        place, unit = g.add("Max", place, none), g.add("Mul", self.size, g.integers(2))
        low = g.add("Div", place, unit)
        share = g.cast(g.add("Sub", place, g.add("Mul", low, unit)), TensorProto.FLOAT)
        last = g.add("Sub", self._length, one)
        return _Taps(
            low, g.add("Min", g.add("Add", low, one), last), g.add("Div", share, g.cast(unit, TensorProto.FLOAT))
        )


def _odd(g: "_Graph", index: str) -> str:
    """2·index + 1, the centre of a pixel in half pixels."""
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

    def add(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{PREFIX}{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def range(self, length: str) -> str:
        return self.add("Range", self.integer(0), self.add("Squeeze", length), self.integer(1))

    def cast(self, value: str, to: int) -> str:
        return self.add("Cast", value, to=to)

    def model(self, contract: LetterboxContract) -> onnx.ModelProto:
        value, side = helper.make_tensor_value_info, contract.side
        colours = (3,) if contract.frame == "bgr" else ()
        pixels: list[str | int | None] = [1, "height", "width", *colours]
        graph = helper.make_graph(
            self.nodes,
            "letterbox",
            [value("frame", TensorProto.UINT8, pixels)],
            [
                value("image", TensorProto.FLOAT, [1, contract.channels, side, side]),
                value("mask", TensorProto.FLOAT, [1, 1, side, side]),
            ],
            list(self.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
