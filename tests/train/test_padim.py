"""PaDiM: one Gaussian per cell over good parts, independent of the batches and without padding."""

import io

import pytest
import torch

from train.models import Batch, build_network
from train.models.padim import Padim

SIDE = 64


def good(count: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    mask = torch.ones(count, 1, SIDE, SIDE)
    return Batch(image, mask, torch.zeros(count), torch.zeros_like(mask), torch.ones(count))


def fitted(*batches: Batch, **options: object) -> Padim:
    torch.manual_seed(0)
    network = build_network("padim", {"dimensions": 10, **options})
    assert isinstance(network, Padim)
    network.train()
    for batch in batches:
        network.gather(batch)
    network.conclude()
    return network.eval()


def test_map_is_the_mahalanobis_distance_of_each_cell() -> None:
    batch = good(60)
    network = fitted(batch, flips=False, pooled=0.0, smoothing=0.0)
    features = network.features(network.encoder.features(batch.image * batch.mask))
    _, where = network(batch.image[:1], batch.mask[:1])
    row, column = 2, 1
    here = features[:, :, row, column].double()
    everywhere = features.permute(0, 2, 3, 1).reshape(-1, 10).double()
    mean = (here.sum(dim=0) + everywhere.mean(dim=0)) / 61
    covariance = (here - mean).T @ (here - mean) / 60
    cells = features.flatten(2).permute(2, 0, 1).double()
    means = (cells.sum(dim=1) + everywhere.mean(dim=0)) / 61
    common = ((cells - means[:, None]) ** 2).mean(dim=(0, 1))
    covariance += 0.01 * torch.diag(common + 1e-6)
    distance = ((here[0] - mean) @ torch.linalg.inv(covariance) @ (here[0] - mean)).sqrt()
    expected = distance / (distance + 10**0.5)
    assert float(where[0, row, column]) == pytest.approx(float(expected), abs=1e-4)


def test_batches_of_any_size_make_the_same_model() -> None:
    whole = good(12)
    parts = [Batch(*(tensor[start : start + 5] for tensor in whole)) for start in (0, 5, 10)]
    once, often = fitted(whole), fitted(*parts)
    torch.testing.assert_close(once.mean, often.mean)
    torch.testing.assert_close(once.whitening, often.whitening, rtol=1e-3, atol=1e-3)


def test_features_are_exact_while_others_learn_in_bfloat16() -> None:
    network, batch = fitted(good(12)), good(1, seed=1)
    seen = batch.image * batch.mask
    exact = network.features(network.encoder.features(seen))
    with torch.autocast("cpu", torch.bfloat16):
        hurried = network.features(network.encoder.in_float32(seen))
        assert torch.equal(fitted(good(12)).whitening, network.whitening)
    assert torch.equal(exact, hurried)


def test_part_that_lies_the_other_way_round_is_as_good() -> None:
    batch = good(12)
    network, plain = fitted(batch), fitted(batch, flips=False)
    for axes in ((2,), (3,), (2, 3)):
        mirrored = Batch(batch.image.flip(axes), *batch[1:])
        torch.testing.assert_close(fitted(mirrored).mean, network.mean)
        assert not torch.allclose(fitted(mirrored, flips=False).mean, plain.mean)


def test_what_good_parts_never_show_scores_higher_than_they_do() -> None:
    network, others = fitted(good(80)), good(4, seed=1)
    marked = others.image.clone()
    marked[:, :, 16:48, 16:48] = 0
    usual, _ = network(others.image, others.mask)
    unusual, where = network(marked, others.mask)
    assert (unusual > usual).all()
    assert (unusual < 1).all()
    assert where[0].argmax() in (5, 6, 9, 10)


def test_model_comes_back_from_its_weights_at_any_side() -> None:
    network, shown = fitted(good(10)), good(1, seed=1)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    again = build_network("padim", {"dimensions": 10})
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.eval()(shown.image, shown.mask)[0], network(shown.image, shown.mask)[0])


def test_frame_thinner_than_a_cell_still_has_a_score() -> None:
    network, shown = fitted(good(10)), good(1, seed=1)
    thin = torch.zeros_like(shown.mask)
    thin[:, :, 31:32] = 1
    score, _ = network(shown.image, thin)
    assert 0 < float(score) < 1


def test_encoder_never_learns_even_where_every_module_is_told_to() -> None:
    torch.manual_seed(0)
    network = build_network("padim", {"dimensions": 10})
    before = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    for module in network.modules():
        module.training = True
    network.gather(good(8))
    network.conclude()
    assert all(torch.equal(value, before[key]) for key, value in network.encoder.state_dict().items())
    assert not any(weight.requires_grad for weight in network.parameters())
