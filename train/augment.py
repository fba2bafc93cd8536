"""Augmentation of training pictures: kornia moves picture, mask and ground truth together, a batch at a time."""

import torch
from kornia import augmentation as K
from torch import Tensor, nn
from torch.nn import functional as F

from edge.letterbox.contract import LetterboxContract
from train.letterbox import in_levels, normalised
from train.models import Batch
from train.recipe import Augment


class Augmentation(nn.Module):
    """Augments a batch according to the recipe, with torch's global random numbers.

    Geometry moves image, mask and truth; areas that enter from outside are padding, with the contract's fill and mask
    0. Colour, blur, noise and erasing change only the picture, on values in 0..1, before it is normalised again.
    """

    def __init__(self, recipe: Augment, contract: LetterboxContract) -> None:
        super().__init__()
        self.contract = contract
        moves = _moves(recipe, contract.side)
        self.geometry = K.AugmentationSequential(*moves, data_keys=["input", "mask", "mask"]) if moves else None
        self.appearance = nn.Sequential(*_appearance(recipe))

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """An augmented batch of the same shapes and dtypes."""
        image, mask, truth = in_levels(batch.image, self.contract), batch.mask, batch.truth
        if self.geometry is not None:
            image, mask, truth = self.geometry(image, mask, truth)
            mask, truth = (mask > 0.5).float(), (truth > 0.5).float()
        coloured = image.expand(-1, 3, -1, -1)  # a grey picture is reduced to one channel again below
        image = self.appearance(coloured)[:, : image.shape[1]].clamp(0, 1)
        image = image * mask + self.contract.fill / 255 * (1 - mask)
        return batch._replace(image=normalised(image, self.contract), mask=mask, truth=truth * mask)


def cropped(batch: Batch, side: int) -> Batch:
    """One square of `side` pixels out of each picture, labelled by the truth inside it.

    If a picture has a defect, half of the squares are centred near one of its pixels; the others lie anywhere on the
    frame. A bad picture with an empty truth keeps its label, because the place of its defect is unknown.
    """
    squares = [_square(mask[0], truth[0], side) for mask, truth in zip(batch.mask, batch.truth, strict=True)]
    image, mask, truth = (
        torch.stack([picture[(..., *square)] for picture, square in zip(part, squares, strict=True)])
        for part in (batch.image, batch.mask, batch.truth)
    )
    drawn = batch.truth.flatten(1).amax(1)
    label = torch.where(drawn > 0, truth.flatten(1).amax(1), batch.label)
    return batch._replace(image=image, mask=mask, label=label, truth=truth)


def reduced(batch: Batch, side: int) -> Batch:
    """The pictures reduced to `side` pixels by the average over area; the defect keeps every cell that it touches."""
    image, mask = (F.adaptive_avg_pool2d(part, side) for part in (batch.image, batch.mask))
    mask, truth = (mask > 0.5).float(), F.adaptive_max_pool2d(batch.truth, side)
    return batch._replace(image=image, mask=mask, truth=truth * mask)


def _square(mask: Tensor, truth: Tensor, side: int) -> tuple[slice, slice]:
    places = truth.nonzero() if torch.rand(()) < 0.5 else mask.nonzero()
    if not len(places):
        places = mask.nonzero()
    centre = places[torch.randint(len(places), ())].cpu() + torch.randint(-side // 4, side // 4 + 1, (2,))
    top, left = (int((at - side // 2).clamp(0, size - side)) for at, size in zip(centre, mask.shape, strict=True))
    return slice(top, top + side), slice(left, left + side)


def _moves(recipe: Augment, side: int) -> list[K.GeometricAugmentationBase2D]:
    moves: list[K.GeometricAugmentationBase2D] = []
    if recipe.enlarge:
        moves += [K.Resize((side + recipe.enlarge,) * 2), K.CenterCrop(side)]
    if recipe.flip_horizontal:
        moves.append(K.RandomHorizontalFlip(p=recipe.flip_horizontal))
    if recipe.flip_vertical:
        moves.append(K.RandomVerticalFlip(p=recipe.flip_vertical))
    if recipe.rotate_90:
        moves.append(K.RandomRotation90((1, 3), p=recipe.rotate_90))
    if recipe.rotate or recipe.shift or recipe.zoom:
        moves.append(
            K.RandomAffine(
                degrees=recipe.rotate,
                translate=(recipe.shift, recipe.shift),
                scale=(1 - recipe.zoom, 1 + recipe.zoom),
                p=1.0,
            )
        )
    return moves


def _appearance(recipe: Augment) -> list[nn.Module]:
    changes: list[nn.Module] = []
    jitter = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    if any(jitter):
        changes.append(K.ColorJitter(*jitter, p=1.0))
    if recipe.blur:
        changes.append(K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=recipe.blur))
    if recipe.noise:
        changes.append(K.RandomGaussianNoise(std=recipe.noise, p=1.0))
    if recipe.erase:
        changes.append(K.RandomErasing(p=recipe.erase))
    return changes
