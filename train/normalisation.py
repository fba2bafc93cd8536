"""The mean and deviation of the training photographs themselves, for a recipe that asks to be normalised by them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from train.data.photographs import Photograph
from train.letterbox import in_order_of, shrunk
from train.recipe import Recipe

Colour = tuple[float, ...]

DECIMALS = 6
"""Of the numbers, so that a training that is resumed on other cores comes to the same ones."""

LEAST_DEVIATION = 1e-3
"""A quarter of a grey level: a channel that never changes stays finite."""


def normalised_by_data(recipe: Recipe, photographs: Sequence[Photograph]) -> Recipe:
    """A recipe that asks for it, with the mean and deviation of these photographs in its letterbox: plain numbers."""
    mean, std = colours(photographs, recipe.letterbox)
    return recipe.model_copy(
        update={
            "letterbox": recipe.letterbox.model_copy(update={"mean": mean, "std": std}),
            "train": recipe.train.model_copy(update={"normalise": "letterbox"}),
        }
    )


def colours(photographs: Sequence[Photograph], contract: LetterboxContract) -> tuple[Colour, Colour]:
    """Mean and deviation of each channel that the network sees, of values in 0..1, over all pixels of the photographs.

    They are letterboxed first; the padding does not count. Raises DataError if a photograph cannot be read.
    """

    def sums(photograph: Photograph) -> torch.Tensor:
        pixels = in_order_of(contract, shrunk(read_photograph(photograph), contract)).double().flatten(1) / 255
        return torch.stack([torch.full_like(pixels[:, 0], pixels.shape[1]), pixels.sum(1), (pixels**2).sum(1)])

    with ThreadPoolExecutor(2) as pool:
        count, first, second = torch.stack(list(pool.map(sums, photographs))).sum(0)
    mean = first / count
    std = (second / count - mean**2).clamp(min=0).sqrt().clamp(min=LEAST_DEVIATION)
    return _plain(mean), _plain(std)


def _plain(values: torch.Tensor) -> Colour:
    return tuple(round(value, DECIMALS) for value in values.tolist())
