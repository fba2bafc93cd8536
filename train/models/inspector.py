"""The inspector, this project's supervised network: locates and detects defects, fast on a laptop.

It learns from good and bad photographs, and from masks of all, some or none of the bad ones.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.feature_statistics import FeatureStatistics
from train.kind_head import KindHead, located
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
    """EfficientNet-Lite and a U-Net-like decoder with few channels; a map, and a score from several opinions.

    The map is the probability of a defect in each cell of 2×2 pixels. The score is a logistic regression over up to
    four logits, the probability of a bad part if half of all parts were bad: the soft maximum of the map; that of a
    classifier on the encoder's last features, with coarser resolution and a wider context; the PaDiM distance of
    `familiar` random features from good parts (0: without), which is independent of the kinds of defects and so detects
    new ones too; and with `summary` a classifier of the whole picture by statistics of its features. Their weights are
    set after training, on the validation photographs: Platt, "Probabilistic outputs for support vector machines", 1999.
    The kind of the defect is told where the map shows it, by features as ImageNet left them: those that were learnt
    tell the photographs of the training apart better than others. It has no part in the score.

    A bad photograph with a mask teaches the map where its defect is. One without a mask teaches by its label alone that
    some cell shows a defect, whichever has the highest logit (multiple-instance learning): none of its cells is taught
    to be good. Dietterich et al., "Solving the multiple instance problem with axis-parallel rectangles", 1997.

    `version` is that of EfficientNet-Lite: 0, 1 or 2. Its first `frozen` stages of six keep their ImageNet weights. Its
    depthwise kernels keep them unless `learn_depthwise`: they are 7% of its parameters, and their gradient took a third
    of a training step when measured. `dropout` is the share of features that the classifiers do not see in a step of
    the training. With `coarse_map` the decoder only refines a map of cells of 16×16 pixels, a linear function of the
    encoder's features, which learns from labels in fewer steps than a map that begins at random. Batch normalisation
    keeps its statistics, ImageNet's in the encoder, zero and one in the decoder, with a learnt scale and shift. Expects
    values normalised by `MEAN` and `STD` of `train.backbones.efficientnet_lite`. The side must be a multiple of 32.
    Ronneberger et al., "U-Net", 2015; Tan and Le, "EfficientNet", 2019.
    """

    learns_from = "masks"
    masks_optional = True
    takes_any_size = True
    calibrated = True

    def __init__(
        self,
        *,
        version: int = 0,
        channels: tuple[int, int, int, int] = (64, 48, 32, 16),
        familiar: int = 50,
        learn_depthwise: bool = False,
        frozen: int = 0,
        coarse_map: bool = False,
        summary: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.version = version
        self.encoder = EfficientNetLite(version, classes=0, stages=STAGES)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.requires_grad_(learn_depthwise)
        self.encoder.freeze(frozen)
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
        self.coarse_head = nn.Conv2d(skips[-1], 1, kernel_size=1, bias=False) if coarse_map else None
        if coarse_map:
            nn.init.zeros_(self.map_head.weight)  # the map begins as the coarse one
        self.map_score, self.class_score = SoftMaximum(), SoftMaximum()
        self.familiar = Padim(version=version, dimensions=familiar) if familiar else None
        self.summary = FeatureStatistics(self.encoder.channels[-2:], dropout) if summary else None
        self.dropout = nn.Dropout(dropout)
        self.kind_head = KindHead()
        learnt = [1.0, 1.0, *([0.0] if familiar else []), *([1.0] if summary else [])]
        self.verdict = nn.Linear(len(learnt), 1).requires_grad_(False)
        with torch.no_grad():
            self.verdict.weight.copy_(torch.tensor([learnt]) / sum(learnt))
            self.verdict.bias.zero_()

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/2, S/2]; see Network."""
        score, where, _ = self.judged(image, mask)
        return score, where

    def judged(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score [N], map [N, S/2, S/2] and the features [N, F] for the kind of the defect; see Network."""
        seen = image * mask
        features = self.encoder.features(seen)
        kept = None if self.familiar is None else self.familiar.encoder.in_float32(seen)
        opinions, cells = self._opinions(features, kept, mask)
        score = self.verdict(opinions).squeeze(1).sigmoid()
        where = (cells.sigmoid() * F.max_pool2d(mask, STRIDE)).squeeze(1)
        return score, where, located(features[-3:-1] if kept is None else kept[-2:], cells, mask)

    @property
    def tells_kinds(self) -> KindHead:
        """The head for kinds of defects, which the training sets at its end."""
        return self.kind_head

    def train(self, mode: bool = True) -> "Inspector":
        """As in any module, but batch normalisation never updates its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def opinions(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [N, K] that the score combines, and those of the map [N, 1, S/2, S/2]."""
        seen = image * mask
        kept = None if self.familiar is None else self.familiar.encoder.in_float32(seen)
        return self._opinions(self.encoder.features(seen), kept, mask)

    def _opinions(
        self, features: Sequence[Tensor], kept: Sequence[Tensor] | None, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`kept` are the maps of the encoder of `familiar`, which is as ImageNet left it."""
        learnt, cells = self._learnt_opinions(features, mask)
        by_map, by_class, *by_summary = learnt.values()
        familiar = []
        if self.familiar is not None and kept is not None:
            familiar = [torch.logit(self.familiar.judge(kept, mask)[0], eps=1e-6)]
        return torch.stack([by_map, by_class, *familiar, *by_summary], dim=1), cells

    def learnt_opinions(self, image: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The logits [N] of the opinions that the loss trains, by name, and those of the map [N, 1, S/2, S/2]."""
        return self._learnt_opinions(self.encoder.features(image * mask), mask)

    def _learnt_opinions(self, features: Sequence[Tensor], mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        cells, coarse = self.map_logits(features), self.class_head(self.dropout(features[-1]))
        opinions = {
            "by_map": self.map_score(cells, F.max_pool2d(mask, STRIDE)),
            "by_class": self.class_score(coarse, F.max_pool2d(mask, COARSE)),
        }
        if self.summary is not None:
            opinions["by_summary"] = self.summary(features[-2:], mask)
        return opinions, cells

    def familiarise(self, good: Iterable[Batch]) -> None:
        """Fit PaDiM, and standardise the summary, on the encoder before it is trained."""
        if self.familiar is not None:
            weights = self.encoder.state_dict()
            self.familiar.encoder.load_state_dict({key: weights[key] for key in self.familiar.encoder.state_dict()})
        for batch in good if self.familiar or self.summary else ():
            if self.familiar is not None:
                self.familiar.gather(batch)
            if self.summary is not None:
                self.summary.gather(self.encoder.features(batch.image * batch.mask)[-2:], batch.mask)
        if self.familiar is not None:
            self.familiar.conclude()
        if self.summary is not None:
            self.summary.conclude()

    def calibrate(self, known: Iterable[Batch]) -> None:
        """Set the weights of the opinions; unchanged if one class is absent."""
        batches = [(self.opinions(batch.image, batch.mask)[0], batch.label) for batch in known]
        opinions, bad = (torch.cat(parts).double().numpy() for parts in zip(*batches, strict=True))
        if 0 < bad.sum() < len(bad):
            weights, bias = _weighed(opinions, bad)
            self.verdict.weight.copy_(torch.from_numpy(weights)[None])
            self.verdict.bias.copy_(torch.tensor([bias]))

    def map_logits(self, features: Sequence[Tensor]) -> Tensor:
        """Logits of a defect in cells of 2×2 pixels, [N, 1, S/2, S/2], from the encoder's features."""
        *skips, deepest = features
        x = self.narrow(deepest)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        logits: Tensor = self.map_head(x)
        if self.coarse_head is not None:
            coarse = self.coarse_head(skips[-1])
            logits = logits + F.interpolate(coarse, size=logits.shape[-2:], mode="bilinear")
        return logits

    def loss(self, batch: Batch, *, picture: float = 0.5, hardest: float = 0.005) -> dict[str, Tensor]:
        """Balanced cross-entropy and Dice of the map, and `picture` times the cross-entropy of each image score.

        `hardest` is the fraction of a picture's good cells that count: those most similar to a defect. The cells of a
        bad photograph without a mask count only in the score by the map, a soft maximum whose cross-entropy with the
        label raises them, the highest most.
        """
        opinions, cells = self.learnt_opinions(batch.image, batch.mask)
        frame, truth = F.max_pool2d(batch.mask, STRIDE), F.max_pool2d(batch.truth, STRIDE)
        return {
            "cells": balanced_bce(cells, truth, frame, batch.label, hardest),
            "dice": dice_loss(cells, truth, frame),
            **{
                name: picture * F.binary_cross_entropy_with_logits(logit, batch.label)
                for name, logit in opinions.items()
            },
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
