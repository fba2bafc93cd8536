"""PaDiM, this project's one-class network: the distance of each place of a part from good parts at that place."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.models import Batch, Network
from train.smoothing import gaussian_window, smoothed

STRIDE = 16
"""Input pixels per cell, in each direction."""

STAGES = 5
"""Stages of the encoder: features at strides 4, 8 and 16."""

REACH = 2
"""Radius of the smoothing window in cells."""

FLIPS = ((), (2,), (3,), (2, 3))
"""The axes of [N, C, H, W] along which a picture is mirrored: none, vertical, horizontal, both."""


class Padim(Network):
    """One Gaussian per cell of 16×16 pixels over the features of an ImageNet network on good parts.

    Nothing is trained: one pass over the good photographs gives each cell's mean and covariance of `dimensions`
    features drawn at random (with torch's global random numbers). The map is the Mahalanobis distance d to them,
    smoothed over one cell and expressed as d / (d + sqrt(dimensions)), 0 to 1, about 0.5 for a typical good part. The
    score is the map's largest value. Only the cells with the largest coverage by the frame count: padding, and its
    influence on a cell, never does.

    With `flips` every photograph is used four times, mirrored each way: parts may lie in either orientation, and each
    cell gets four times as many samples. A cell covered by few parts borrows from the others: its covariance includes
    `pooled` further pictures with the covariance common to all cells. At run time there is no search, only one product
    with a constant matrix per cell: at a side of 320 the matrices take 16 MB in float32. Expects values normalised by
    `MEAN` and `STD` of `train.backbones.efficientnet_lite`. The side must be a multiple of 32. Defard et al., "PaDiM: a
    patch distribution modeling framework for anomaly detection and localization", 2021.
    """

    learns_from = "good"
    learns_by = "statistics"
    learns_places = True
    learnt_sizes = ("mean", "whitening")
    chosen: Tensor
    mean: Tensor
    whitening: Tensor
    window: Tensor

    def __init__(
        self,
        *,
        version: int = 0,
        dimensions: int = 100,
        flips: bool = True,
        pooled: float = 40.0,
        smoothing: float = 1.0,
    ) -> None:
        super().__init__()
        self.version, self.pooled, self.usual = version, pooled, math.sqrt(dimensions)
        self.turns = FLIPS if flips else FLIPS[:1]
        self.encoder = EfficientNetLite(version, classes=0, stages=STAGES).requires_grad_(False)
        channels = sum(self.encoder.channels[1:])
        chosen = torch.randperm(channels)[:dimensions].sort().values
        self.register_buffer("chosen", chosen)
        self.register_buffer("mean", torch.zeros(0))  # [cells, dimensions]
        self.register_buffer("whitening", torch.zeros(0))  # [cells, dimensions, dimensions]
        self.register_buffer("window", gaussian_window(smoothing, REACH), persistent=False)
        self.sums: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/16, S/16]; see Network."""
        return self.judge(self.encoder.in_float32(image * mask), mask)

    def judge(self, maps: Sequence[Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score and map from the encoder's maps."""
        features, frame = self.features(maps), self.counted(mask)
        apart = features.flatten(2).permute(2, 1, 0) - self.mean[:, :, None]  # [cells, dimensions, N]
        distance = torch.matmul(self.whitening, apart).square().sum(dim=1).sqrt().T.reshape(frame.shape)
        distance = smoothed(distance, frame, self.window, REACH)
        where = distance / (distance + self.usual) * frame
        return where.amax(dim=(1, 2, 3)), where.squeeze(1)

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """The chosen features [N, dimensions, S/16, S/16]."""
        fine, middle, coarse = maps[1:]
        together = torch.cat([F.avg_pool2d(fine, 4), F.avg_pool2d(middle, 2), coarse], dim=1)
        return together[:, self.chosen]

    def counted(self, mask: Tensor) -> Tensor:
        """The mask of counted cells [N, 1, S/16, S/16]."""
        covered = F.avg_pool2d(mask, STRIDE)
        return (covered >= 0.999 * covered.amax(dim=(2, 3), keepdim=True)).float()

    def gather(self, batch: Batch) -> None:
        """Accumulate the features of good photographs, and their products, per cell."""
        for image, mask in self.views(batch):
            self.add(self.encoder.eval().in_float32(image * mask), mask)  # Lightning sets each module's mode

    def views(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures and masks that it learns from a batch: mirrored each way."""
        for axes in self.turns:
            yield batch.image.flip(axes), batch.mask.flip(axes)

    @torch.no_grad()
    def add(self, maps: Sequence[Tensor], mask: Tensor) -> None:
        """Accumulate the features of one view."""
        features, frame = self.features(maps), self.counted(mask)
        x = features.flatten(2).permute(2, 0, 1).double()  # [cells, N, dimensions]
        here = x * frame.flatten(1).T[:, :, None]
        new = (frame.flatten(1).sum(dim=0).double(), here.sum(dim=1), here.transpose(1, 2) @ x)
        sums = self.sums
        self.sums = new if sums is None else (sums[0] + new[0], sums[1] + new[1], sums[2] + new[2])

    @torch.no_grad()
    def conclude(self) -> None:
        """Each cell's Gaussian from the sums: count n, sum s and sum of products Q give Q - s mᵀ - m sᵀ + n m mᵀ."""
        assert self.sums is not None
        count, total, products = self.sums
        self.sums = None
        mean = (total + total.sum(dim=0) / count.sum()) / (count[:, None] + 1)
        crossed = total[:, :, None] * mean[:, None, :]
        scatter = products - crossed - crossed.transpose(1, 2)
        scatter += count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        common = scatter.sum(dim=0) / count.sum()
        covariance = (scatter + self.pooled * common) / (count[:, None, None] + self.pooled)
        covariance += 0.01 * torch.diag(common.diagonal() + 1e-6)
        root = torch.linalg.cholesky(covariance)
        self.mean = mean.float()
        self.whitening = torch.linalg.solve_triangular(root, torch.eye(len(common)).to(root), upper=False).float()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The mean score of good photographs, for comparison only."""
        return {"distance": self(batch.image, batch.mask)[0].mean()}

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder, which is not trained."""
        return self.encoder, f"efficientnet-lite{self.version}"

    @property
    def learnt_side(self) -> int | None:
        """The side of the squares from which it has learnt, the only one that it accepts; None before."""
        return STRIDE * math.isqrt(len(self.mean)) or None
