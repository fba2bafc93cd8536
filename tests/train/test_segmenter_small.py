"""The small segmenter: its score depends only on the frame, its losses on the label and mask of each picture."""

import torch

from train.losses import balanced_bce, dice_loss
from train.models.segmenter_small import SegmenterSmall


def a_frame() -> torch.Tensor:
    frame = torch.zeros(1, 1, 16, 16)
    frame[..., 4:12, :] = 1
    return frame


def test_score_comes_from_the_cells_of_the_frame_alone() -> None:
    torch.manual_seed(0)
    network, frame, logits = SegmenterSmall(), a_frame(), torch.randn(1, 1, 16, 16)
    score = network.image_logit(logits, frame)
    assert torch.equal(score, network.image_logit(logits + 20 * (1 - frame), frame))
    assert network.image_logit(logits + 20 * frame, frame) > score + 10


def test_one_certain_cell_outweighs_a_frame_of_doubtful_ones() -> None:
    network, frame = SegmenterSmall(), torch.ones(1, 1, 80, 80)
    doubtful, certain = torch.full((1, 1, 80, 80), 0.7), torch.full((1, 1, 80, 80), -6.0)
    certain[..., 40, 40] = 3
    assert network.image_logit(certain, frame) > network.image_logit(doubtful, frame)


def map_gradient(truth: torch.Tensor, label: float) -> torch.Tensor:
    """Gradient of the map losses for logits that mark every cell as a defect, most strongly the padding."""
    frame = a_frame()
    logits = (8 - 4 * frame).requires_grad_()
    loss = balanced_bce(logits, truth, frame, torch.tensor([label]), 0.2) + dice_loss(logits, truth, frame)
    return torch.autograd.grad(loss, logits)[0]


def test_padding_teaches_the_map_nothing() -> None:
    truth = torch.zeros(1, 1, 16, 16)
    truth[..., 2:8, 6:8] = 1
    gradient = map_gradient(truth, 1.0)
    assert (gradient[a_frame() == 0] == 0).all()
    assert gradient.abs().sum() > 0


def test_bad_picture_whose_defect_nobody_drew_teaches_the_map_nothing() -> None:
    nowhere = torch.zeros(1, 1, 16, 16)
    assert (map_gradient(nowhere, 1.0) == 0).all()
    assert map_gradient(nowhere, 0.0).abs().sum() > 0


def test_small_and_large_defects_weigh_the_same() -> None:
    frame, logits = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    small, large = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    small[..., :2, :2], large[..., :12, :12] = 1, 1
    losses = [balanced_bce(logits, truth, frame, torch.ones(1), 0.2) for truth in (small, large)]
    torch.testing.assert_close(*losses)
