"""Photographs as network inputs, rendered once and kept in memory, and their order in training."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from edge.terminal.progress import SILENT, Stage
from train.data.photographs import Photograph, read_truth
from train.letterbox import letterboxed_truth, placed, shrunk
from train.models import Batch

MEMORY = 6 * 2**30
"""Bytes of rendered pictures to keep; further pictures are rendered at each use."""


class Kept(NamedTuple):
    """A photograph without padding, 0 to 255, and its letterboxed truth (None without a mask)."""

    pixels: Tensor
    truth: Tensor | None


class Rendered(Dataset[Batch]):
    """Letterboxed photographs, each a `Batch` of a single picture without the leading N.

    With `exact`, pictures equal those of `train.letterbox` bit by bit, which scoring needs. Without it, for training,
    they are kept as float16, accurate to a sixteenth of a grey level or better, in half the memory.
    """

    def __init__(self, photographs: Sequence[Photograph], contract: LetterboxContract, exact: bool) -> None:
        self.photographs = photographs
        self.contract = contract
        self.dtype = torch.float32 if exact else torch.float16
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, index: int) -> Batch:
        photograph = self.photographs[index]
        pixels, truth = self._kept.get(index) or self._render(index)
        image, mask = placed(pixels, self.contract)
        return Batch(
            image=image,
            mask=mask,
            label=torch.tensor(float(photograph.is_bad)),
            truth=torch.zeros_like(mask) if truth is None else truth.float(),
            located=torch.tensor(float(truth is not None or not photograph.is_bad)),
        )

    def keep(self, stage: Stage = SILENT.begin) -> "Rendered":
        """Render the pictures that fit into `MEMORY` now, on two threads; returns itself."""
        used, advance = 0, stage("letterboxing photographs", len(self))
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(self), 64):
                indices = range(start, min(start + 64, len(self)))
                for index, kept in zip(indices, pool.map(self._render, indices), strict=True):
                    self._kept[index] = kept
                    used += sum(part.nbytes for part in kept if part is not None)
                    advance()
                if used > MEMORY:
                    break
        return self

    def _render(self, index: int) -> Kept:
        photograph = self.photographs[index]
        pixels = shrunk(read_photograph(photograph), self.contract).to(self.dtype)
        truth = read_truth(photograph)
        return Kept(pixels, None if truth is None else letterboxed_truth(truth, self.contract).bool())


class Shuffled(Sampler[int]):
    """A random order that depends only on the seed and the epoch, so that a resumed training draws the same.

    With `bad_share`, an epoch draws as many photographs as there are, with replacement, bad ones with that probability;
    without it, each photograph once.
    """

    def __init__(self, photographs: Sequence[Photograph], seed: int, bad_share: float | None) -> None:
        self.seed = seed
        self.epoch = 0
        bad = torch.tensor([photograph.is_bad for photograph in photographs])
        self.count = len(bad)
        self.weights: Tensor | None = None
        if bad_share is not None and 0 < bad.sum() < len(bad):
            share = torch.tensor([(1 - bad_share) / (~bad).sum(), bad_share / bad.sum()])
            self.weights = share[bad.long()]

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.weights is None:
            return iter(torch.randperm(self.count, generator=generator).tolist())
        return iter(torch.multinomial(self.weights, self.count, True, generator=generator).tolist())


class Shares(Sampler[list[int]]):
    """The share of each batch that the process `rank` of `count` trains on; together they are `batch` photographs.

    A last batch that is not full is left out, unless one process `takes_all`: a network that learns by statistics sees
    each photograph once, and what it does not see looks bad to it.
    """

    def __init__(self, sampler: Shuffled, batch: int, rank: int = 0, count: int = 1, takes_all: bool = False) -> None:
        self.sampler, self.batch, self.rank, self.count, self.takes_all = sampler, batch, rank, count, takes_all

    def __len__(self) -> int:
        return (len(self.sampler) + (self.batch - 1 if self.takes_all else 0)) // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        order, share = list(self.sampler), self.batch // self.count
        for start in range(0, len(self) * self.batch, self.batch):
            first = start + self.rank * share
            yield order[first : first + share]


def in_order(dataset: Rendered, batch: int) -> DataLoader[Batch]:
    """Every photograph once, in order, for scoring."""
    return DataLoader(dataset, batch_size=batch)
