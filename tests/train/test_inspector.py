"""The inspector combines three scores: defects at two resolutions, and the distance from good parts."""

import numpy as np
import torch

from train.models import Batch, build_network
from train.models.inspector import Inspector, _weighed

SIDE = 64


def shown(count: int, bad: int, seed: int) -> Batch:
    """Pictures of noise; only the last `bad` ones have a black square."""
    image = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    label = (torch.arange(count) >= count - bad).float()
    image[label == 1, :, 16:48, 16:48] = 0
    return Batch(image, torch.ones(count, 1, SIDE, SIDE), label, torch.zeros(count, 1, SIDE, SIDE))


def made(**options: object) -> Inspector:
    torch.manual_seed(0)
    network = build_network("inspector", {"familiar": 10, **options})
    assert isinstance(network, Inspector)
    return network.eval()


@torch.no_grad()
def test_what_good_parts_never_show_is_rejected_by_a_network_that_never_learnt_a_defect() -> None:
    network = made()
    network.familiarise([shown(40, 0, seed=0)])
    network.calibrate([shown(20, 10, seed=1)])
    fresh = shown(20, 10, seed=2)
    score, _ = network(fresh.image, fresh.mask)
    assert score[10:].min() > 0.5 > score[:10].max()


@torch.no_grad()
def test_without_bad_photographs_the_opinions_keep_their_weights() -> None:
    network = made()
    network.familiarise([shown(20, 0, seed=0)])
    before = network.verdict.weight.clone()
    network.calibrate([shown(10, 0, seed=1)])
    assert torch.equal(network.verdict.weight, before)
    assert before.tolist() == [[0.5, 0.5, 0.0]]


@torch.no_grad()
def test_familiar_is_measured_with_the_encoder_as_it_was_before_training() -> None:
    network = made()
    network.familiarise([shown(20, 0, seed=0)])
    assert network.familiar is not None
    weights = network.encoder.state_dict()
    kept = network.familiar.encoder.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in kept.items())
    for weight in network.encoder.parameters():
        weight.add_(1)
    assert all(torch.equal(value, network.familiar.encoder.state_dict()[key]) for key, value in kept.items())


@torch.no_grad()
def test_inspector_without_familiarity_has_two_opinions() -> None:
    network, batch = made(familiar=0), shown(4, 2, seed=1)
    network.familiarise([batch])
    network.calibrate([batch])
    assert network.verdict.in_features == 2
    assert network(batch.image, batch.mask)[0].shape == (4,)


def test_no_opinion_ever_counts_against_what_it_sees() -> None:
    rng = np.random.default_rng(0)
    bad = np.arange(200) < 60
    sees = bad + 0.5 * rng.standard_normal(200)
    against = rng.standard_normal(200) - bad
    opinions = np.stack([sees, sees + 0.1 * rng.standard_normal(200), against], axis=1)
    weights, _ = _weighed(opinions, bad)
    assert (weights >= 0).all()
    assert weights[2] == 0
    assert weights[:2].sum() > 1
