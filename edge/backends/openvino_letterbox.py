"""The letterbox of a fixed frame size, in the operations that OpenVINO's CPU plugin runs fast.

The block mean is a strided convolution of the grey levels as they come, uint8, with int8 weights; it is exact, and runs
as one integer kernel because a FakeQuantize says that the input has 256 levels. The same mean through the operations
of the ONNX graph reads the frame as float32 several times over.
"""

from typing import Any

import numpy as np

from edge.contract import LetterboxContract
from edge.geometry import letterbox
from edge.letterbox_weights import block_side, resize_weights

_WEIGHT = 64
"""Half of the int8 range: two such products of a uint8 cannot saturate the 16-bit sum of CPUs without VNNI."""


def use_fast_letterbox(model: Any, shape: tuple[int, int], contract: LetterboxContract) -> None:
    """Replace the letterbox of `model`, an `openvino.Model` with internal values `image` and `mask`, in place.

    `shape` (height, width) must be that of its input `frame`, already static.
    """
    from openvino import opset13 as ops

    image, mask = fixed_letterbox(model.input("frame").get_node(), shape, contract)
    for name, value in (("image", image), ("mask", ops.constant(mask))):
        found = (o for node in model.get_ordered_ops() for o in node.outputs() if name in o.get_names())
        for reader in [reader for old in found for reader in old.get_target_inputs()]:  # none if nothing reads it
            reader.replace_source_output(value.output(0))
    model.validate_nodes_and_infer_types()


def fixed_letterbox(frame: Any, shape: tuple[int, int], contract: LetterboxContract) -> tuple[Any, Any]:
    """Nodes from `frame` uint8 [1, H, W, 3] to `image` float32 [1, 3, S, S], and the mask float32 [1, 1, S, S]."""
    from openvino import opset13 as ops

    height, width = shape
    box = letterbox(height, width, contract.side, contract.is_stretched)
    block = block_side(height, width, contract)
    placed = (box.top, box.bottom), (box.left, box.right)
    rows = np.pad(resize_weights(height, box.height, block), (placed[0], (0, 0)))
    columns = np.pad(resize_weights(width, box.width, block), (placed[1], (0, 0)))
    mask = np.pad(np.ones((box.height, box.width), np.float32), placed)[None, None]

    levels = ops.transpose(ops.convert(frame, np.float32), np.array([0, 3, 1, 2]))
    low, high = np.float32(0), np.float32(255)
    levels = ops.fake_quantize(levels, low, high, low, high, 256)
    swap = np.zeros((3, 3, block, block), np.int8)  # BGR to RGB on the way
    swap[range(3), [2, 1, 0]] = _WEIGHT
    kernel = ops.multiply(ops.convert(ops.constant(swap), np.float32), np.float32(1 / (_WEIGHT * block * block)))
    means = ops.convolution(levels, kernel, [block] * 2, [0, 0], [-height % block, -width % block], [1, 1])
    resized = ops.matmul(ops.matmul(ops.constant(rows), means, False, False), ops.constant(columns), False, True)

    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (contract.mean, contract.std))
    offset = (contract.fill * (1 - mask) / 255 - mean) / std
    scaled = ops.multiply(resized, ops.constant((1 / (255 * std)).astype(np.float32)))
    return ops.add(scaled, ops.constant(offset.astype(np.float32))), mask
