"""The limit of an EWMA chart for a wanted time between false alarms.

Roberts, Technometrics 1, 1959, has the chart; its average run length is that of Lucas and Saccucci, Technometrics 32,
1990, here by an approximation for small weights. `tests/edge/station/test_drift_limits.py` compares it with the
integral equation.
"""

from math import exp, pi, sqrt


def average_run_length(limit: float, weight: float) -> float:
    """Average number of values until an EWMA of independent normal values is beyond its limits, on either side.

    `limit` is in standard deviations of the EWMA, at least 2; `weight` is the weight of the newest value, 0..1, small.
    The EWMA is taken for an Ornstein-Uhlenbeck process, whose mean first passage time this is, with the barrier moved
    outwards because the process is looked at in steps (Siegmund, Sequential Analysis, 1985, chapter 10).
    """
    barrier = limit + 0.583 * sqrt(2 * weight)
    return sqrt(2 * pi) / (2 * barrier * weight) * exp(barrier * barrier / 2)


def limit_for(run_length: float, weight: float) -> float:
    """The limit, in standard deviations of the EWMA, at which `average_run_length` is this one."""
    low, high = 2.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if average_run_length(middle, weight) < run_length else (low, middle)
    return (low + high) / 2


def student(normal: float, degrees: float) -> float:
    """The quantile of Student's t distribution at the probability of a quantile of the normal distribution.

    Wallace, Annals of Mathematical Statistics 30, 1959, inverted; within 2 % from 5 degrees of freedom on.
    """
    scaled = normal * (8 * degrees + 3) / (8 * degrees + 1)
    return sqrt(degrees * (exp(min(600.0, scaled * scaled / degrees)) - 1))
