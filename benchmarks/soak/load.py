"""How busy the machine is, with whatever runs on it."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Places of the idle times in the first line of /proc/stat."""


def busy_s() -> float:
    """Processor seconds since the machine's start in which any process ran, or another machine took the processor."""
    times = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(time for place, time in enumerate(times) if place not in _IDLE) / _TICKS
