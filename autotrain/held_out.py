"""Validation scores of networks that set weights on the validation photographs: each from weights set on the others."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch

from autotrain.ranking import Floats, Validation, validation
from edge.terminal.progress import Stage
from train.data.photographs import Photograph
from train.data.rendered import Rendered, in_order
from train.run import Run
from train.score import BATCH, score_photographs

FOLDS = 5


def held_out(run: Run, stage: Stage) -> Validation:
    """The validation photographs of a run, as unknown to its network as those of the other recipes are.

    A `calibrated` network has set the weights of its score on just these photographs, and would rank them too well. Of
    such a one the scores are those of copies, each calibrated on the other FOLDS - 1 folds of parts.
    """
    rows = validation(run.path)
    if not run.network.calibrated:
        return rows
    photographs = sorted(run.photographs("val"), key=lambda one: one.name)
    folds = folds_of(rows)
    scores, advance = np.empty(len(photographs)), stage("judging validation photographs held out", len(photographs))
    for fold in range(FOLDS):
        (out,), others = np.nonzero(folds == fold), [photographs[at] for at in np.flatnonzero(folds != fold)]
        if len(out) and others:
            scores[out] = _scores(run, others, [photographs[at] for at in out], advance)
    return rows._replace(scores=scores)


def folds_of(rows: Validation, seed: int = 0) -> np.ndarray:
    """The fold of each photograph, int64 [N]: those of a part in one, good and bad parts each spread evenly."""
    rng, folds = np.random.default_rng(seed), np.zeros(len(rows.scores), np.int64)
    for is_bad in (True, False):
        parts = [part for part in np.unique(rows.parts) if rows.bad[rows.parts == part].any() == is_bad]
        for place, index in enumerate(rng.permutation(len(parts))):
            folds[rows.parts == parts[index]] = place % FOLDS
    return folds


def _scores(
    run: Run, known: Sequence[Photograph], unknown: Sequence[Photograph], advance: Callable[[], None]
) -> Floats:
    network = copy.deepcopy(run.network)
    with torch.no_grad():
        network.calibrate(in_order(Rendered(known, run.contract, exact=True), BATCH))
    return score_photographs(network, run.contract, unknown, advance).astype(np.float64)
