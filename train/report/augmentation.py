"""RUN/augmentation.png: letterboxed and augmented training photographs, drawn before training starts."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from edge.report.heat import outlined
from train.augment import Augmentation, cropped
from train.data.photographs import Photograph
from train.data.rendered import Rendered
from train.letterbox import in_levels
from train.models import Batch, Network
from train.recipe import Recipe

ROWS = 4
DRAWS = 5
GAP = 8
BETWEEN = 255
"""Grey level between the pictures."""

HEADER = 26
CELL = 176
"""Side of a picture; height of the header line; pixels."""


def write_augmentation(file: Path, recipe: Recipe, photographs: Sequence[Photograph], network: Network) -> None:
    """Draw a few photographs that the network learns from: as taken, letterboxed, and augmented `DRAWS` times.

    The state of the training's random numbers is not changed.
    """
    shown = _few([one for one in photographs if not (network.learns_from == "good" and one.is_bad)])
    crop = recipe.crop if network.learns_by == "gradients" else None
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        augment = Augmentation(recipe.augment, recipe.letterbox)
        rows = [_row(recipe, crop, augment, photograph) for photograph in shown]
    lines = [_spaced(np.concatenate(row, axis=1), axis=0) for row in rows]
    sheet = np.concatenate([_header(), *lines], axis=0)[:-GAP]
    cv2.imencode(".png", sheet)[1].tofile(file)


def _few(photographs: Sequence[Photograph]) -> list[Photograph]:
    classes = [[one for one in photographs if one.is_bad == bad] for bad in (False, True)]
    there = [members for members in classes if members]
    each = ROWS // max(1, len(there))
    return [one for members in there for one in members[:: max(1, len(members) // each)][:each]]


def _header() -> Frame:
    line = np.full((HEADER, (CELL + GAP) * (2 + DRAWS) - GAP, 3), BETWEEN, np.uint8)
    for column, text in enumerate(("as taken", "letterboxed", "augmented")):
        place = column * (CELL + GAP), HEADER - 9
        cv2.putText(line, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (70, 70, 70), 1, cv2.LINE_AA)
    return line


def _row(recipe: Recipe, crop: int | None, augment: Augmentation, photograph: Photograph) -> list[Frame]:
    rendered = Rendered([photograph], recipe.letterbox, exact=True)[0]
    shown = Batch(*(torch.stack([part] * DRAWS) for part in rendered))
    drawn = augment(cropped(shown, crop) if crop else shown)
    pictures = [_fitted(read_photograph(photograph)), _drawn(shown, 0, recipe.letterbox)]
    pictures += [_drawn(drawn, draw, recipe.letterbox) for draw in range(DRAWS)]
    return [_spaced(picture, axis=1) for picture in pictures[:-1]] + [pictures[-1]]


def _drawn(batch: Batch, number: int, contract: LetterboxContract) -> Frame:
    levels = _levels(in_levels(batch.image[number], contract).expand(3, -1, -1))
    picture = _fitted(np.asarray(cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), np.uint8))
    truth = _fitted(_levels(batch.truth[number].expand(3, -1, -1)))[:, :, 0]
    return outlined(picture, truth) if truth.any() else picture


def _levels(image: Tensor) -> Frame:
    return (image * 255).round().clamp(0, 255).byte().numpy().transpose(1, 2, 0).copy()


def _fitted(picture: Frame) -> Frame:
    """The whole picture fitted into a cell, small pictures with visible pixels; the rest of the cell is grey."""
    height, width = picture.shape[:2]
    shrink = CELL / max(height, width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrink < 1 else cv2.INTER_NEAREST)
    cell = np.full((CELL, CELL, 3), BETWEEN, np.uint8)
    top, left = (CELL - size[1]) // 2, (CELL - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell


def _spaced(picture: Frame, axis: int) -> Frame:
    after = [(0, 0), (0, 0), (0, 0)]
    after[axis] = (0, GAP)
    return np.pad(picture, after, constant_values=BETWEEN)
