"""The inspector, this project's supervised network: locates and detects defects, fast on a laptop.

It learns from good and bad photographs and from masks at once.
"""

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.losses import balanced_bce, dice_loss
from train.models import Batch, Network
from train.models.padim import Padim
from train.soft_maximum import SoftMaximum

STRIDE = 2
"""Input pixels per cell of the map, in each direction: cracks are a few pixels wide."""

COARSE = 32
"""Input pixels per cell of the encoder's last features."""

STAGES = 6
"""Stages of the encoder; the seventh would add a quarter to its parameters without a finer resolution."""


class Inspector(Network):
    """EfficientNet-Lite and a U-Net-like decoder with few channels; a map, and a score from three opinions.

    The map is the probability of a defect in each cell of 2×2 pixels. The score is a logistic regression over three
    logits, the probability of a bad part if half of all parts were bad: the soft maximum of the map; that of a
    classifier on the encoder's last features, with coarser resolution and a wider context; and the PaDiM distance of
    `familiar` random features from good parts (0: without), which is independent of the kinds of defects and so detects
    new ones too. The weights of the three are set after training, on the validation photographs: Platt, "Probabilistic
    outputs for support vector machines", 1999.

    `version` is that of EfficientNet-Lite: 0, 1 or 2. Its depthwise kernels keep their ImageNet values unless
    `learn_depthwise`: they are 7% of its parameters, and their gradient took a third of a training step when measured.
    Batch normalisation keeps its statistics, ImageNet's in the encoder, zero and one in the decoder, with a learnt
    scale and shift. Expects values normalised by `MEAN` and `STD` of `train.backbones.efficientnet_lite`. The side must
    be a multiple of 32. Ronneberger et al., "U-Net", 2015; Tan and Le, "EfficientNet", 2019.
    """

    learns_from = "masks"
    takes_any_size = True
    calibrated = True

    def __init__(
        self,
        *,
        version: int = 0,
        channels: tuple[int, int, int, int] = (64, 48, 32, 16),
        familiar: int = 50,
        learn_depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.version = version
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
            assert head.bias is not None
            nn.init.constant_(head.bias, -4.0)  # a low initial probability, because defects are rare
        self.map_score, self.class_score = SoftMaximum(), SoftMaximum()
        self.familiar = Padim(version=version, dimensions=familiar) if familiar else None
        self.verdict = nn.Linear(3 if familiar else 2, 1).requires_grad_(False)
        with torch.no_grad():
            self.verdict.weight.copy_(torch.tensor([[0.5, 0.5, 0.0][: self.verdict.in_features]]))
            self.verdict.bias.zero_()

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/2, S/2]; see Network."""
        opinions, cells = self.opinions(image, mask)
        return self.verdict(opinions).squeeze(1).sigmoid(), (cells.sigmoid() * F.max_pool2d(mask, STRIDE)).squeeze(1)

    def train(self, mode: bool = True) -> "Inspector":
        """As in any module, but batch normalisation never updates its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def opinions(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [N, 3] that the score combines, and those of the map [N, 1, S/2, S/2]."""
        cells, coarse = self.logits(image, mask)
        logits = [
            self.map_score(cells, F.max_pool2d(mask, STRIDE)),
            self.class_score(coarse, F.max_pool2d(mask, COARSE)),
        ]
        if self.familiar is not None:
            logits.append(torch.logit(self.familiar(image, mask)[0], eps=1e-6))
        return torch.stack(logits, dim=1), cells

    def familiarise(self, good: Iterable[Batch]) -> None:
        """Fit PaDiM on the encoder before it is trained."""
        if self.familiar is None:
            return
        weights = self.encoder.state_dict()
        self.familiar.encoder.load_state_dict({key: weights[key] for key in self.familiar.encoder.state_dict()})
        for batch in good:
            self.familiar.gather(batch)
        self.familiar.conclude()

    def calibrate(self, known: Iterable[Batch]) -> None:
        """Set the weights of the opinions; unchanged if one class is absent."""
        batches = [(self.opinions(batch.image, batch.mask)[0], batch.label) for batch in known]
        opinions, bad = (torch.cat(parts).double().numpy() for parts in zip(*batches, strict=True))
        if 0 < bad.sum() < len(bad):
            weights, bias = _weighed(opinions, bad)
            self.verdict.weight.copy_(torch.from_numpy(weights)[None])
            self.verdict.bias.copy_(torch.tensor([bias]))

    def logits(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a defect in cells of 2×2 pixels, [N, 1, S/2, S/2], and of 32×32, [N, 1, S/32, S/32]."""
        *skips, deepest = self.encoder.features(image * mask)
        x = self.narrow(deepest)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.map_head(x), self.class_head(deepest)

    def loss(self, batch: Batch, *, picture: float = 0.5, hardest: float = 0.005) -> dict[str, Tensor]:
        """Balanced cross-entropy and Dice of the map, and `picture` times the cross-entropy of each image score.

        `hardest` is the fraction of a picture's good cells that count: those most similar to a defect.
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


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _weighed(opinions: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights [K] and bias of a logistic regression over opinions [N, K], as if half of the parts were bad.

    No weight is negative: an opinion that would lower the score for stronger evidence of a defect is left out.
    """
    usual, spread = opinions.mean(axis=0), opinions.std(axis=0) + 1e-6
    weights, asked = np.zeros(opinions.shape[1]), np.arange(opinions.shape[1])
    while len(asked):
        fitted = LogisticRegression(class_weight="balanced").fit(((opinions - usual) / spread)[:, asked], bad)
        found = fitted.coef_[0]
        if (found >= 0).all():
            weights[asked] = found / spread[asked]
            return weights, float(fitted.intercept_[0] - weights @ usual)
        asked = np.delete(asked, found.argmin())
    return weights, 0.0
