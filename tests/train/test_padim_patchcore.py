"""PaDiM and PatchCore on one encoder: each counted in deviations of good parts, and put together."""

import pytest
import torch

from train.models import Batch, build_network
from train.models.padim_patchcore import PadimPatchCore

SIDE = 64


def good(count: int, seed: int = 0) -> Batch:
    image = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(count, 1, SIDE, SIDE)
    return Batch(image, mask, torch.zeros(count), torch.zeros_like(mask), torch.ones(count))


def fitted(**options: object) -> PadimPatchCore:
    torch.manual_seed(0)
    network = build_network("padim-patchcore", dict(options))
    assert isinstance(network, PadimPatchCore)
    network.gather(good(8))
    network.conclude()
    network.eval().calibrate([good(5, seed=1), good(3, seed=2)])
    return network


@pytest.mark.parametrize("by", ["mean", "max"])
def test_the_score_is_the_mean_or_the_larger_of_both_in_deviations_of_good_parts(by: str) -> None:
    network, known = fitted(by=by), [good(5, seed=1), good(3, seed=2)]
    with torch.no_grad():
        scores = torch.cat(
            [torch.stack([score for score, _ in network.members(one.image, one.mask)]) for one in known], dim=1
        )
        torch.testing.assert_close(network.score_mean, scores.mean(dim=1))
        strange = good(1, seed=9)
        strange.image[..., 20:40, 20:40] = 5
        each = torch.stack([score for score, _ in network.members(strange.image, strange.mask)])[:, 0]
        z = (each - scores.mean(dim=1)) / scores.std(dim=1).clamp(min=0.005)
        expected = z.mean() if by == "mean" else z.amax()
        score, heat = network(strange.image, strange.mask)
    assert float(score) == pytest.approx(float(0.5 + 0.5 * expected / (1 + expected.abs())), abs=1e-5)
    assert heat.shape == (1, SIDE // 8, SIDE // 8)


def test_bad_photographs_set_no_scale_and_one_good_one_is_none() -> None:
    network = fitted()
    bad = good(4, seed=3)._replace(label=torch.tensor([0.0, 1.0, 0.0, 1.0]))
    network.calibrate([bad])
    only = fitted()
    only.calibrate([Batch(*(part[::2] for part in bad))])
    torch.testing.assert_close(network.score_mean, only.score_mean)
    before = network.score_mean.clone()
    network.calibrate([Batch(*(part[:1] for part in bad))])
    assert torch.equal(network.score_mean, before)


def test_where_padim_counts_no_cell_the_map_is_patchcores() -> None:
    network, batch = fitted(), good(1, seed=4)
    batch.mask[..., :8, :] = 0
    with torch.no_grad():
        _, heat = network(batch.image, batch.mask)
        (_, _), (_, fine) = network.members(batch.image, batch.mask)
    z = network.in_deviations(fine[0, 1], 1)
    torch.testing.assert_close(heat[0, 1], 0.5 + 0.5 * z / (1 + z.abs()))
    assert (heat[0, 0] == 0).all()


def test_both_share_the_weights_of_one_encoder() -> None:
    names = fitted().state_dict().keys()
    assert {name.split(".")[0] for name in names if "_conv" in name} == {"encoder"}
