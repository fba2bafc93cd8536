"""Search for the highest rate at which a line is answered in time."""

import math
from collections.abc import Callable, Sequence

from edge.bench.result import Tried

CLOSE = 1.03
"""The search ends when the lowest failed rate is at most this many times the highest held one."""

LOWEST = 1 / 16
"""If a rate this many times the first one still fails, the search ends without a result."""

HIGHEST = 16.0

SHARE_LATE = 0.001
"""p99.9: one part in a thousand may miss the budget."""


def find_highest(
    attempt: Callable[[float], Tried], first: float, known: Sequence[Tried] = (), close: float = CLOSE
) -> list[Tried]:
    """Try rates, in parts per minute: double or halve from `first` until one held and one failed, then bisect.

    `known` are rates that were already tried; a rate below one that held counts as held, above one that failed as
    failed. Returns all attempts in order.
    """
    tried = list(known)
    held = max((one.rate_per_min for one in tried if one.held), default=0.0)
    failed = min((one.rate_per_min for one in tried if not one.held), default=math.inf)
    held = min(held, failed) if held < failed else 0.0  # a rate that held above a failed one proves nothing
    while True:
        rate = _next_rate(held, failed, first, close)
        if rate is None:
            return tried
        tried.append(one := attempt(rate))
        held, failed = (rate, failed) if one.held else (held, rate)


def best(tried: Sequence[Tried]) -> float | None:
    """The highest rate that held and has no lower rate that failed; None if there is none."""
    failed = min((one.rate_per_min for one in tried if not one.held), default=math.inf)
    return max((one.rate_per_min for one in tried if one.held and one.rate_per_min < failed), default=None)


def is_hopeless(samples_ms: Sequence[float], unanswered: int, budget_ms: float, parts: int) -> bool:
    """Whether p99.9 of `parts` parts can no longer stay within the budget, given the results so far."""
    return unanswered > 0 or sum(sample > budget_ms for sample in samples_ms) > math.floor(parts * SHARE_LATE)


def _next_rate(held: float, failed: float, first: float, close: float) -> float | None:
    if not held and failed == math.inf:
        return first
    if failed == math.inf:
        return max(first, 2 * held) if held < HIGHEST * first else None
    if not held:
        return failed / 2 if failed > LOWEST * first else None
    return math.sqrt(held * failed) if failed > close * held else None
