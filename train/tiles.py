"""Tiles: a network that looks at overlapping squares of a large picture, all inside the exported graph."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract
from train.kind_head import KindHead
from train.models import Batch, Network
from train.recipe import Tiles

GRID = 32
"""Tiles begin at multiples of so many pixels: cells of the maps of all networks of the package fit in."""

EMPTY_TILE_SCORE = -1e30
"""Score of a tile without a pixel of the frame."""


@dataclass(frozen=True)
class Axis:
    """Where tiles of `side` pixels begin along one axis of a picture of `length` pixels."""

    starts: tuple[int, ...]
    side: int
    length: int

    @classmethod
    def covering(cls, begin: int, end: int, length: int, tiles: Tiles) -> "Axis":
        """The fewest tiles over the pixels from `begin` to before `end`, neighbours with `tiles.overlap` or more.

        `length` and `tiles.side` are multiples of GRID, and `tiles.side` is at most `length`.
        """
        side, last = tiles.side, length - tiles.side
        first = min(begin // GRID * GRID, last)
        final = max(first, -(-end // GRID) * GRID - side)
        count = 1 if final == first else 2
        while True:
            places = np.linspace(first, final, count) if count > 1 else np.array([first])
            starts = tuple(int(place) for place in np.round(places / GRID) * GRID)
            if all(after - before <= side - tiles.overlap for before, after in pairwise(starts)):
                return cls(starts, side, length)
            count += 1

    def pixels(self) -> list[int]:
        """The pixels of all tiles, one tile after the other."""
        return [start + place for start in self.starts for place in range(self.side)]

    def assembly(self, cells: int) -> np.ndarray:
        """The matrix float32 [cells of the picture, tiles · `cells`] that puts the maps of the tiles together.

        `cells` is the length of a tile's map. In overlaps it takes the mean of the tiles, each with a weight that falls
        to its edges, where a network sees least of what lies around. Its rows add up to 1, or 0 beyond the tiles.
        """
        stride = self.side // cells
        weights = np.minimum(np.arange(cells), np.arange(cells)[::-1]) + 1.0
        matrix = np.zeros((self.length // stride, len(self.starts) * cells))
        for number, start in enumerate(self.starts):
            rows, columns = start // stride + np.arange(cells), number * cells + np.arange(cells)
            matrix[rows, columns] = weights
        return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-9), np.float32)


class Tiled(Network):
    """`inner` on overlapping tiles of a picture: it sees every pixel of a large part, as it learnt from crops.

    The score is the highest of the tiles. The map is put together from theirs, without seams. Tiles without a pixel of
    the frame count neither for the score nor in training. If the contract has a region, the tiles cover only the part
    of the square in which it lies. Everything has one size: tiles are a gather of rows and of columns, the map is two
    products with constant matrices, and the tiles are one batch of `inner`.

    In training `inner` learns from crops of the tiles' side, by gradients, or from all tiles, by statistics. A tile of
    a bad photograph is bad if its truth shows a defect in it, so bad photographs must have masks. Raises RecipeError
    for a network that `learns_places`, or whose map does not fit.
    """

    def __init__(self, inner: Network, tiles: Tiles, contract: LetterboxContract) -> None:
        super().__init__()
        if inner.learns_places:
            raise RecipeError(
                "[tiles]: this network knows good parts at each place of a picture, and tiles are many places in one; "
                "patchcore knows them wherever they lie"
            )
        self.inner, self.side = inner, tiles.side
        self.learns_from, self.masks_optional = inner.learns_from, inner.masks_optional
        self.learns_by, self.calibrated = inner.learns_by, inner.calibrated
        self.channels, self.source, self.takes_any_size = inner.channels, inner.source, True
        top, left, height, width = 0, 0, contract.side, contract.side
        if contract.region is not None:
            box = contract.fit(contract.region.bottom, contract.region.right)
            top, left, height, width = box.top, box.left, box.height, box.width
        self.rows = Axis.covering(top, top + height, contract.side, tiles)
        self.columns = Axis.covering(left, left + width, contract.side, tiles)

    @property
    def body(self) -> nn.Module:
        """That of the inner network."""
        return self.inner.body

    @property
    def tile_network(self) -> Network:
        """The inner network."""
        return self.inner

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score [N] and map [N, h, w]; see Network. One picture at a time, to limit the memory."""
        score, where, _ = self.judged(image, mask)
        return score, where

    @property
    def tells_kinds(self) -> KindHead | None:
        """That of the inner network."""
        return self.inner.tells_kinds

    def judged(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score [N], map [N, h, w] and the features [N, F] of the tile with the highest score; see Network."""
        each = [self._one(image[one : one + 1], mask[one : one + 1]) for one in range(len(image))]
        score, maps, features = ([one for one in parts if one is not None] for parts in zip(*each, strict=True))
        return torch.cat(score), torch.cat(maps) if maps else None, torch.cat(features) if features else None

    def _one(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        frames = self.cut(mask)
        scores, maps, features = self.inner.judged(self.cut(image), frames)
        scores = torch.where(frames.amax(dim=(1, 2, 3)) > 0, scores, EMPTY_TILE_SCORE)
        score = scores.amax(dim=0, keepdim=True)
        if features is not None:
            features = features.index_select(0, scores.argmax(dim=0, keepdim=True))
        score = score + 0 * scores.sum()  # a maximum may leave out what is not a number
        if maps is None:
            return score, None, features
        if maps.shape[-1] != maps.shape[-2] or GRID * maps.shape[-1] % self.side:
            raise RecipeError(
                f"[tiles]: the map of the network has {maps.shape[-2]}×{maps.shape[-1]} cells on {self.side} pixels; "
                f"{GRID} pixels must be a whole number of cells"
            )
        down, across, cells = len(self.rows.starts), len(self.columns.starts), maps.shape[-1]
        rows, columns = (maps.new_tensor(axis.assembly(cells)) for axis in (self.rows, self.columns))
        laid = maps.reshape(down, across, cells, cells).transpose(1, 2).reshape(1, down * cells, across * cells)
        where = rows @ laid @ columns.T
        return score, where * F.max_pool2d(mask, self.side // cells).squeeze(1), features

    def cut(self, picture: Tensor) -> Tensor:
        """The tiles [tiles, C, side, side] of one picture [1, C, S, S], row by row."""
        rows, columns = (torch.tensor(axis.pixels(), device=picture.device) for axis in (self.rows, self.columns))
        down, across, side = len(self.rows.starts), len(self.columns.starts), self.side
        grid = picture[0].index_select(1, rows).index_select(2, columns).reshape(-1, down, side, across, side)
        return grid.permute(1, 3, 0, 2, 4).reshape(down * across, -1, side, side)

    def batches(self, batch: Batch) -> Iterator[Batch]:
        """The tiles of each picture that show a pixel of the frame, a picture at a time.

        A bad photograph whose truth is empty is left out, because none of its tiles is known to be bad or good.
        """
        count = len(self.rows.starts) * len(self.columns.starts)
        for number in range(len(batch.label)):
            one = Batch(*(part[number : number + 1] for part in batch))
            if one.label.any() and not one.truth.any():
                continue
            tiles = Batch(*(self.cut(part) if part.dim() == 4 else part.expand(count) for part in one))
            tiles = tiles._replace(label=torch.minimum(tiles.truth.amax(dim=(1, 2, 3)), tiles.label))
            seen = tiles.mask.amax(dim=(1, 2, 3)) > 0
            yield Batch(*(part[seen] for part in tiles))

    def loss(self, batch: Batch, **options: object) -> dict[str, Tensor]:
        """The terms of the inner network, of squares of a tile's side; of whole pictures the mean over their tiles."""
        if batch.image.shape[-1] == self.side:
            return self.inner.loss(batch, **options)
        each = [self.inner.loss(tiles, **options) for tiles in self.batches(batch)]
        if not each:
            return {"no_tiles": batch.image.new_zeros(())}
        return {name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]}

    def gather(self, batch: Batch) -> None:
        """Process the tiles of each picture."""
        for tiles in self.batches(batch):
            self.inner.gather(tiles)

    def conclude(self) -> None:
        """Compute the inner network's model."""
        self.inner.conclude()

    def familiarise(self, good: Iterable[Batch]) -> None:
        """Process the tiles of each photograph."""
        self.inner.familiarise(tiles for batch in good for tiles in self.batches(batch))

    def calibrate(self, known: Iterable[Batch]) -> None:
        """Process the tiles of each photograph."""
        self.inner.calibrate(tiles for batch in known for tiles in self.batches(batch))

    def normalised_by(self, contract: LetterboxContract) -> None:
        """Hand the normalisation on."""
        self.inner.normalised_by(contract)

    def pretrained(self) -> tuple[nn.Module, str] | None:
        """That of the inner network."""
        return self.inner.pretrained()
