"""How busy the machine was with other things than what is measured."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Places of the idle times in the first line of /proc/stat."""


class HasTimes(Protocol):
    """What `Load.others` needs of a sample: a time, and processor seconds of the measured processes and of all."""

    @property
    def at_s(self) -> float: ...  # noqa: D102
    @property
    def cpu_s(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def busy_s(self) -> float: ...  # noqa: D102


def busy_s() -> float:
    """Processor seconds since the machine's start in which any process ran, or another machine took the processor."""
    times = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(time for place, time in enumerate(times) if place not in _IDLE) / _TICKS


class Load:
    """The processors of this machine."""

    def __init__(self) -> None:
        """Counts the processors."""
        self.cores = os.cpu_count() or 1

    def others(self, samples: Sequence[HasTimes]) -> float:
        """Share of the machine's processors that others took between the first and the last of these samples."""
        if len(samples) < 2 or samples[-1].at_s <= samples[0].at_s:
            return 0.0
        first, last = samples[0], samples[-1]
        own = sum(last.cpu_s.values()) - sum(first.cpu_s.values())
        return max(0.0, last.busy_s - first.busy_s - own) / (self.cores * (last.at_s - first.at_s))
