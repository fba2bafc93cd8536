"""A Gaussian filter of a map of cells, without what lies under the padding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Smoothing(nn.Module):
    """Filters cells [N, 1, h, w] with deviation `sigma` over a window of radius `reach`, both in cells; a sigma of 0
    leaves them as they are.
    """

    window: Tensor

    def __init__(self, sigma: float, reach: int) -> None:
        super().__init__()
        line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * max(sigma, 1e-3) ** 2))
        window = line[:, None] * line
        self.reach = reach
        self.register_buffer("window", (window / window.sum())[None, None], persistent=False)

    def forward(self, cells: Tensor, frame: Tensor) -> Tensor:
        """The weighted mean of the cells in `frame` [N, 1, h, w], which is 1 where a cell counts, else 0."""
        over, of = (F.conv2d(one, self.window, padding=self.reach) for one in (cells * frame, frame))
        return over / of.clamp(min=1e-6)
