"""Two one-class networks on one encoder: PaDiM and PatchCore, judged by the mean, or the larger, of their scores."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models import Batch, Network
from train.models.padim import Padim
from train.models.patchcore import PatchCore

LEAST_DEVIATION = 0.005
"""Smallest deviation of the scores of good parts that counts: rounding must not decide."""


class PadimPatchCore(Network):
    """PaDiM, which knows how good parts look at each place, and PatchCore, which knows how, wherever they lie.

    Each score is counted in deviations from the mean of good validation photographs, which `calibrate` sets from at
    least two; the score is their mean z, or with `by` max the larger one, brought to 0 to 1 by 1/2 + z / 2(1 + |z|).
    The map combines both maps in the same way; where PaDiM does not count a cell, it is that of PatchCore alone. Both
    share one encoder, so one costs little beside the other. `turns` is that of PatchCore, `flips` that of PaDiM.
    Expects the normalisation of both, and a side that is a multiple of 32.
    """

    learns_from = "good"
    learns_by = "statistics"
    learns_places = True
    calibrated = True
    score_mean: Tensor
    score_deviation: Tensor

    def __init__(
        self, *, by: Literal["mean", "max"] = "mean", version: int = 0, turns: int = 1, flips: bool = True
    ) -> None:
        super().__init__()
        self.by, self.version = by, version
        self.padim, self.patchcore = Padim(version=version, flips=flips), PatchCore(version=version, turns=turns)
        self.encoder = self.padim.encoder
        del self.padim.encoder, self.patchcore.encoder
        self.register_buffer("score_mean", torch.zeros(2))
        self.register_buffer("score_deviation", torch.ones(2))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/8, S/8]; see Network."""
        (by_padim, coarse), (by_patchcore, fine) = self.members(image, mask)
        cells = fine.shape[-2:]
        coarse, counted = (
            F.interpolate(one, size=cells, mode="nearest").squeeze(1)
            for one in (coarse[:, None], self.padim.counted(mask))
        )
        first, second = self.in_deviations(coarse, 0), self.in_deviations(fine, 1)
        together = torch.where(counted > 0, self.together(first, second), second)
        score = self.together(self.in_deviations(by_padim, 0), self.in_deviations(by_patchcore, 1))
        return _in_unit(score), _in_unit(together) * self.patchcore.counted(mask).squeeze(1)

    def members(self, image: Tensor, mask: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Score and map of PaDiM, and those of PatchCore."""
        maps = self.encoder.in_float32(image * mask)
        return self.padim.judge(maps, mask), self.patchcore.judge(maps, mask)

    def in_deviations(self, value: Tensor, member: int) -> Tensor:
        """Scores or map of a member, counted in deviations of its scores from their mean."""
        return (value - self.score_mean[member]) / self.score_deviation[member]

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """What counts of two values in deviations."""
        return (first + second) / 2 if self.by == "mean" else torch.maximum(first, second)

    def gather(self, batch: Batch) -> None:
        """Process good photographs, in the views of each member."""
        self.encoder.eval()  # Lightning sets the mode of each module
        for member in (self.padim, self.patchcore):
            for image, mask in member.views(batch):
                member.add(self.encoder.in_float32(image * mask), mask)

    def conclude(self) -> None:
        """Compute both models."""
        self.padim.conclude()
        self.patchcore.conclude()

    @torch.no_grad()
    def calibrate(self, known: Iterable[Batch]) -> None:
        """Set the mean and the deviation of each score on the good ones of these photographs."""
        scores = [torch.zeros(2, 0)]
        for batch in known:
            good = batch.label == 0
            if good.any():
                (first, _), (second, _) = self.members(batch.image[good], batch.mask[good])
                scores.append(torch.stack([first, second]).cpu())
        seen = torch.cat(scores, dim=1)
        if seen.shape[1] > 1:
            self.score_mean.copy_(seen.mean(dim=1))
            self.score_deviation.copy_(seen.std(dim=1).clamp(min=LEAST_DEVIATION))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The mean score of good photographs, for comparison only."""
        return {"distance": self(batch.image, batch.mask)[0].mean()}

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder, which is not trained."""
        return self.encoder, f"efficientnet-lite{self.version}"


def _in_unit(z: Tensor) -> Tensor:
    return 0.5 + 0.5 * z / (1 + z.abs())
