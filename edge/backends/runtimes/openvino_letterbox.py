"""The letterbox of a fixed frame size, in the operations that OpenVINO's CPU plugin runs fast.

The block mean is a strided convolution of the grey levels as they come, uint8, with int8 weights; it is exact, and runs
as one integer kernel because a FakeQuantize says that the input has 256 levels. The same mean through the operations
of the ONNX graph reads the frame as float32 several times over.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from edge.letterbox.contract import LUMINANCE, LetterboxContract
from edge.letterbox.geometry import Letterbox
from edge.letterbox.weights import block_side, resize_weights, two_taps

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
    """Nodes from `frame` to `image` float32 [1, C, S, S], and the mask float32 [1, 1, S, S].

    `frame` is uint8 [1, H, W, 3], or [1, H, W] where the contract says grey.
    """
    from openvino import opset13 as ops

    box = contract.fit(*shape)
    if contract.region is not None:
        begin, end = (box.frame_top, box.frame_left), (contract.region.bottom, contract.region.right)
        frame = ops.slice(frame, np.array(begin), np.array(end), np.array([1, 1]), np.array([1, 2]))
    resized = _two_taps(frame, box, contract) if contract.filter == "bilinear" else _products(frame, box, contract)
    placed = (box.top, box.bottom), (box.left, box.right)
    mask = np.pad(np.ones((box.height, box.width), np.float32), placed)[None, None]
    mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (contract.mean, contract.std))
    offset = (contract.fill * (1 - mask) / 255 - mean) / std
    scaled = ops.multiply(resized, ops.constant((1 / (255 * std)).astype(np.float32)))
    return ops.add(scaled, ops.constant(offset.astype(np.float32))), mask


def _products(frame: Any, box: Letterbox, contract: LetterboxContract) -> Any:
    """The filters `antialias` and `box`: what the network sees, 0 to 255, with 0 around it, float32 [1, C, S, S]."""
    from openvino import opset13 as ops

    block = block_side(box.frame_height, box.frame_width, contract)
    rows = np.pad(resize_weights(box.frame_height, box.height, block), ((box.top, box.bottom), (0, 0)))
    columns = np.pad(resize_weights(box.frame_width, box.width, block), ((box.left, box.right), (0, 0)))
    levels = _planes(frame, contract)
    low, high = np.float32(0), np.float32(255)
    levels = ops.fake_quantize(levels, low, high, low, high, 256)
    mix = _mix(contract)
    is_order = set(mix.ravel()) <= {0, 1}  # then it is the kernel's business; luminance is no int8
    given = mix if is_order else np.eye(len(mix.T))
    cells = (given[:, :, None, None] * np.full((block, block), _WEIGHT)).astype(np.int8)
    kernel = ops.multiply(ops.convert(ops.constant(cells), np.float32), np.float32(1 / (_WEIGHT * block * block)))
    over = [-box.frame_height % block, -box.frame_width % block]
    means = ops.convolution(levels, kernel, [block] * 2, [0, 0], over, [1, 1])
    means = means if is_order else _mixed(means, mix)
    if (box.frame_height, box.frame_width) == (box.height * block, box.width * block):
        return _surrounded(means, box)  # the fine step would change nothing
    return ops.matmul(ops.matmul(ops.constant(rows), means, False, False), ops.constant(columns), False, True)


def _surrounded(picture: Any, box: Letterbox) -> Any:
    """With 0 where the padding is."""
    from openvino import opset13 as ops

    before, after = np.array([0, 0, box.top, box.left]), np.array([0, 0, box.bottom, box.right])
    return ops.pad(picture, before, after, "constant", np.float32(0))


def _two_taps(frame: Any, box: Letterbox, contract: LetterboxContract) -> Any:
    """The same by the filter `bilinear`."""
    from openvino import opset13 as ops

    picture = frame
    for axis, length, size in ((1, box.frame_height, box.height), (2, box.frame_width, box.width)):
        low, high, share = two_taps(length, size)
        first, second = (ops.convert(ops.gather(picture, at, np.int64(axis)), np.float32) for at in (low, high))
        weight = share.reshape([-1 if n == axis else 1 for n in range(3 if contract.frame == "grey" else 4)])
        picture = ops.add(first, ops.multiply(ops.subtract(second, first), ops.constant(weight)))
    return _surrounded(_mixed(_planes(picture, contract), _mix(contract)), box)


def _planes(frame: Any, contract: LetterboxContract) -> Any:
    """float32 [1, channels of the frame, H, W]."""
    from openvino import opset13 as ops

    levels = ops.convert(frame, np.float32)
    if contract.frame == "grey":
        return ops.unsqueeze(levels, np.array([1]))
    return ops.transpose(levels, np.array([0, 3, 1, 2]))


def _mix(contract: LetterboxContract) -> npt.NDArray[np.float32]:
    """How much of each channel of the frame is in each that the network sees: float32 [C, channels of the frame]."""
    if contract.frame == "grey":
        return np.ones((contract.channels, 1), np.float32)
    mixes = {"rgb": np.eye(3)[::-1], "bgr": np.eye(3), "grey": np.array([LUMINANCE[::-1]])}
    return mixes[contract.colour].astype(np.float32)


def _mixed(planes: Any, mix: npt.NDArray[np.float32]) -> Any:
    """Channels [1, channels of the frame, h, w] as the network sees them: [1, C, h, w]."""
    from openvino import opset13 as ops

    return ops.convolution(planes, ops.constant(mix[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1])
