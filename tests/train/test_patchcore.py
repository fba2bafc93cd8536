"""PatchCore: the distance of each cell from the nearest patch of good parts, wherever that lay."""

import math

import pytest
import torch
from torch.nn import functional as F

from train.backbones.efficientnet_lite import EfficientNetLite
from train.models import Batch, build_network
from train.models.patchcore import PatchCore, core_set

SIDE = 64


def good(count: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    return of(image)


def of(image: torch.Tensor) -> Batch:
    mask = torch.ones(len(image), 1, SIDE, SIDE)
    return Batch(image, mask, torch.zeros(len(image)), torch.zeros_like(mask), torch.ones(len(image)))


def fitted(*batches: Batch, **options: object) -> PatchCore:
    torch.manual_seed(0)
    network = build_network("patchcore", {"dimensions": 10, "bank": 50, "smoothing": 0.0, **options})
    assert isinstance(network, PatchCore)
    network.train()
    for batch in batches:
        network.gather(batch)
    network.conclude()
    return network.eval()


def cells(network: PatchCore, image: torch.Tensor) -> torch.Tensor:
    """Standardised features of each cell, [h * w, channels], from the definition."""
    fine, coarse = network.encoder.features(image)[2:]
    stacked = torch.cat([fine, F.interpolate(coarse, scale_factor=2, mode="bilinear")], dim=1)
    return F.avg_pool2d(stacked, 3, 1, 1, count_include_pad=False)[0].flatten(1).T


def test_map_is_the_distance_to_the_nearest_patch_of_the_bank() -> None:
    network, strange = fitted(good(6)), good(1, seed=7)
    score, where = network(strange.image, strange.mask)
    projected = (cells(network, strange.image) - network.centre) @ network.directions.T
    distance = torch.cdist(projected, network.patches).amin(dim=1).reshape(SIDE // 8, SIDE // 8)
    torch.testing.assert_close(where[0], distance / (distance + network.usual), rtol=1e-3, atol=1e-4)
    assert float(score) == pytest.approx(float(where.max()))


def test_distances_are_those_of_channels_divided_by_their_deviation() -> None:
    network, batch = fitted(good(6), dimensions=152), good(6)
    learnt = torch.cat([cells(network, image[None]) for image in batch.image])
    projected = (learnt - network.centre) @ network.directions.T
    deviation = learnt.std(dim=0)
    counts = deviation > 1e-3 * deviation.max()
    standard = ((learnt - learnt.mean(dim=0)) / deviation)[:, counts]
    ratio = torch.cdist(projected[:20], projected[20:40]) / torch.cdist(standard[:20], standard[20:40])
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=0.02, atol=0)


def test_no_patch_that_was_learnt_is_farther_than_the_usual_distance() -> None:
    batch = good(6)
    network = fitted(batch)
    _, where = network(batch.image, batch.mask)
    assert float(where.max()) == pytest.approx(0.5, abs=1e-3)


def marked(place: int) -> torch.Tensor:
    """A plain picture with a white square whose left edge is at `place`."""
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, :, 24:40, place : place + 16] = 1
    return image


def maps_of(place: int, pattern: int) -> list[torch.Tensor]:
    """Maps of the encoder: plain but for a pattern of 4×4 cells at this place."""
    noise = torch.Generator().manual_seed(pattern)
    fine, coarse = torch.zeros(1, 40, 16, 16), torch.zeros(1, 112, 8, 8)
    fine[:, :, 6:10, place : place + 4] = torch.randn(1, 40, 4, 4, generator=noise)
    coarse[:, :, 3:5, place // 2 : place // 2 + 2] = torch.randn(1, 112, 2, 2, generator=noise)
    return [fine, coarse]


def test_a_pattern_that_was_learnt_is_known_at_another_place_and_a_strange_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, mask = maps_of(4, pattern=1), torch.ones(1, 1, 128, 128)
    monkeypatch.setattr(EfficientNetLite, "in_float32", lambda self, image: [None, None, *shown])
    network = fitted(of(torch.zeros(1, 3, SIDE, SIDE))._replace(image=torch.zeros(1, 3, 128, 128), mask=mask), bank=60)
    known, _ = network(torch.zeros(1), mask)
    shown = maps_of(8, pattern=1)
    elsewhere, _ = network(torch.zeros(1), mask)
    shown = maps_of(8, pattern=2)
    strange, _ = network(torch.zeros(1), mask)
    torch.testing.assert_close(elsewhere, known, atol=0.05, rtol=0)
    assert float(strange) > float(elsewhere) + 0.3


def test_with_turns_a_turned_part_is_known() -> None:
    image = marked(8)
    turned = image.rot90(1, (2, 3))
    mask = torch.ones(1, 1, SIDE, SIDE)
    still, turning = fitted(of(image), bank=64), fitted(of(image), bank=256, turns=4)
    assert float(turning(turned, mask)[0]) < 0.5 < float(still(turned, mask)[0])


def test_turns_between_quarters_leave_out_what_comes_from_outside() -> None:
    network = fitted(of(marked(24)), turns=8)
    assert torch.isfinite(network.patches).all()
    assert torch.isfinite(network(marked(24), torch.ones(1, 1, SIDE, SIDE))[0]).all()


def test_padding_is_neither_learnt_nor_judged() -> None:
    batch = good(6)
    mask = batch.mask.clone()
    mask[:, :, :, 32:] = 0
    half = batch._replace(mask=mask)
    network = fitted(half)
    _, where = network(half.image, mask)
    assert float(where[:, :, 4:].max()) == 0
    noise = half.image.clone()
    noise[:, :, :, 32:] += torch.rand(6, 3, SIDE, 32)
    torch.testing.assert_close(network(noise, mask)[0], network(half.image, mask)[0])


def test_many_patches_are_sampled_evenly_from_all_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.models.patchcore.MOST_PATCHES", 100)
    network = build_network("patchcore", {"dimensions": 10, "bank": 50})
    assert isinstance(network, PatchCore)
    for number in range(20):
        network.gather(of(torch.full((1, 3, SIDE, SIDE), number / 20.0)))
    assert network.share == pytest.approx(2 / 16, rel=0.51)
    per_photograph = [len(one) for one in network.seen]
    assert sum(per_photograph) <= 200
    assert min(per_photograph[:10]) >= 0
    assert abs(sum(per_photograph[:10]) - sum(per_photograph[10:])) < 60


@pytest.mark.parametrize("count", [1, 3, 40, 99])
def test_a_core_set_takes_the_farthest_point_each_time(count: int) -> None:
    torch.manual_seed(0)
    points = torch.rand(40, 5)
    chosen, farthest = core_set(points, count)
    assert len(chosen) == min(count, 40)
    assert len(chosen.unique(dim=0)) == len(chosen)
    assert float(torch.cdist(points, chosen).amin(dim=1).max()) == pytest.approx(float(farthest), abs=2e-3)
    for index in range(1, len(chosen)):
        apart = torch.cdist(points, chosen[:index]).amin(dim=1)
        assert float(torch.cdist(chosen[index : index + 1], chosen[:index]).amin()) == pytest.approx(
            float(apart.max()), abs=1e-3
        )


def test_a_bank_of_a_single_grey_picture_is_finite() -> None:
    network = fitted(of(torch.full((4, 3, SIDE, SIDE), 0.5)))
    score, where = network(torch.rand(1, 3, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE))
    assert math.isfinite(float(score))
    assert torch.isfinite(where).all()
