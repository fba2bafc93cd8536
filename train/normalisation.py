"""Mean and deviation of the training photographs, for a recipe that is normalised by them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from edge.terminal.progress import SILENT, Stage
from train.data.photographs import Photograph
from train.letterbox import in_order_of, shrunk
from train.recipe import Recipe

Colour = tuple[float, ...]

DECIMALS = 6
"""Decimals of the numbers, so that a training resumed on other CPUs computes the same ones."""

LEAST_DEVIATION = 1e-3
"""A quarter of a grey level: keeps a constant channel finite."""


def normalised_by_data(recipe: Recipe, photographs: Sequence[Photograph], stage: Stage = SILENT.begin) -> Recipe:
    """The recipe with the mean and deviation of these photographs as plain numbers in its letterbox."""
    mean, std = colours(photographs, recipe.letterbox, stage)
    return recipe.model_copy(
        update={
            "letterbox": recipe.letterbox.model_copy(update={"mean": mean, "std": std}),
            "train": recipe.train.model_copy(update={"normalise": "letterbox"}),
        }
    )


def colours(
    photographs: Sequence[Photograph], contract: LetterboxContract, stage: Stage = SILENT.begin
) -> tuple[Colour, Colour]:
    """Mean and deviation of each channel of the network, of values in 0..1, over all pixels of the photographs.

    The photographs are letterboxed first; padding does not count. Raises DataError if one cannot be read.
    """

    def sums(photograph: Photograph) -> torch.Tensor:
        pixels = in_order_of(contract, shrunk(read_photograph(photograph), contract)).double().flatten(1) / 255
        return torch.stack([torch.full_like(pixels[:, 0], pixels.shape[1]), pixels.sum(1), (pixels**2).sum(1)])

    with ThreadPoolExecutor(2) as pool:
        advance, rows = stage("mean and deviation of the photographs", len(photographs)), []
        for row in pool.map(sums, photographs):
            rows.append(row)
            advance()
        count, first, second = torch.stack(rows).sum(0)
    mean = first / count
    std = (second / count - mean**2).clamp(min=0).sqrt().clamp(min=LEAST_DEVIATION)
    return _plain(mean), _plain(std)


def _plain(values: torch.Tensor) -> Colour:
    return tuple(round(value, DECIMALS) for value in values.tolist())
