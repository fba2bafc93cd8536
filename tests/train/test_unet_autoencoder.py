"""The perceptual autoencoder: λ weighs its losses, spots are only in its input, the loss network is no part of it."""

import pytest
import torch

from edge.letterbox.contract import LetterboxContract
from train.letterbox import normalised
from train.models import Batch, build_network
from train.models.unet_autoencoder import Judge, with_spots


def batch(side: int = 64) -> Batch:
    image, mask = torch.rand(4, 3, side, side), torch.ones(4, 1, side, side)
    mask[..., :16] = 0
    return Batch(image, mask, torch.zeros(4), torch.zeros_like(mask), torch.ones(4))


@pytest.mark.parametrize("judge", ["alexnet", "vgg16", "efficientnet-lite0"])
def test_judge_tells_pictures_apart_and_teaches_the_network_without_belonging_to_it(judge: str) -> None:
    torch.manual_seed(0)
    network = build_network("unet-autoencoder", {"judge": judge})
    assert float(network.judge(batch().image, batch().image)) > 0
    assert float(network.judge(image := batch().image, image)) == 0
    terms = network.loss(batch(), pixels=0.0)
    terms["perceptual"].backward()
    assert network.draw.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in network.judge.network.parameters())
    assert not any("judge" in key for key in network.state_dict())
    assert isinstance(network.judge, Judge)


IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    ("judge", "mean", "std"),
    [("alexnet", *IMAGENET), ("vgg16", *IMAGENET), ("efficientnet-lite0", [127 / 255] * 3, [128 / 255] * 3)],
)
def test_judge_sees_what_its_network_learnt_from_however_the_pictures_are_normalised(
    judge: str, mean: list[float], std: list[float]
) -> None:
    torch.manual_seed(0)
    network = build_network("unet-autoencoder", {"judge": judge})
    first, second = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    wanted = network.judge(*(normalised(image, contract(mean, std)) for image in (first, second)))
    for other in (contract([0.3, 0.4, 0.2], [0.1, 0.12, 0.08]), contract([0.0] * 3, [1.0] * 3)):
        network.normalised_by(other)
        torch.testing.assert_close(network.judge(*(normalised(image, other) for image in (first, second))), wanted)


def contract(mean: list[float], std: list[float]) -> LetterboxContract:
    return LetterboxContract(side=64, mean=tuple(mean), std=tuple(std))


@pytest.mark.parametrize("pixels", [0.0, 0.3, 0.6, 0.8, 1.0])
def test_lambda_weighs_the_two_losses(pixels: float) -> None:
    torch.manual_seed(0)
    network, shown = build_network("unet-autoencoder", {}).eval(), batch()
    half, terms = network.loss(shown, pixels=0.5), network.loss(shown, pixels=pixels)
    torch.testing.assert_close(terms["pixels"], 2 * pixels * half["pixels"])
    if pixels < 1:
        torch.testing.assert_close(terms["perceptual"], 2 * (1 - pixels) * half["perceptual"])
    else:
        assert list(terms) == ["pixels"]


def test_spots_are_white_on_the_frame_and_on_the_share_of_pictures_asked_for() -> None:
    torch.manual_seed(0)
    shown = batch(96)
    clean = shown.image * shown.mask
    assert torch.equal(with_spots(clean, shown.mask, 0.0), clean)
    spotted = with_spots(clean, shown.mask, 1.0)
    changed = (spotted != clean).any(dim=1, keepdim=True)
    assert changed.flatten(1).any(dim=1).all()
    assert (spotted[changed.expand_as(spotted)] == clean.max()).all()
    assert not (changed & (shown.mask == 0)).any()
    image, mask = torch.rand(300, 3, 32, 32), torch.ones(300, 1, 32, 32)
    share = (with_spots(image, mask, 1 / 3) != image).flatten(1).any(dim=1).float().mean()
    assert 0.2 < float(share) < 0.45
