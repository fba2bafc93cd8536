"""Losses shared by several networks. Logits and truths are float32 [N, 1, h, w]; `frame` is 0 on padding."""

import torch
from torch import Tensor
from torch.nn import functional as F


def balanced_bce(logits: Tensor, truth: Tensor, frame: Tensor, label: Tensor, hardest: float) -> Tensor:
    """Cross-entropy with equal weights of defect and background in each picture, whatever their areas.

    Of the background only the fraction `hardest` counts, the cells with the highest loss (at least one): a picture is
    judged by its worst cell, and the mean over thousands of easy cells would hide it. A good picture counts only by its
    background; a bad one with an empty `truth` does not count, because the place of its defect is unknown. `label` is
    [N], 1 is bad. Shrivastava et al., "Training region-based object detectors with online hard example mining", 2016.
    """
    losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1)
    defect, background = (truth * frame).flatten(1), ((1 - truth) * frame).flatten(1)
    on_defect = (losses * defect).sum(1) / defect.sum(1).clamp(min=1)
    count = max(1, round(hardest * losses.shape[1]))
    on_background = torch.topk(losses * background, count, dim=1).values.mean(1)
    known = ((label == 0) | (defect.amax(1) > 0)).float()
    return ((on_defect + on_background) * known).sum() / known.sum().clamp(min=1)


def dice_loss(logits: Tensor, truth: Tensor, frame: Tensor) -> Tensor:
    """One minus the soft Dice coefficient, computed per picture with a defect; 0 without any.

    Pooled over the batch, large defects would dominate small ones. Milletari et al., "V-Net", 2016.
    """
    found, truth = (logits.sigmoid() * frame).flatten(1), (truth * frame).flatten(1)
    overlap = 2 * (found * truth).sum(1) + 1
    losses = 1 - overlap / (found.sum(1) + truth.sum(1) + 1)
    bad = truth.amax(1)
    return (losses * bad).sum() / bad.sum().clamp(min=1)
