"""Distribution-free tolerance limits: how many failures among some parts show that the rate of failures is low enough.

A failure is a bad part that passes, or a good part that is rejected. If a threshold is placed at an order statistic of
the scores of n independent parts, so that m of them fail, the rate at which further parts fail is at most a variable of
the distribution Beta(m + 1, n - m), whatever the distribution of the scores (Wilks, Annals of Mathematical Statistics
12, 1941); equal scores only lower it (Scheffé and Tukey, ibid. 16, 1945). Its quantile is the one-sided limit of
Clopper and Pearson, `edge.evaluation.metrics.rate`. Needs the extra `verify`.
"""

from math import ceil, log

from edge.evaluation.metrics import rate


def most_failures(parts: int, at_most: float, confidence: float) -> int | None:
    """The largest number of failures among `parts` that shows a rate of at most `at_most`, with this confidence.

    `at_most` is above 0 and below 1, `confidence` above 0.5 and below 1. None if no failure at all among so few parts
    does not show it either.
    """
    if parts < 1 or not _shows(0, parts, at_most, confidence):
        return None
    low, high = 0, parts
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _shows(middle, parts, at_most, confidence) else (low, middle)
    return low


def fewest_parts(at_most: float, confidence: float) -> int:
    """The smallest number of parts that can show a rate of at most `at_most`: if none of them fails.

    The bounds of the arguments are those of `most_failures`.
    """
    count = max(1, ceil(log(1 - confidence) / log(1 - at_most)) - 1)
    while not _shows(0, count, at_most, confidence):
        count += 1
    return count


def lowest_rate(parts: int, confidence: float) -> float:
    """The lowest rate of failures that so many parts can show: if none of them fails; 1.0 without parts."""
    return _limit(0, parts, confidence)


def _shows(failures: int, parts: int, at_most: float, confidence: float) -> bool:
    return _limit(failures, parts, confidence) <= at_most


def _limit(failures: int, parts: int, confidence: float) -> float:
    """The one-sided upper limit, which is the upper end of a two-sided interval with twice the error."""
    return rate(failures, parts, 2 * confidence - 1).high
