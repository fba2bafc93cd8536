"""Weights in float16, half the bytes: rounded before all comparisons, stored as float16, computed with in float32."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.fx.experimental.optimization import fuse

from edge.errors import EdgeError
from train.tiles import Tiled

LARGEST = 65504.0
"""Largest finite float16."""

SMALLEST = 1024
"""Fewest values of a tensor that is stored as float16. A smaller tensor saves less than its conversion costs."""


class HalfError(EdgeError):
    """The weights of a network cannot be stored as float16. No bundle is written."""


def halved(network: nn.Module) -> nn.Module:
    """A copy of `network` in evaluation mode whose weights are rounded to float16 values.

    Batch normalisation is folded into the convolutions before the rounding. The exporter would fold it afterwards, and
    the product of two rounded numbers is not a float16 value. Raises HalfError if a weight exceeds the largest float16,
    or if the network cannot be traced.
    """
    if any(isinstance(part, Tiled) for part in network.modules()):
        raise HalfError("a network with tiles cannot be rounded to float16: export without --half")
    try:
        folded = fuse(network.eval())
    except Exception as error:  # torch.fx passes on any error of a network that it cannot trace
        reason = str(error).splitlines()[0]
        raise HalfError(f"this network cannot be rounded to float16 ({reason}): export without --half") from None
    with torch.no_grad():
        for weight in folded.state_dict().values():
            if weight.is_floating_point():
                weight.copy_(weight.half().to(weight.dtype))
                if not weight.isfinite().all():
                    raise HalfError(f"a weight is beyond {LARGEST:.0f}, the largest float16: export without --half")
    return folded


def store_half(model: onnx.ModelProto) -> None:
    """Store each large float32 constant as float16, followed by a Cast node, if that loses no precision."""
    casts = []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < SMALLEST or np.abs(values).max() > LARGEST:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f"{name}/float16"))
        casts.append(helper.make_node("Cast", [constant.name], [name], name=f"{name}/cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
