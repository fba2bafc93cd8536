"""Photographs as the network sees them, rendered once and kept in memory, and the order in which they are drawn."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from train.data.photographs import Photograph, read_truth
from train.letterbox import letterboxed_truth, placed, shrunk
from train.models import Batch

MEMORY = 6 * 2**30
"""Bytes of rendered pictures to keep; the ones beyond are rendered again each time they are needed."""


class Kept(NamedTuple):
    """A photograph without its padding, 0 to 255, and its letterboxed truth (None if there is no mask)."""

    pixels: Tensor
    truth: Tensor | None


class Rendered(Dataset[Batch]):
    """Letterboxed photographs, one `Batch` of a single picture without the leading N.

    With `exact`, pictures are those of `train.letterbox` to the last bit, which is what scoring needs. Without, they
    are kept as float16, that is to a sixteenth of a grey level or better, in half the memory: for training.
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
        )

    def keep(self) -> "Rendered":
        """Render what fits into `MEMORY` now, on two threads; returns itself."""
        used = 0
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(self), 64):
                indices = range(start, min(start + 64, len(self)))
                for index, kept in zip(indices, pool.map(self._render, indices), strict=True):
                    self._kept[index] = kept
                    used += sum(part.nbytes for part in kept if part is not None)
                if used > MEMORY:
                    break
        return self

    def _render(self, index: int) -> Kept:
        photograph = self.photographs[index]
        pixels = shrunk(read_photograph(photograph), self.contract).to(self.dtype)
        truth = read_truth(photograph)
        return Kept(pixels, None if truth is None else letterboxed_truth(truth, self.contract).bool())


class Shuffled(Sampler[int]):
    """A random order that depends on the seed and the epoch alone, so that a resumed training draws the same.

    With `bad_share`, an epoch draws as many photographs as there are, bad ones with that probability, with
    replacement; without, each photograph once.
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


def in_order(dataset: Rendered, batch: int) -> DataLoader[Batch]:
    """Every photograph once, in order: for scoring."""
    return DataLoader(dataset, batch_size=batch)
