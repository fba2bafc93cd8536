"""AUROC on the validation photographs, and how certain a difference is."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autotrain.ranking import Validation, area, areas_drawn, interval


def of(scores: list[float], bad: list[int], parts: list[str] | None = None) -> Validation:
    named = parts or [str(index) for index in range(len(scores))]
    return Validation(np.array(scores), np.array(bad, bool), np.array(named))


def test_area_is_that_of_scikit_learn_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, bad = rng.integers(0, 9, 40).astype(float), rng.random(40) < 0.3
        assert area(scores, bad) == pytest.approx(roc_auc_score(bad, scores))


def test_runs_are_compared_on_the_same_parts() -> None:
    rng = np.random.default_rng(0)
    bad = [0] * 60 + [1] * 20
    first = of((rng.normal(0, 1, 80) + np.array(bad)).tolist(), bad)
    shifted = first._replace(scores=first.scores * 2 + 5)
    drawn = areas_drawn([first, shifted], draws=200)
    np.testing.assert_allclose(drawn[:, 0], drawn[:, 1])
    low, high = interval(drawn[:, 0])
    assert low < area(first.scores, first.bad) < high


def test_photographs_of_one_part_are_drawn_together() -> None:
    bad, parts = [0] * 40 + [1] * 40, [str(index // 20) for index in range(80)]
    rng = np.random.default_rng(0)
    of_part = np.repeat([0.0, 1.0, 0.5, 1.5], 20) + rng.normal(0, 0.1, 80)
    alone = areas_drawn([of(of_part.tolist(), bad)], draws=400)[:, 0]
    together = areas_drawn([of(of_part.tolist(), bad, parts)], draws=400)[:, 0]
    assert np.std(together) > 2 * np.std(alone)
