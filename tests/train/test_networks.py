"""Every network has the common interface: padding has no effect, and both runtimes give PyTorch's scores."""

import copy
import io
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

from edge.errors import RecipeError
from train.models import Batch, Network, build_network, check_side, network_names

SIDES = {
    "autoencoder-bottleneck": 32,
    "autoencoder-gelu": 32,
    "autoencoder-relu": 32,
    "densenet121": 128,
    "inspector": 128,
    "padim": 128,
    "padim-patchcore": 128,
    "patchcore": 64,
    "segmenter-small": 64,
    "unet-autoencoder": 64,
    "unet-resnet34": 64,
}


def network_and_side(name: str) -> tuple[Network, int]:
    network = copy.deepcopy(_network(name))
    torch.manual_seed(0)
    return network, SIDES[name]


@cache
def _network(name: str) -> Network:
    """A network with other statistics than a new one, made once: most of the time of a test here went into that."""
    torch.manual_seed(0)
    network = build_network(name, {})
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    side = SIDES[name]
    shown = Batch(torch.randn(8, 3, side, side), torch.ones(8, 1, side, side), torch.arange(8) % 2, None, None)
    network.eval()
    if network.learns_by == "statistics":
        network.gather(shown)
        network.conclude()
    with torch.no_grad():
        network.familiarise([shown])
        network.eval().calibrate([shown])
    return network


def picture(side: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : side - side // 4 + 3, :] = 1
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed)), mask


def test_every_network_is_tested_here() -> None:
    assert set(network_names()) == set(SIDES)


@pytest.mark.parametrize("name", SIDES)
def test_score_and_map_have_the_promised_shapes(name: str) -> None:
    network, side = network_and_side(name)
    (image, mask), (other, _) = picture(side), picture(side, seed=1)
    score, heat = network(torch.cat([image, other]), torch.cat([mask, mask]))
    assert score.shape == (2,)
    assert score.dtype == torch.float32
    assert heat is not None
    assert heat.shape[0] == 2
    assert heat.dtype == torch.float32
    alone, _ = network(other, mask)
    torch.testing.assert_close(score[1:], alone, rtol=1e-3, atol=1e-4)  # patchcore subtracts large squares
    assert abs(score[0] - score[1]) > 10 * abs(score[1] - alone[0])


@pytest.mark.parametrize("name", SIDES)
def test_what_stands_under_the_padding_never_changes_score_or_map(name: str) -> None:
    network, side = network_and_side(name)
    image, mask = picture(side)
    score, heat = network(image, mask)
    score_with_noise, heat_with_noise = network(image + 1000 * (1 - mask), mask)
    assert torch.equal(score, score_with_noise)
    assert torch.equal(heat, heat_with_noise)
    stride = side // heat.shape[-1]
    outside = torch.nn.functional.max_pool2d(mask, stride)[0] == 0
    assert outside.any()
    assert (heat[outside] == 0).all()


@pytest.mark.parametrize("name", SIDES)
def test_a_change_on_the_frame_does_change_the_score(name: str) -> None:
    network, side = network_and_side(name)
    image, mask = picture(side)
    assert network(image, mask)[0] != network(image + mask, mask)[0]


@pytest.mark.parametrize("name", SIDES)
def test_loss_reaches_every_weight(name: str) -> None:
    network, side = network_and_side(name)
    if network.learns_by == "statistics":
        assert not any(weight.requires_grad for weight in network.parameters())
        return
    image, mask = picture(side)
    truth = torch.zeros_like(mask)
    truth[..., side // 2 : side // 2 + 8, 8:24] = 1
    network.train()
    terms = network.loss(Batch(image, mask, torch.ones(1), truth, torch.ones(1)))
    torch.stack(list(terms.values())).sum().backward()
    learning = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learning.values())
    fixed = {name.split(".")[0] for name, _ in network.named_parameters()} - {name.split(".")[0] for name in learning}
    assert fixed == ({"familiar", "verdict"} if name == "inspector" else set())


@pytest.mark.parametrize("name", ["autoencoder-relu", "densenet121", "unet-autoencoder"])
def test_exported_graph_gives_pytorch_scores_in_both_runtimes(name: str, tmp_path: Path) -> None:
    """The other networks are tested in tests/export/test_stages.py, with the letterbox in the graph."""
    network, side = network_and_side(name)
    image, mask = picture(side)
    wanted = [tensor.detach().numpy() for tensor in network(image, mask)]
    file = tmp_path / "network.onnx"
    program = torch.onnx.export(
        network, (image, mask), dynamo=True, input_names=["image", "mask"], output_names=["score", "map"], verbose=False
    )
    program.save(file)

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    in_onnxruntime = session.run(["score", "map"], {"image": image.numpy(), "mask": mask.numpy()})
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([image.numpy(), mask.numpy()])
    for found in (in_onnxruntime, [results["score"], results["map"]]):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_weights_come_back_without_executing_a_pickle() -> None:
    network, _ = network_and_side("segmenter-small")
    file = io.BytesIO()
    torch.save({"model": network.state_dict()}, file)
    file.seek(0)
    weights = torch.load(file, weights_only=True)["model"]
    build_network("segmenter-small", {}).load_state_dict(weights)


def test_unknown_network_or_option_is_one_clear_line() -> None:
    with pytest.raises(RecipeError, match="no network named 'unet'; there are autoencoder-bottleneck"):
        build_network("unet", {})
    with pytest.raises(RecipeError, match=r"\[model\] segmenter-small has no option 'width'; it has channels"):
        build_network("segmenter-small", {"width": 3})
    with pytest.raises(RecipeError, match=r"\[model\] segmenter-small: channels"):
        build_network("segmenter-small", {"channels": "many"})


@pytest.mark.parametrize(("name", "side"), [("autoencoder-gelu", 33), ("unet-resnet34", 100)])
def test_a_side_that_a_network_cannot_take_is_said_before_anything_is_trained(name: str, side: int) -> None:
    network = build_network(name, {})
    with pytest.raises(RecipeError, match=rf"letterbox\.side = {side}: the network cannot take it .*; try \d+"):
        check_side(network, side)
    assert network.training, "as it was"
    check_side(network, 64)
