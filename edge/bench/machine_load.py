"""Load of the machine by other processes during a measurement, so that figures of a busy machine are marked."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from edge.bench.result import Disturbance
from edge.machine import cores
from edge.station.process.usage import TICKS_A_SECOND, cpu_s

STAT, LOAD = Path("/proc/stat"), Path("/proc/loadavg")

OTHERS_CORES = 0.2
"""Other processes that keep more cores than this busy are a disturbance. An idle desktop used a tenth of a core."""

STEAL_SHARE = 0.02
"""A hypervisor that takes more than this fraction of the time is a disturbance."""

LOOK_S = 0.25


@dataclass(frozen=True)
class _CpuTimes:
    at_s: float
    busy_s: float
    steal_s: float
    own_s: float


class Watch:
    """Observes the machine from creation to `stop`; this process and its descendants do not count as others."""

    def __init__(self) -> None:
        """A thread samples the run queue four times a second."""
        self._begun = _cpu_times()
        self._waiting: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_at_queue, daemon=True)
        self._thread.start()

    def stop(self) -> Disturbance | None:
        """The observed disturbance; None if the system reports no CPU times."""
        self._end.set()
        self._thread.join()
        begun, ended = self._begun, _cpu_times()
        if begun is None or ended is None or ended.at_s <= begun.at_s:
            return None
        took_s = ended.at_s - begun.at_s
        others = max(0.0, ended.busy_s - begun.busy_s - (ended.own_s - begun.own_s)) / took_s
        steal = (ended.steal_s - begun.steal_s) / (took_s * cores())
        waiting = sum(self._waiting) / len(self._waiting) if self._waiting else None
        return judged(others, steal, waiting)

    def _look_at_queue(self) -> None:
        while not self._end.wait(LOOK_S):
            try:
                runnable = int(LOAD.read_text().split()[3].partition("/")[0])
            except (OSError, ValueError, IndexError):
                return
            self._waiting.append(max(0, runnable - 1 - cores()))  # minus this thread


def judged(others_cores: float, steal_share: float | None, waiting: float | None) -> Disturbance:
    """The observation, and whether it is a disturbance."""
    said = []
    if others_cores > OTHERS_CORES:
        said.append(f"other processes kept {others_cores:.1f} of {cores()} cores busy")
    if steal_share is not None and steal_share > STEAL_SHARE:
        said.append(f"the hypervisor took {steal_share:.0%} of the time")
    return Disturbance(
        others_cores=others_cores,
        steal_share=steal_share,
        waiting=waiting,
        is_disturbed=bool(said),
        said=", ".join(said),
    )


def worst(found: list[Disturbance | None]) -> Disturbance | None:
    """The worst value of each kind over several parts of a measurement."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    steals = [one.steal_share for one in known if one.steal_share is not None]
    waits = [one.waiting for one in known if one.waiting is not None]
    others = max(one.others_cores for one in known)
    return judged(others, max(steals, default=None), max(waits, default=None))


def _cpu_times() -> _CpuTimes | None:
    """CPU times of the cores on which this process may run; None if unknown."""
    try:
        lines = STAT.read_text().splitlines()
    except OSError:
        return None
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    busy = steal = 0
    for line in lines:
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu" and (allowed is None or int(name[3:]) in allowed):
            user, nice, system, _, _, irq, soft, stolen, *_ = map(int, [*ticks, "0", "0", "0", "0"])
            busy += user + nice + system + irq + soft
            steal += stolen
    return _CpuTimes(time.monotonic(), busy / TICKS_A_SECOND, steal / TICKS_A_SECOND, cpu_s(os.getpid()))
