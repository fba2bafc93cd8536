"""Intervals and tests in which a part counts once, however often it was photographed.

Six photographs of one part are not six independent trials: they fail together. If `parts` names the part of each
photograph, the interval or test works on whole parts; without names every photograph counts as a part. Needs the extra
`verify`, like `edge.evaluation.metrics`; the running station does not import this file.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import beta, fisher_exact, norm

from edge.evaluation.metrics import Rate, Truths, rate

SHUFFLES = 20_000
"""Shuffles of a permutation test: a p-value of 0.05 is then accurate to about ±0.003."""

EDGE = 1e-9
"""Distance from 0 and 1 of the AUROCs considered: at 0 and 1 themselves the variance is zero."""

Parts = Sequence[str] | None
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def clustered_rate(hits: Truths, parts: Parts = None, confidence: float = 0.95) -> Rate:
    """The fraction of `hits` (N booleans), with an interval that treats the photographs of one part as a cluster.

    Korn and Graubard (Survey Methodology 24, 1998): the Clopper-Pearson interval at the effective sample size estimated
    from the between-part variance; if all photographs are hits or none is, the number of parts. It is the exact
    interval if each part was photographed once.
    """
    succeeded, sizes = _by_part(hits, parts)
    count, trials = int(succeeded.sum()), int(sizes.sum())
    if not trials or _one_each(sizes):
        return rate(count, trials, confidence)
    share = count / trials
    independent = float(len(sizes))
    if 0 < share < 1 and len(sizes) > 1:
        scatter = len(sizes) / (len(sizes) - 1) * float(((succeeded - share * sizes) ** 2).sum()) / trials**2
        independent = min(float(trials), share * (1 - share) / scatter) if scatter else float(trials)
    tail = (1 - confidence) / 2
    hit, missed = share * independent, (1 - share) * independent
    low = float(beta.ppf(tail, hit, missed + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, hit + 1, missed)) if count < trials else 1.0
    return Rate(successes=count, trials=trials, value=share, low=low, high=high)


def rates_differ(first: Truths, second: Truths, first_parts: Parts = None, second_parts: Parts = None) -> float:
    """p-value: the probability that two samples of one process differ in their fraction of hits at least as much.

    Fisher's exact test if each part was photographed once. Otherwise each part counts once, with the fraction of its
    photographs that are hits, in a permutation test with `SHUFFLES` assignments of the parts to the two samples, from a
    fixed seed. 1.0 if one of the samples is empty.
    """
    hits_a, sizes_a = _by_part(first, first_parts)
    hits_b, sizes_b = _by_part(second, second_parts)
    if not len(sizes_a) or not len(sizes_b):
        return 1.0
    if _one_each(sizes_a) and _one_each(sizes_b):
        table = [[hits.sum(), sizes.sum() - hits.sum()] for hits, sizes in ((hits_a, sizes_a), (hits_b, sizes_b))]
        return float(fisher_exact(table).pvalue)
    return _by_permutation(hits_a / sizes_a, hits_b / sizes_b)


def auroc_interval(auroc: float, bad: int, good: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of an AUROC from these numbers of independent bad and good parts; its width is never zero.

    Newcombe (Statistics in Medicine 25, 2006), method 5: the AUROCs that would not be rejected, with the variance of
    Hanley and McNeil (Radiology 143, 1982). (0, 1) without parts of both classes.
    """
    if not bad or not good:
        return 0.0, 1.0
    z, middle = float(norm.ppf((1 + confidence) / 2)), (bad + good) / 2 - 1

    def deviation(true: float) -> float:
        spread = 1 + middle * (1 - true) / (2 - true) + middle * true / (1 + true)
        return z * sqrt(true * (1 - true) * spread / (bad * good))

    low = brentq(lambda true: auroc - true - deviation(true), 0.0, min(auroc, 1 - EDGE)) if auroc > EDGE else 0.0
    high = brentq(lambda true: true - auroc - deviation(true), max(auroc, EDGE), 1.0) if auroc < 1 - EDGE else 1.0
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the order given (Holm, Scandinavian J. of Statistics 6, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _by_part(hits: Truths, parts: Parts) -> tuple[Ints, Ints]:
    """Numbers of hits and of photographs of each part. Raises ValueError unless each photograph has a part's name."""
    flags = np.asarray(hits, bool)
    if parts is None:
        return flags.astype(np.int64), np.ones(len(flags), np.int64)
    if len(parts) != len(flags):
        raise ValueError(f"{len(flags)} photographs and {len(parts)} names of parts")
    if not len(flags):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    _, part = np.unique(np.asarray(parts, dtype=np.str_), return_inverse=True)
    return np.bincount(part, flags).astype(np.int64), np.bincount(part).astype(np.int64)


def _one_each(sizes: Ints) -> bool:
    return bool((sizes == 1).all())


def _by_permutation(first: Floats, second: Floats) -> float:
    shares, count = np.concatenate([first, second]), len(first)
    dealt = np.random.default_rng(0).random((SHUFFLES, len(shares))).argsort(axis=1)[:, :count]
    means = shares[dealt].mean(axis=1)
    differences = np.abs(means - (shares.sum() - count * means) / len(second))
    as_far = differences >= abs(first.mean() - second.mean()) - 1e-12
    return float((1 + as_far.sum()) / (1 + SHUFFLES))
