"""Training batches from photographs: no value is lost by rounding, and picture, mask and truth stay aligned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.letterbox.contract import LetterboxContract
from edge.pictures import read_picture
from train.augment import Augmentation, cropped, reduced
from train.data.photographs import Photograph, list_photographs
from train.data.rendered import Rendered, Shuffled
from train.letterbox import letterboxed
from train.models import Batch
from train.recipe import Augment

MakeData = Callable[..., Path]

CONTRACT = LetterboxContract(side=64, fill=114, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def some_photographs(good: int, bad: int) -> list[Photograph]:
    return [Photograph(Path("x"), f"{i}", "good" if i < good else "bad") for i in range(good + bad)]


def test_exact_rendering_is_the_letterbox_to_the_last_bit(make_data: MakeData) -> None:
    photographs = list_photographs(make_data(train=(2, 2)), "train")
    rendered = Rendered(photographs, CONTRACT, exact=True).keep()
    for photograph, sample in zip(photographs, (rendered[i] for i in range(4)), strict=True):
        image, mask = letterboxed(read_picture(photograph.path), CONTRACT)
        assert torch.equal(sample.image, image)
        assert torch.equal(sample.mask, mask)
        assert sample.label == photograph.is_bad
        assert sample.truth.any() == photograph.is_bad


def test_training_rendering_keeps_a_sixteenth_of_a_grey_level(make_data: MakeData) -> None:
    photographs = list_photographs(make_data(train=(2, 2)), "train")
    exact, kept = (Rendered(photographs, CONTRACT, exact=exact).keep() for exact in (True, False))
    difference = max(float((exact[i].image - kept[i].image).abs().max()) for i in range(4))
    assert 0 < difference * 255 * 0.224 <= 1 / 16 + 1e-4


def test_what_does_not_fit_into_memory_is_rendered_again(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = list_photographs(make_data(train=(2, 1)), "train")
    kept = Rendered(photographs, CONTRACT, exact=True).keep()
    fresh = Rendered(photographs, CONTRACT, exact=True)
    assert all(torch.equal(one, other) for i in range(3) for one, other in zip(kept[i], fresh[i], strict=True))


def test_each_epoch_draws_each_photograph_once_in_an_order_of_its_own() -> None:
    sampler = Shuffled(some_photographs(30, 10), seed=3, bad_share=None)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert sorted(orders[0]) == list(range(40))
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]
    assert list(Shuffled(some_photographs(30, 10), seed=4, bad_share=None)) != orders[0]


def test_bad_share_is_the_share_of_bad_photographs_drawn() -> None:
    sampler = Shuffled(some_photographs(1900, 100), seed=0, bad_share=0.5)
    drawn = list(sampler)
    assert len(drawn) == 2000
    assert np.mean([index >= 1900 for index in drawn]) == pytest.approx(0.5, abs=0.05)


def blotted(count: int = 8, side: int = 64) -> Batch:
    """Grey pictures with one bright blot each; the truth marks exactly the bright pixels."""
    mask = torch.zeros(count, 1, side, side)
    mask[:, :, 8:56] = 1
    truth = torch.zeros_like(mask)
    for index in range(count):
        truth[index, :, 14 + 3 * index : 22 + 3 * index, 10 + 5 * index : 20 + 5 * index] = 1
    levels = (0.3 + 0.6 * truth) * mask + 114 / 255 * (1 - mask)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CONTRACT.mean, CONTRACT.std))
    return Batch((levels.expand(-1, 3, -1, -1) - mean) / std, mask, torch.ones(count), truth, torch.ones(count))


def levels_of(batch: Batch) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CONTRACT.mean, CONTRACT.std))
    return (batch.image * std + mean).mean(1, keepdim=True)


@pytest.mark.parametrize(
    "moves",
    [
        {"flip_horizontal": 1.0},
        {"flip_vertical": 1.0},
        {"rotate_90": 1.0},
        {"rotate": 15},
        {"shift": 0.1},
        {"zoom": 0.2},
        {"enlarge": 10},
    ],
    ids=lambda moves: next(iter(moves)),
)
def test_geometry_moves_picture_mask_and_truth_together(moves: dict[str, float]) -> None:
    torch.manual_seed(0)
    before = blotted()
    after = Augmentation(Augment(**moves), CONTRACT)(before)
    assert not torch.equal(after.truth, before.truth)
    levels = levels_of(after)
    inside = torch.nn.functional.max_pool2d(1 - after.mask, 3, 1, 1) == 0
    bright = (levels > 0.6) & inside
    assert ((bright != (after.truth > 0)) & inside).float().mean() < 0.01
    assert (levels[after.mask == 0] - 114 / 255).abs().max() < 1e-5
    assert set(after.mask.unique().tolist()) <= {0.0, 1.0}
    assert (after.truth <= after.mask).all()


def test_appearance_leaves_mask_truth_and_padding_alone() -> None:
    torch.manual_seed(0)
    before = blotted()
    changes = Augment(brightness=0.3, contrast=0.3, saturation=0.2, hue=0.1, blur=1.0, noise=0.05, erase=1.0)
    after = Augmentation(changes, CONTRACT)(before)
    assert not torch.allclose(after.image, before.image, atol=0.05)
    assert torch.equal(after.mask, before.mask)
    assert torch.equal(after.truth, before.truth)
    padding = before.mask.expand_as(before.image) == 0
    torch.testing.assert_close(after.image[padding], before.image[padding])


def test_no_augmentation_changes_nothing() -> None:
    before = blotted()
    after = Augmentation(Augment(), CONTRACT)(before)
    for one, other in zip(after, before, strict=True):
        torch.testing.assert_close(one, other)


def test_crops_are_labelled_by_the_truth_inside_them() -> None:
    torch.manual_seed(0)
    crops = [cropped(blotted(), 32) for _ in range(20)]
    labels = torch.cat([crop.label for crop in crops])
    inside = torch.cat([crop.truth.flatten(1).amax(1) for crop in crops])
    assert torch.equal(labels, inside)
    assert 0.4 < labels.mean() < 1
    assert crops[0].image.shape == (8, 3, 32, 32)


def test_bad_picture_whose_defect_nobody_drew_stays_bad_in_every_crop() -> None:
    batch = blotted()
    undrawn = batch._replace(truth=torch.zeros_like(batch.truth))
    assert cropped(undrawn, 32).label.all()
    assert not cropped(undrawn._replace(label=torch.zeros(8)), 32).label.any()


def test_reduced_pictures_keep_their_grey_on_average_and_every_cell_of_a_thin_defect() -> None:
    batch = blotted()
    truth = torch.zeros_like(batch.truth)
    truth[:, :, 10:50, 20] = 1
    small = reduced(batch._replace(truth=truth * batch.mask), 32)
    assert small.image.shape == (8, 3, 32, 32)
    torch.testing.assert_close(small.image.mean(), batch.image.mean())
    assert torch.equal(small.mask, small.mask.round())
    whole = (truth * batch.mask).sum() / batch.truth.shape[-1]
    assert small.truth.sum() / 32 >= whole, "a line one pixel wide is one cell wide, not averaged away"
    assert torch.equal(small.label, batch.label)
