"""Descendants, CPU time and memory of a process, as Linux reports them."""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def family(pid: int) -> list[int]:
    """The process and its living descendants; empty without /proc."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        if (fields := _stat(int(folder.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = [], [pid] if _stat(pid) is not None else []
    while left:
        found.append(one := left.pop())
        left += children.get(one, [])
    return found


def children(pid: int) -> dict[str, int]:
    """The living children of a process, by name; empty without /proc."""
    try:
        pids = [int(one) for one in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except OSError:
        return {}
    living = [one for one in pids if (fields := _stat(one)) is not None and fields[0] != "Z"]
    return {name_of(one): one for one in living}


def name_of(pid: int) -> str:
    """The name of a process, of 15 characters at most; empty if it is gone."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its living descendants, including their terminated children."""
    fields = [found for one in family(pid) if (found := _stat(one)) is not None]
    return sum(int(ticks) for one in fields for ticks in one[11:15]) / TICKS_A_SECOND


def resident_mib(pid: int) -> float | None:
    """Memory of a process and its descendants, MiB, with shared pages counted once; None if unknown.

    The proportional set size of /proc/PID/smaps_rollup: a page is divided among the processes that map it.
    """
    sizes = [found for one in family(pid) if (found := _proportional_kib(one)) is not None]
    return sum(sizes) / 1024 if sizes else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, starting with the state; None if the process is gone."""
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
