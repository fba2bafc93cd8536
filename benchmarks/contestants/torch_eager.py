"""PIL's letterbox and a network of this project in eager PyTorch, for contestants. Not a contestant itself."""

from typing import Any

from benchmarks.contestants import Infer, Setup
from benchmarks.host import pil_letterbox
from edge.frame import Frame


def eager(setup: Setup, network: Any, side: int) -> Infer:
    """`network`, a `train.models.Network`, in evaluation mode after a letterbox to `side`."""
    import torch

    from edge.letterbox.geometry import letterbox

    torch.set_num_threads(setup.threads)
    network.eval()
    fit = pil_letterbox(setup.shape, side, setup.mean, setup.std, setup.fill)
    box = letterbox(*setup.shape, side)
    mask = torch.zeros(1, 1, side, side)
    mask[..., box.top : box.top + box.height, box.left : box.left + box.width] = 1

    @torch.inference_mode()
    def infer(frame: Frame) -> float:
        return float(network(torch.from_numpy(fit(frame)), mask)[0])

    return infer
