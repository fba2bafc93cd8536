"""The inspector, our own supervised network: where the defect is, and whether there is one, fast on a laptop.

Learns from good and bad photographs and from masks at once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.losses import balanced_bce, dice_loss
from train.models import Batch, Network

STRIDE = 2
"""Pixels of the input to one cell of the map, each way: cracks are a few pixels wide."""

COARSE = 32
"""Pixels of the input to one cell of the encoder's last features."""

STAGES = 6
"""Of the encoder; the seventh would be a fifth of all parameters, and sees no finer."""

SHARPNESS = 4.0
"""Of the soft maximum over a map; see `SoftMaximum`."""


class Inspector(Network):
    """EfficientNet-Lite and a U-Net-like decoder of few channels; a map and a score out of two.

    The map is the probability of a defect in each cell of 2×2 pixels. The score is the probability of a bad part: its
    logit is `map_share` of the soft maximum over the map and the rest of the soft maximum over a classifier of the
    encoder's last features, which sees less sharply and further around. The encoder's depthwise kernels stay as
    ImageNet left them unless `learn_depthwise`: their gradient is most of a training step on a CPU, and they are one
    parameter in thirty. `version` is that of EfficientNet-Lite: 0, 1
    or 2. Expects values normalised by `MEAN` and `STD` of `train.backbones.efficientnet_lite`. The side must be a
    multiple of 32. Ronneberger et al., "U-Net", 2015; Tan and Le, "EfficientNet", 2019.
    """

    learns_from = "masks"
    takes_any_size = True

    def __init__(
        self,
        *,
        version: int = 0,
        channels: tuple[int, int, int, int] = (64, 48, 32, 16),
        map_share: float = 0.5,
        learn_depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.version, self.map_share = version, map_share
        self.encoder = EfficientNetLite(version, classes=0, stages=STAGES)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.requires_grad_(learn_depthwise)
        *skips, deepest = self.encoder.channels
        self.narrow = nn.Conv2d(deepest, channels[0], kernel_size=1)
        inputs = (channels[0], *channels[:-1])
        steps = zip(inputs, reversed(skips), channels, strict=True)
        self.decoder = nn.ModuleList(_convolution(below + skip, outputs) for below, skip, outputs in steps)
        self.map_head = nn.Conv2d(channels[-1], 1, kernel_size=3, padding=1)
        self.class_head = nn.Conv2d(deepest, 1, kernel_size=1)
        for head in (self.map_head, self.class_head):
            nn.init.constant_(head.bias, -4.0)  # defects are rare: start by saying so
        self.map_score, self.class_score = SoftMaximum(), SoftMaximum()

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/2, S/2]; see Network."""
        cells, coarse = self.logits(image, mask)
        frame = F.max_pool2d(mask, STRIDE)
        by_map = self.map_score(cells, frame)
        by_class = self.class_score(coarse, F.max_pool2d(mask, COARSE))
        score = (self.map_share * by_map + (1 - self.map_share) * by_class).sigmoid()
        return score, (cells.sigmoid() * frame).squeeze(1)

    def logits(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a defect in cells of 2×2 pixels, [N, 1, S/2, S/2], and of 32×32, [N, 1, S/32, S/32]."""
        *skips, deepest = self.encoder.features(image * mask)
        x = self.narrow(deepest)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.map_head(x), self.class_head(deepest)

    def loss(self, batch: Batch, *, picture: float = 0.5, hardest: float = 0.005) -> dict[str, Tensor]:
        """Balanced cross-entropy and Dice of the map, and `picture` times the cross-entropy of each image score.

        `hardest` is the share of a picture's good cells that count: those most like a defect.
        """
        cells, coarse = self.logits(batch.image, batch.mask)
        frame, truth = F.max_pool2d(batch.mask, STRIDE), F.max_pool2d(batch.truth, STRIDE)
        by_map = self.map_score(cells, frame)
        by_class = self.class_score(coarse, F.max_pool2d(batch.mask, COARSE))
        return {
            "cells": balanced_bce(cells, truth, frame, batch.label, hardest),
            "dice": dice_loss(cells, truth, frame),
            "by_map": picture * F.binary_cross_entropy_with_logits(by_map, batch.label),
            "by_class": picture * F.binary_cross_entropy_with_logits(by_class, batch.label),
        }

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder."""
        return self.encoder, f"efficientnet-lite{self.version}"


class SoftMaximum(nn.Module):
    """One logit a picture from a map of them: nearly the largest on the frame, scaled and shifted as learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, frame: Tensor) -> Tensor:
        """`logits` and `frame` [N, 1, h, w], the latter 0 on the padding → [N]."""
        seen = (logits - 100 * (1 - frame)).flatten(1)
        return self.scale * torch.logsumexp(SHARPNESS * seen, dim=1) / SHARPNESS + self.offset


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
