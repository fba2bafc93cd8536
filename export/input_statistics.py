"""Statistics of a network's training photographs, for the bundle: see `edge.bundle.input_statistics`."""

from collections.abc import Callable, Sequence
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from edge.bundle import GoodScores
from edge.bundle.input_distance import InputDistance
from edge.bundle.input_statistics import InputStatistics
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import Photograph, read_photograph
from edge.pictures.features import FEATURES, RESOLUTION, FeatureExtractor
from edge.terminal.progress import Stage

Floats = npt.NDArray[np.float64]

FEWEST = 20
"""Fewest training photographs, and fewest held-out photographs, for statistics."""

SHARE_BEYOND = 0.01
"""Expected share of further pictures of the same line beyond the limit, or 1 / (n + 1) if there are n < 99 held-out
photographs."""

LEAST_LIMIT = sqrt(len(FEATURES))
"""Smallest limit: the distance of a picture that differs in every feature by one standard deviation. Without it, equal
training photographs would put every other picture beyond the limit."""


def input_statistics(
    contract: LetterboxContract,
    trained_on: Sequence[Photograph],
    held_out: Sequence[Photograph],
    data: str,
    stage: Stage,
) -> InputStatistics | None:
    """Statistics of the training photographs in the folder named `data`, with a limit chosen on the held-out ones.

    None if there are fewer than `FEWEST` of either. Raises DataError if a photograph cannot be read.
    """
    if min(len(trained_on), len(held_out)) < FEWEST:
        return None
    step = stage("input statistics", len(trained_on) + len(held_out))
    bad = sum(photograph.is_bad for photograph in trained_on)
    return learn(
        contract,
        features_of(contract, trained_on, step),
        features_of(contract, held_out, step),
        f"training photographs of {data}: {len(trained_on) - bad} good, {bad} bad",
    )


def good_scores(artifact: str, scores: Sequence[float], bad: Sequence[bool]) -> GoodScores | None:
    """Quantiles of the scores of good photographs; None if there are fewer than `FEWEST`."""
    goods = [score for score, is_bad in zip(scores, bad, strict=True) if not is_bad]
    if len(goods) < FEWEST:
        return None
    low, median, high = _rounded(np.quantile(goods, (0.05, 0.5, 0.95)))
    return GoodScores(artifact=artifact, count=len(goods), low=low, median=median, high=high)


def features_of(
    contract: LetterboxContract, photographs: Sequence[Photograph], step: Callable[[], None] = lambda: None
) -> Floats:
    """The features of each photograph, float64 [photographs, features]. Raises DataError if one cannot be read."""
    extractor, found = FeatureExtractor(contract), []
    for photograph in photographs:
        found.append(extractor.features(extractor.copy_rows(read_photograph(photograph))))
        step()
    return np.array(found)


def learn(contract: LetterboxContract, trained_on: Floats, held_out: Floats, data: str) -> InputStatistics:
    """Statistics of the features `trained_on`, float64 [n, 14], with a limit for those `held_out`, float64 [m, 14].

    The limit is the distance of a split conformal test (Vovk et al., Algorithmic Learning in a Random World, 2005): a
    further picture that is exchangeable with the held-out ones lies beyond it with a probability of `SHARE_BEYOND` at
    most.
    """
    from sklearn.covariance import ledoit_wolf

    resolution = np.array([*RESOLUTION.values()])
    mean = trained_on.mean(axis=0)
    deviation = np.sqrt(trained_on.var(axis=0) + resolution**2)
    standardised = (trained_on - mean) / deviation
    shrunk, shrinkage = ledoit_wolf(standardised, assume_centered=True)
    covariance = shrunk + np.diag((resolution / deviation) ** 2)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    fitted = InputStatistics(
        data=data,
        features=FEATURES,
        mean=_rounded(mean),
        deviation=_rounded(deviation),
        shrinkage=_rounded([shrinkage])[0],
        whitening=tuple(_rounded(row[: n + 1]) for n, row in enumerate(whitening)),
        limit=LEAST_LIMIT,
        strategy="",
        held_out=len(held_out),
        beyond=0,
    )
    comparison = InputDistance(fitted, contract)
    distances = sorted(comparison.of_features(features).distance for features in held_out)
    count = len(distances)
    rank = min(count, ceil((count + 1) * (1 - SHARE_BEYOND)))
    limit = max(LEAST_LIMIT, ceil(distances[rank - 1] * 1000) / 1000)
    share = max(SHARE_BEYOND, 1 / (count + 1))
    return fitted.model_copy(
        update={
            "limit": limit,
            "strategy": f"split conformal, at most {share:.2g} of further pictures beyond",
            "beyond": sum(distance > limit for distance in distances),
        }
    )


def _rounded(values: Sequence[float] | Floats) -> tuple[float, ...]:
    """The values, rounded to six significant digits."""
    return tuple(float(f"{value:.6g}") for value in values)
