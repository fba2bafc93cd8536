"""PatchCore, a one-class network: how far the patches of a part are from those of good parts, wherever they lie."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.models import Batch, Network
from train.smoothing import gaussian_window, smoothed

STRIDE = 8
"""Input pixels per cell, in each direction."""

STAGES = 5
"""Stages of the encoder: features at strides 8 and 16."""

REACH = 6
"""Radius of the smoothing window in cells."""

CONSTANT = 1e-3
"""A channel whose deviation is a smaller share of the largest one does not count."""

LARGEST = 1_000.0
"""Largest weight of a direction, which float16 has to hold: all distances have one scale, whatever that is."""

LEAST_SHARE = 0.05
"""Smallest value of u, as a share of the root mean square of the bank: a bank of nearly all patches is no scale."""

MOST_PATCHES = 60_000
"""Patches of good parts from which the bank is chosen: a random sample of all."""

QUARTER = 90


class PatchCore(Network):
    """The distance of the features of each cell of 8×8 pixels from the nearest of `bank` patches of good parts.

    It does not matter where in the picture a patch lies, so parts may lie anywhere, and with `turns` at any angle: each
    photograph then is used so many times, turned in equal steps. Nothing is trained. One pass over the good photographs
    gives their features at strides 8 and 16, brought to stride 8 and averaged over 3×3 cells; each channel is
    divided by its deviation, and their `dimensions` principal components are kept. The bank is a core set of them: each
    patch is the one farthest from those before. The map is the distance d to the nearest patch, smoothed over
    `smoothing` cells and expressed as d / (d + u), 0 to 1, with u the largest distance of a patch that was learnt; the
    score is the map's largest value. Only cells whose pixels all lie on the frame count.

    At run time the search is one convolution: of |x|² + |b|² - 2 x·b, what is not x·b is a constant of each patch or of
    each cell. Expects values normalised by `MEAN` and `STD` of `train.backbones.efficientnet_lite`. The side must be a
    multiple of 32. Roth et al., "Towards total recall in industrial anomaly detection", 2022, which takes the k nearest
    patches of a wider network.
    """

    learns_from = "good"
    learns_by = "statistics"
    learnt_sizes = ("centre", "directions", "patches")
    centre: Tensor
    directions: Tensor
    patches: Tensor
    usual: Tensor
    window: Tensor

    def __init__(
        self, *, version: int = 0, bank: int = 1000, dimensions: int = 64, turns: int = 1, smoothing: float = 3.0
    ) -> None:
        super().__init__()
        self.version, self.bank, self.dimensions, self.turns = version, bank, dimensions, turns
        self.encoder = EfficientNetLite(version, classes=0, stages=STAGES).requires_grad_(False)
        self.fine_channels = self.encoder.channels[2]
        self.register_buffer("centre", torch.zeros(0))  # [channels]
        self.register_buffer("directions", torch.zeros(0))  # [dimensions, channels], each divided by its deviation
        self.register_buffer("patches", torch.zeros(0))  # [bank, dimensions]
        self.register_buffer("usual", torch.ones(()))
        self.register_buffer("window", gaussian_window(smoothing, REACH), persistent=False)
        self.seen: list[Tensor] = []
        self.share = 1.0
        """Share of the patches that is sampled; halved whenever they become too many."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/8, S/8]; see Network."""
        return self.judge(self.encoder.in_float32(image * mask), mask)

    def judge(self, maps: Sequence[Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score and map from the encoder's maps."""
        x, frame = self.projected(maps), self.counted(mask)
        nearest = F.conv2d(x, self.patches[:, :, None, None], -self.patches.square().sum(dim=1) / 2).amax(dim=1)
        distance = (x.square().sum(dim=1) - 2 * nearest).clamp(min=0).sqrt()
        distance = smoothed(distance[:, None], frame, self.window, REACH)
        where = (distance / (distance + self.usual) * frame).squeeze(1)
        return where.amax(dim=(1, 2)), where

    def counted(self, mask: Tensor) -> Tensor:
        """The mask of counted cells [N, 1, S/8, S/8]."""
        covered = F.avg_pool2d(mask, STRIDE)
        return (covered >= 0.999 * covered.amax(dim=(2, 3), keepdim=True)).float()

    def projected(self, maps: Sequence[Tensor]) -> Tensor:
        """The principal components of each cell, [N, dimensions, S/8, S/8]."""
        fine, coarse = maps[2:]
        own, directions = self.fine_channels, self.directions[:, :, None, None]
        near, far = _at_stride_8(F.conv2d(fine, directions[:, :own]), F.conv2d(coarse, directions[:, own:]))
        return _averaged(near + far) - (self.directions @ self.centre)[:, None, None]

    def gather(self, batch: Batch) -> None:
        """Sample the features of good photographs, turned each way."""
        for image, mask in self.views(batch):
            self.add(self.encoder.eval().in_float32(image * mask), mask)  # Lightning sets each module's mode

    def views(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures and masks that it learns from a batch: turned each way."""
        for turn in range(self.turns):
            yield _turned(batch.image, batch.mask, 360 * turn / self.turns)

    @torch.no_grad()
    def add(self, maps: Sequence[Tensor], mask: Tensor) -> None:
        """Sample the features of one view."""
        fine, coarse = maps[2:]
        together = _averaged(torch.cat(_at_stride_8(fine, coarse), dim=1))
        cells = together.movedim(1, 3)[self.counted(mask).squeeze(1) > 0]
        self.seen.append(cells[torch.rand(len(cells), device=cells.device) < self.share].cpu())
        while sum(map(len, self.seen)) > 2 * MOST_PATCHES:
            self.share /= 2
            self.seen = [one[torch.rand(len(one)) < 0.5] for one in self.seen]

    @torch.no_grad()
    def conclude(self) -> None:
        """The bank from the sampled features."""
        seen, device = torch.cat(self.seen).double(), self.usual.device
        self.seen, self.share = [], 1.0
        seen = seen[torch.randperm(len(seen))[:MOST_PATCHES]]
        centre, deviation = seen.mean(dim=0), seen.std(dim=0)
        deviation[deviation <= CONSTANT * deviation.amax()] = math.inf  # what never changes tells nothing
        standard = (seen - centre) / deviation
        _, vectors = torch.linalg.eigh(standard.T @ standard)
        directions = vectors[:, -self.dimensions :].T / deviation
        directions *= min(1.0, LARGEST / float(directions.abs().amax()))
        patches, farthest = core_set(((seen - centre) @ directions.T).float(), self.bank)
        self.centre, self.directions = centre.float().to(device), directions.float().to(device)
        least = LEAST_SHARE * patches.square().sum(dim=1).mean().sqrt()
        self.patches, self.usual = patches.to(device), torch.maximum(farthest, least).to(device)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The mean score of good photographs, for comparison only."""
        return {"distance": self(batch.image, batch.mask)[0].mean()}

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder, which is not trained."""
        return self.encoder, f"efficientnet-lite{self.version}"


def _at_stride_8(fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """Maps at strides 8 and 16, both with the cells of the first."""
    return fine, F.interpolate(coarse, scale_factor=2, mode="bilinear")


def _averaged(cells: Tensor) -> Tensor:
    """The mean over 3×3 cells, at the border over those that there are."""
    return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)


def _turned(image: Tensor, mask: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Pictures and masks [N, ·, S, S] turned about their centre; what comes from outside counts as padding."""
    if degrees % QUARTER == 0:
        quarters = int(degrees // QUARTER)
        return image.rot90(quarters, (2, 3)), mask.rot90(quarters, (2, 3))
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = image.new_tensor([[cosine, -sine, 0], [sine, cosine, 0]]).expand(len(image), 2, 3)
    grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
    moved, covered = (F.grid_sample(one, grid, align_corners=False) for one in (image, mask))
    return moved, (covered > 0.999).float()


def core_set(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """At most `count` of the points [M, D], and the largest distance of a point from the nearest of them.

    Each is the point that is farthest from those before; the first is random. Gonzalez, "Clustering to minimize the
    maximum intercluster distance", 1985.
    """
    squares = points.square().sum(dim=1)
    chosen = [int(torch.randint(len(points), ()))]
    apart = torch.full_like(squares, math.inf)
    while True:
        new = chosen[-1]
        apart = torch.minimum(apart, squares + squares[new] - 2 * (points @ points[new]))
        if len(chosen) == min(count, len(points)):
            return points[chosen], apart.amax().clamp(min=1e-6).sqrt()
        chosen.append(int(apart.argmax()))
