"""Validation scores of networks that set weights on the validation photographs: each from weights set on the others."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from autotrain.ranking import Floats, Validation, validation
from edge.terminal.progress import Stage
from train.data.photographs import Photograph
from train.data.rendered import Rendered, in_order
from train.run import Run
from train.score import BATCH, score_photographs

FOLDS = 5


def held_out(run: Run, stage: Stage) -> Validation:
    """The validation photographs of a run, scored without what its network set on just these photographs.

    A `calibrated` network has set weights of its score on them, and would rank them too well. Of such a one the scores
    are those of copies, each calibrated on the other folds of parts; the weights put them on one scale. With fewer than
    two parts of a class nothing can be held out, and the scores are those of the run. (The epoch that is kept was
    chosen on these photographs in any case.)
    """
    rows = validation(run.path)
    folds = folds_of(rows)
    if not run.network.calibrated or not folds.any():
        return rows
    photographs = sorted(run.photographs("val"), key=lambda one: one.name)
    scores = np.full(len(photographs), np.nan)
    advance = stage("judging validation photographs held out", len(photographs))
    for fold in np.unique(folds):
        (out,), others = np.nonzero(folds == fold), [photographs[at] for at in np.flatnonzero(folds != fold)]
        scores[out] = _scores(run, others, [photographs[at] for at in out], advance)
    return rows._replace(scores=scores)


def folds_of(rows: Validation, seed: int = 0) -> npt.NDArray[np.int64]:
    """The fold of each photograph, int64 [N]: those of a part in one, parts of each class spread evenly over up to
    FOLDS, so that no fold has all parts of a class; all 0 if a class has fewer than two parts.
    """
    rng, folds = np.random.default_rng(seed), np.zeros(len(rows.scores), np.int64)
    classes = [
        [part for part in np.unique(rows.parts) if rows.bad[rows.parts == part].any() == is_bad]
        for is_bad in (True, False)
    ]
    count = min(FOLDS, *map(len, classes))
    for parts in classes if count > 1 else ():
        for place, index in enumerate(rng.permutation(len(parts))):
            folds[rows.parts == parts[index]] = place % count
    return folds


def _scores(
    run: Run, known: Sequence[Photograph], unknown: Sequence[Photograph], advance: Callable[[], None]
) -> Floats:
    network = copy.deepcopy(run.network)
    with torch.no_grad():
        network.calibrate(in_order(Rendered(known, run.contract, exact=True), BATCH))
    return score_photographs(network, run.contract, unknown, advance).astype(np.float64)
