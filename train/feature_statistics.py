"""A classifier of whole pictures by statistics of their features, which learns quickly from few labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = 4
"""Statistics of each channel."""

OUTSIDE = 1e4
"""What padding is lower than any feature, and higher, so that it is never the extreme of a channel."""


LEAST_SPREAD = 0.01
"""Spread added to each statistic, of the mean spread: keeps one that is the same for all good pictures finite."""


class FeatureStatistics(nn.Module):
    """One logit per picture from the mean, deviation, highest and lowest value of each channel of several feature maps.

    A local defect moves the extremes, an extended one the mean and the deviation. The statistics are standardised by
    those of good pictures, which `gather` and `conclude` compute; a linear layer with `dropout` judges them. Padding
    has no effect.
    """

    usual: Tensor
    spread: Tensor

    def __init__(self, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        size = KINDS * sum(channels)
        self.register_buffer("usual", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(size, 1)
        nn.init.zeros_(self.linear.weight)  # no opinion before training
        nn.init.zeros_(self.linear.bias)
        self.gathered: list[Tensor] = []

    def forward(self, maps: Sequence[Tensor], mask: Tensor) -> Tensor:
        """`maps` [N, C, S/s, S/s] with strides s that divide S, `mask` [N, 1, S, S] of 0 and 1 → [N]."""
        apart = (statistics(maps, mask) - self.usual) / self.spread
        logit: Tensor = self.linear(self.dropout(apart))
        return logit.squeeze(1)

    def gather(self, maps: Sequence[Tensor], mask: Tensor) -> None:
        """Process good pictures."""
        self.gathered.append(statistics(maps, mask))

    def conclude(self) -> None:
        """Standardise by the pictures that were gathered; unchanged if there were fewer than two."""
        found = torch.cat(self.gathered) if self.gathered else torch.zeros(0, len(self.usual))
        self.gathered.clear()
        if len(found) > 1:
            self.usual.copy_(found.mean(dim=0))
            spread = found.std(dim=0)
            self.spread.copy_(spread + LEAST_SPREAD * spread.mean() + 1e-9)


def statistics(maps: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean, deviation, highest and lowest value of each channel over the cells that touch the frame, [N, 4 × ΣC].

    Always in float32: in bfloat16 a deviation would be mostly rounding.
    """
    with torch.autocast(mask.device.type, enabled=False):
        return torch.cat([_of_map(one.float(), mask) for one in maps], dim=1)


def _of_map(cells: Tensor, mask: Tensor) -> Tensor:
    frame = F.max_pool2d(mask, mask.shape[-1] // cells.shape[-1])
    count = frame.sum(dim=(2, 3))
    mean = (cells * frame).sum(dim=(2, 3)) / count
    variance = ((cells - mean[:, :, None, None]).square() * frame).sum(dim=(2, 3)) / count
    outside = OUTSIDE * (1 - frame)
    highest, lowest = (cells * frame - outside).amax(dim=(2, 3)), (cells * frame + outside).amin(dim=(2, 3))
    return torch.cat([mean, (variance + 1e-6).sqrt(), highest, lowest], dim=1)
