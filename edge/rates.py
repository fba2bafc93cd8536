"""Rates as text: parts or pictures per second, minute or hour."""

import re

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Units of time, in seconds."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")


def per_second(text: str) -> float:
    """The rate of "600/min", "10/s" or "36000/h", per second. Raises ValueError, also for a number without a unit."""
    return _parsed(text, 1.0)


def per_minute(text: str) -> float:
    """The same rate per minute. Raises ValueError."""
    return _parsed(text, 60.0)


def rate_text(rate_per_s: float) -> str:
    """A rate per second as the text that `per_second` parses back exactly."""
    return f"{rate_per_s!r}/s".replace(".0/", "/")


def _parsed(text: str, per_s: float) -> float:
    found = _RATE.fullmatch(text.lower().replace(" ", "").replace(",", ""))
    if found is None or not float(found[1]):
        raise ValueError("a rate is a number more than 0 and a unit, as in 600/min or 10/s")
    return float(found[1]) * per_s / SECONDS[found[2]]
