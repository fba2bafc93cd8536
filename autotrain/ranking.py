"""Which of several runs on the same photographs ranks the validation photographs best, and whether that is certain."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from train.run import Scored, read_scores

DRAWS = 2_000
CONFIDENCE = 0.9

Floats = npt.NDArray[np.float64]


class Validation(NamedTuple):
    """The validation photographs of a run: scores, whether each is bad, and the part of each."""

    scores: Floats
    bad: npt.NDArray[np.bool_]
    parts: npt.NDArray[np.str_]


def validation(run: Path) -> Validation:
    """Those of the run in this folder, sorted by name. Raises RunError."""
    rows: list[Scored] = sorted((one for one in read_scores(run) if one.split == "val"), key=lambda one: one.name)
    return Validation(
        np.array([one.score for one in rows]),
        np.array([one.is_bad for one in rows]),
        np.array([one.part or one.name for one in rows]),
    )


def area(scores: Floats, bad: npt.NDArray[np.bool_]) -> float:
    """The area under the ROC curve, from ranks."""
    positive = int(bad.sum())
    ranks = rankdata(scores)[bad].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * (len(bad) - positive)))


def areas_drawn(runs: Sequence[Validation], draws: int = DRAWS, seed: int = 0) -> Floats:
    """AUROCs float64 [draws, runs] on validation parts drawn anew with replacement, good and bad ones apart, the same
    parts for all runs.
    """
    rng, first = np.random.default_rng(seed), runs[0]
    members = {part: np.flatnonzero(first.parts == part) for part in np.unique(first.parts)}
    kinds = [[part for part in members if first.bad[members[part]].any() == is_bad] for is_bad in (False, True)]
    drawn = np.empty((draws, len(runs)))
    for draw in range(draws):
        parts = [kind[index] for kind in kinds for index in rng.integers(0, len(kind), len(kind))]
        rows = np.concatenate([members[part] for part in parts])
        drawn[draw] = [area(one.scores[rows], first.bad[rows]) for one in runs]
    return drawn


def interval(drawn: Floats) -> tuple[float, float]:
    """The middle CONFIDENCE of the values."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
