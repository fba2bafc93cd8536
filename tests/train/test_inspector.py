"""The inspector combines several opinions, and learns from what is known of each photograph."""

from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.feature_statistics import KINDS, statistics
from train.models import Batch, build_network
from train.models.inspector import Inspector, _weighed
from train.weights import start_from

SIDE = 64


def shown(count: int, bad: int, seed: int) -> Batch:
    """Pictures of noise; only the last `bad` ones have a black square."""
    image = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    label = (torch.arange(count) >= count - bad).float()
    image[label == 1, :, 16:48, 16:48] = 0
    mask = torch.ones(count, 1, SIDE, SIDE)
    return Batch(image, mask, label, torch.zeros_like(mask), 1 - label)


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


EVERYTHING = {"frozen": 3, "coarse_map": True, "summary": True, "dropout": 0.2}
"""The options of the recipe for labels."""


def known(located: float, label: float, defect: bool) -> Batch:
    """One noisy picture with padding above; the truth is a square if `defect`."""
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    mask, truth = torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    mask[:, :, :8] = 0
    if defect:
        truth[:, :, 16:32, 16:32] = 1
    return Batch(image, mask, torch.tensor([float(label)]), truth, torch.tensor([float(located)]))


def pull(batch: Batch, **options: object) -> Tensor:
    """The gradient of the loss by the logit of each cell of the map, [h, w]: descent lowers logits where it is > 0."""
    network = made(familiar=0, **options)
    cells: list[Tensor] = []
    map_logits = network.map_logits

    def watched(features: list[Tensor]) -> Tensor:
        cells.append(map_logits(features).detach().requires_grad_())
        return cells[0]

    network.map_logits = watched  # type: ignore[method-assign]
    torch.stack(list(network.loss(batch).values())).sum().backward()
    assert cells[0].grad is not None
    return cells[0].grad[0, 0]


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "for labels"])
def test_no_cell_of_a_bad_photograph_without_a_mask_is_pushed_to_good(options: dict[str, object]) -> None:
    grad = pull(known(0, label=1, defect=False), **options)
    assert (grad <= 0).all()
    assert (grad[4:] < 0).any()
    assert (grad[:4] == 0).all(), "padding shows nothing"


def test_cells_of_a_bad_photograph_are_pushed_to_good_outside_its_mask_and_to_bad_inside() -> None:
    grad = pull(known(1, label=1, defect=True))
    inside = torch.zeros_like(grad, dtype=torch.bool)
    inside[8:16, 8:16] = True
    assert (grad[inside] < 0).all()
    assert (grad[~inside] > 0).any()


def test_no_cell_of_a_good_photograph_is_pushed_to_bad() -> None:
    grad = pull(known(1, label=0, defect=False))
    assert (grad >= 0).all()
    assert (grad[4:] > 0).any()


def test_a_photograph_without_a_mask_adds_nothing_to_the_losses_of_places() -> None:
    network = made(familiar=0)
    marked, unmarked = known(1, label=1, defect=True), known(0, label=1, defect=False)
    alone = network.loss(marked)
    both = network.loss(Batch(*(torch.cat(parts) for parts in zip(marked, unmarked, strict=True))))
    for place in ("cells", "dice"):
        torch.testing.assert_close(both[place], alone[place])
    assert network.loss(unmarked)["cells"] == network.loss(unmarked)["dice"] == 0


def test_frozen_stages_learn_nothing_and_all_other_weights_learn() -> None:
    network = made(familiar=0, **EVERYTHING).train()
    batch = shown(4, 1, seed=0)
    for _ in range(2):  # layers that begin with zeros pass a gradient on from the second step
        network.zero_grad()
        torch.stack(list(network.loss(batch).values())).sum().backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0 if weight.grad is None else 0.01 * weight.grad
    early = ("_conv_stem.", "_bn0.", *(f"_blocks.{index}." for index in range(5)))
    for name, weight in network.encoder.named_parameters():
        learns = not name.startswith(early) and "_depthwise" not in name
        assert (weight.grad is not None) == learns, name
    moved = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    assert all(grad.abs().sum() > 0 for grad in moved.values())
    assert made(familiar=0).encoder._conv_stem.weight.requires_grad


@torch.no_grad()
def test_a_coarse_map_is_what_the_decoder_begins_from() -> None:
    network = made(familiar=0, coarse_map=True)
    features = [torch.randn(1, c, SIDE >> n, SIDE >> n) for n, c in enumerate(network.encoder.channels, start=1)]
    assert network.coarse_head is not None
    smooth = F.interpolate(network.coarse_head(features[-2]), scale_factor=8, mode="bilinear")
    torch.testing.assert_close(network.map_logits(features), smooth - 4)
    assert made(familiar=0).coarse_head is None


def test_statistics_are_of_the_frame_alone() -> None:
    cells = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 8:28] = 1
    found = statistics([cells], mask)
    frame = cells[:, :, 1:].flatten(2)
    mean, deviation, highest, lowest = found.split(3, dim=1)
    assert found.shape == (2, KINDS * 3)
    torch.testing.assert_close(mean, frame.mean(2))
    torch.testing.assert_close(deviation, frame.std(2, unbiased=False))
    torch.testing.assert_close(highest, frame.amax(2))
    torch.testing.assert_close(lowest, frame.amin(2))
    cells[:, :, 0] = 1000
    torch.testing.assert_close(statistics([cells], mask), found)


@torch.no_grad()
def test_the_summary_is_standardised_by_good_parts() -> None:
    network, good = made(familiar=0, **EVERYTHING), shown(16, 0, seed=0)
    start_from(network, "published")
    network.familiarise([Batch(*(part[:8] for part in good)), Batch(*(part[8:] for part in good))])
    assert network.summary is not None
    features = network.encoder.features(good.image * good.mask)[-2:]
    apart = (statistics(features, good.mask) - network.summary.usual) / network.summary.spread
    torch.testing.assert_close(apart.mean(0), torch.zeros(apart.shape[1]), atol=0.01, rtol=0)
    assert 0.9 < float(apart.std(0).median()) <= 1.0


@torch.no_grad()
def test_with_every_option_both_runtimes_give_pytorchs_score_and_map(tmp_path: Path) -> None:
    network = made(**EVERYTHING)
    network.familiarise([shown(12, 0, seed=0)])
    network.calibrate([shown(12, 6, seed=1)])
    torch.nn.init.normal_(network.summary.linear.weight, std=0.1)  # type: ignore[union-attr]
    batch = known(1, label=0, defect=False)
    score, where = network(batch.image, batch.mask)
    noisy = network(batch.image + 100 * (1 - batch.mask), batch.mask)
    assert torch.equal(noisy[0], score)
    assert torch.equal(noisy[1], where)
    assert (where[:, :4] == 0).all()
    file = tmp_path / "network.onnx"
    names = {"input_names": ["image", "mask"], "output_names": ["score", "map"]}
    torch.onnx.export(network, (batch.image, batch.mask), dynamo=True, verbose=False, **names).save(file)
    given = {"image": batch.image.numpy(), "mask": batch.mask.numpy()}
    in_onnxruntime = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, given)
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(list(given.values()))
    for found in (in_onnxruntime, [results["score"], results["map"]]):
        np.testing.assert_allclose(found[0], score.numpy(), atol=1e-4)
        np.testing.assert_allclose(found[1], where.numpy(), atol=1e-4)
