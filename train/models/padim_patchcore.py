"""Two one-class networks judged together: PaDiM and PatchCore by the mean, or the larger, of their scores."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models import Batch, Network
from train.models.padim import Padim
from train.models.patchcore import PatchCore

LEAST = 1e-6
"""Smallest deviation of the scores of good parts."""


class Pair(Network):
    """PaDiM, which knows how good parts look at each place, and PatchCore, which knows how, wherever they lie.

    Each score is counted in deviations from the mean of good validation photographs, which `calibrate` sets; the score
    is their mean, or with `by` max the larger one, brought to 0 to 1 by z / (1 + |z|). The map combines both maps in
    the same way, each in the deviations of its score. It costs what both cost. `turns` is that of PatchCore, `flips`
    that of PaDiM. Expects the normalisation of both, and a side that is a multiple of 32.
    """

    learns_from = "good"
    learns_by = "statistics"
    calibrated = True
    usual: Tensor
    spread: Tensor

    def __init__(
        self, *, by: Literal["mean", "max"] = "mean", version: int = 0, turns: int = 1, flips: bool = True
    ) -> None:
        super().__init__()
        self.by = by
        self.padim, self.patchcore = Padim(version=version, flips=flips), PatchCore(version=version, turns=turns)
        self.patchcore.encoder = self.padim.encoder
        self.register_buffer("usual", torch.zeros(2))
        self.register_buffer("spread", torch.ones(2))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/8, S/8]; see Network."""
        (there, coarse), (anywhere, fine) = self.padim(image, mask), self.patchcore(image, mask)
        coarse = F.interpolate(coarse[:, None], size=fine.shape[-2:], mode="nearest").squeeze(1)
        frame = F.max_pool2d(mask, mask.shape[-1] // fine.shape[-1]).squeeze(1)
        return self._together(there, anywhere), self._together(coarse, fine) * frame

    def _together(self, there: Tensor, anywhere: Tensor) -> Tensor:
        first = (there - self.usual[0]) / self.spread[0]
        second = (anywhere - self.usual[1]) / self.spread[1]
        z = (first + second) / 2 if self.by == "mean" else torch.maximum(first, second)
        return 0.5 + 0.5 * z / (1 + z.abs())

    def gather(self, batch: Batch) -> None:
        """Process good photographs, each network in its own way."""
        self.padim.gather(batch)
        self.patchcore.gather(batch)

    def conclude(self) -> None:
        """Compute both models."""
        self.padim.conclude()
        self.patchcore.conclude()

    @torch.no_grad()
    def calibrate(self, known: Iterable[Batch]) -> None:
        """Set the mean and the deviation of each score on the good ones of these photographs."""
        seen = []
        for batch in known:
            good = batch.label == 0
            if good.any():
                image, mask = batch.image[good], batch.mask[good]
                seen.append(torch.stack([self.padim(image, mask)[0], self.patchcore(image, mask)[0]]))
        scores = torch.cat(seen, dim=1)
        if scores.shape[1] > 1:
            self.usual.copy_(scores.mean(dim=1))
            self.spread.copy_(scores.std(dim=1).clamp(min=LEAST))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The mean score of good photographs, for comparison only."""
        return {"distance": self(batch.image, batch.mask)[0].mean()}

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder, which both share and which is not trained."""
        return self.padim.encoder, f"efficientnet-lite{self.padim.version}"
