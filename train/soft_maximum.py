"""The soft maximum of a map of logits, by which a segmenter judges a whole picture."""

import torch
from torch import Tensor, nn

SHARPNESS = 4.0
"""Sharpness of the soft maximum over the map: one cell of logit 3 outweighs a frame of 3,600 cells of logit 0.9."""


def soft_maximum(logits: Tensor, frame: Tensor) -> Tensor:
    """The soft maximum of `logits` [N, 1, h, w] over the cells where `frame` [N, 1, h, w] is 1, float32 [N].

    Unlike the maximum its gradient reaches every cell, without which a network that begins with random weights learns
    from single cells that happen to be highest.
    """
    seen = logits - 100 * (1 - frame)
    return torch.logsumexp(SHARPNESS * seen.flatten(1), dim=1) / SHARPNESS


class SoftMaximum(nn.Module):
    """One logit per picture from a map of logits: the soft maximum over the frame, with learnt scale and offset."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, frame: Tensor) -> Tensor:
        """`logits` and `frame` [N, 1, h, w], the latter 0 on the padding → [N]."""
        return self.scale * soft_maximum(logits, frame) + self.offset
