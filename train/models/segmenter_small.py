"""A small fully convolutional segmenter for laptops: locates defects, and derives from that whether there is one."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.losses import balanced_bce, dice_loss
from train.models import Batch, Network
from train.soft_maximum import soft_maximum

STRIDE = 4
"""Input pixels per cell of the map, in each direction."""


class SegmenterSmall(Network):
    """Four strided convolutions with residual blocks down to stride 16, summed up again to stride 4 (after FPN).

    Supervised by masks, from random initialisation. The map is the probability of a defect in each cell of 4×4
    pixels; the score is a probability too, made from the soft maximum of the map's logits over the frame. The side
    must be a multiple of 16. Lin et al., "Feature pyramid networks for object detection", 2017.
    """

    learns_from = "masks"
    takes_any_size = True

    def __init__(self, *, channels: tuple[int, int, int, int] = (16, 24, 48, 64)) -> None:
        super().__init__()
        a, b, c, d = channels
        self.stem = convolution(3, a, stride=2)
        self.fine = nn.Sequential(convolution(a, b, stride=2), Residual(b))
        self.middle = nn.Sequential(convolution(b, c, stride=2), Residual(c))
        self.coarse = nn.Sequential(convolution(c, d, stride=2), Residual(d), Residual(d))
        self.from_coarse = nn.Conv2d(d, b, kernel_size=1)
        self.from_middle = nn.Conv2d(c, b, kernel_size=1)
        self.merge = Residual(b)
        self.head = nn.Conv2d(b, 1, kernel_size=1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -4.0)  # a low initial probability, because defects are rare
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/4, S/4]; see Network."""
        logits, frame = self.logits(image, mask)
        return self.image_logit(logits, frame).sigmoid(), (logits.sigmoid() * frame).squeeze(1)

    def logits(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the map and which of its cells touch the frame (1) or only padding (0): [N, 1, S/4, S/4]."""
        fine = self.fine(self.stem(image * mask))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.from_middle(middle) + _twice(self.from_coarse(coarse))
        return self.head(self.merge(fine + _twice(middle))), F.max_pool2d(mask, STRIDE)

    def image_logit(self, logits: Tensor, frame: Tensor) -> Tensor:
        """One logit per picture, [N]: the soft maximum of the map over the frame, with learnt scale and offset."""
        return self.scale * soft_maximum(logits, frame) + self.offset

    def loss(self, batch: Batch, *, picture: float = 1.0, hardest: float = 0.005) -> dict[str, Tensor]:
        """Balanced cross-entropy and Dice of the map, and `picture` times the cross-entropy of the score.

        `hardest` is the fraction of a picture's good cells that count: those most similar to a defect.
        """
        logits, frame = self.logits(batch.image, batch.mask)
        truth = F.max_pool2d(batch.truth, STRIDE)
        score = F.binary_cross_entropy_with_logits(self.image_logit(logits, frame), batch.label)
        return {
            "cells": balanced_bce(logits, truth, frame, batch.label, hardest),
            "dice": dice_loss(logits, truth, frame),
            "picture": picture * score,
        }


class Residual(nn.Module):
    """Two 3×3 convolutions whose result is added to their input. He et al., 2016."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return F.relu(x + self.norm(self.second(self.first(x))))


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
