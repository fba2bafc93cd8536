"""Weights in half the bytes: rounded to float16 before anything is compared, stored so, computed with in float32."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.fx.experimental.optimization import fuse

from edge.errors import EdgeError

LARGEST = 65504.0
"""The largest float16."""

SMALLEST = 1024
"""Values in a tensor that is worth storing in half; a smaller one saves less than its conversion costs."""


class HalfError(EdgeError):
    """A network whose weights cannot be float16; there is no bundle."""


def halved(network: nn.Module) -> nn.Module:
    """A network that computes as `network` does, in evaluation mode, with weights that a float16 can hold.

    Batch normalisation is folded into the convolutions first, as the exporter would do it later: a product of two
    rounded numbers is not a rounded number. Raises HalfError where a weight is too large for a float16.
    """
    try:
        folded = fuse(network.eval())
    except Exception as error:  # torch.fx raises whatever the network raises that it cannot trace
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
    """Store in float16, with a conversion behind it, every large float32 constant that loses nothing by it."""
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
