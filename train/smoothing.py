"""A Gaussian filter of a map of cells, without what lies under the padding."""

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_window(sigma: float, reach: int) -> Tensor:
    """A window of deviation `sigma` and radius `reach`, both in cells, [1, 1, 2 reach + 1, 2 reach + 1]; with a sigma
    of 0 it leaves cells as they are.
    """
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * max(sigma, 1e-3) ** 2))
    window = line[:, None] * line
    return (window / window.sum())[None, None]


def smoothed(cells: Tensor, frame: Tensor, window: Tensor, reach: int) -> Tensor:
    """The mean, weighted by the window of radius `reach`, of the cells [N, 1, h, w] in `frame`, which has their shape
    and is 1 where a cell counts, else 0.
    """
    over, of = F.conv2d(cells * frame, window, padding=reach), F.conv2d(frame, window, padding=reach)
    return over / of.clamp(min=1e-6)
