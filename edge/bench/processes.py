"""What a process and all that it started cost: processor time and memory, as Linux counts them."""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def family(pid: int) -> list[int]:
    """The process and its living descendants; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        if (fields := _stat(int(folder.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = [], [pid] if _stat(pid) is not None else []
    while left:
        found.append(one := left.pop())
        left += children.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process, its living descendants, and those they waited for have used."""
    fields = [found for one in family(pid) if (found := _stat(one)) is not None]
    return sum(int(ticks) for one in fields for ticks in one[11:15]) / TICKS_A_SECOND


def resident_mib(pid: int) -> float | None:
    """Memory of a process and its descendants, each page that several share counted once; None if nothing says.

    The proportional set size of /proc/PID/smaps_rollup: a page is shared out among those that hold it.
    """
    sizes = [found for one in family(pid) if (found := _proportional_kib(one)) is not None]
    return sum(sizes) / 1024 if sizes else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, from the state on; None if the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _proportional_kib(pid: int) -> int | None:
    try:
        with (PROC / str(pid) / "smaps_rollup").open(encoding="utf-8") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
    except OSError:
        return None
