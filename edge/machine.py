"""What this machine offers: a processor, its cores, and a folder for what may be forgotten."""

import functools
import logging
import os
import platform
import stat
from pathlib import Path

from edge.errors import ConfigError

log = logging.getLogger(__name__)

CPU = Path("/proc/cpuinfo")
"""Where Linux tells about the processor."""

MEMORY = Path("/proc/meminfo")
"""Where Linux tells about the memory."""

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells what a container or a unit's MemoryMax may use: control groups, version 2."""


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> float:
    """Bytes that can be taken without taking them from another process; infinite where nothing says."""
    try:
        with MEMORY.open(encoding="utf-8") as lines:
            free = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = float("inf")
    return min(free, _left_in_container())


def _left_in_container() -> float:
    """Bytes that this process's control group may still take; infinite where it has no limit."""
    try:
        own = next(line[3:].strip() for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::")
        group = CONTAINER / own.lstrip("/")
        limit = float((group / "memory.max").read_text().replace("max", "inf"))
        return limit - float((group / "memory.current").read_text())
    except (OSError, StopIteration, ValueError):
        return float("inf")


def cpu_model() -> str:
    """The processor in words, as it names itself."""
    try:
        with CPU.open(encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def adds_int8_exactly() -> bool:
    """Whether products of uint8 and int8 are added in 32 bits here, where 16 bits saturate: x86 needs VNNI for that.

    False where nothing says what an x86 CPU can do.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i586", "i686", "x86"):
        return True
    return not cpu_flags().isdisjoint({"avx512_vnni", "avx_vnni"})


def computes_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; without, a runtime that is asked to computes in float32."""
    return not cpu_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


def cpu_flags() -> frozenset[str]:
    """What the processor says it can do, in Linux's words, as avx512_vnni; empty where nothing says."""
    try:
        with CPU.open(encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return frozenset()
    return frozenset(flags.partition(":")[2].split())


def user_folder(variable: str, default: str) -> Path:
    """The folder that the environment's `variable` of the XDG Base Directory Specification names, else `default` below
    the user's home.

    Raises ConfigError, in one line, if neither HOME nor the system's list of users names a home.
    """
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / default
    except RuntimeError:
        raise ConfigError(f"this user has no home folder: set HOME, or {variable}") from None


def cache_folder() -> Path | None:
    """Folder for compiled models and measured choices, made on the way, readable by its owner only.

    `EDGE_CACHE`, else `XDG_CACHE_HOME/edge-inspect`, else `~/.cache/edge-inspect`; None where it cannot be written, for
    a station starts without it, only later, and, said in one line, where somebody else could write there.
    """
    if chosen := os.environ.get("EDGE_CACHE"):
        return _private(Path(chosen))
    try:
        return _private(user_folder("XDG_CACHE_HOME", ".cache") / "edge-inspect")
    except ConfigError:
        return None


def private_folder(name: str) -> Path | None:
    """The folder `name` within `cache_folder`, under the same conditions, and none if another user has a file in it."""
    cache = cache_folder()
    folder = None if cache is None else _private(cache / name)
    if folder is None:
        return None
    with os.scandir(folder) as entries:
        strange = next((e.name for e in entries if e.stat(follow_symlinks=False).st_uid != os.geteuid()), None)
    if strange is not None:
        _say_unused(folder, f"{strange} in it belongs to another user")
        return None
    return folder


def _private(folder: Path) -> Path | None:
    """The folder, made if it is missing, all links followed; None if this user cannot write there or others can."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = folder.resolve(strict=True)
        danger = _danger(folder)
    except OSError:
        return None
    if danger is not None:
        _say_unused(folder, danger)
    return folder if danger is None and os.access(folder, os.W_OK) else None


def _danger(folder: Path) -> str | None:
    """Who else could put files there, in words; None if nobody but root.

    Whoever may rename what is above it can, too; in a sticky folder, as /tmp, nobody may rename another's files.
    """
    for one in (folder, *folder.parents):
        status = one.stat()
        if status.st_uid not in {os.geteuid(), os.geteuid() if one == folder else 0}:
            return f"{one} belongs to another user"
        if status.st_mode & 0o022 and (one == folder or not status.st_mode & stat.S_ISVTX):
            return f"others may write to {one}"
    return None


@functools.cache
def _say_unused(folder: Path, why: str) -> None:
    """Say it, once."""
    remedy = "empty it and chmod go-w, or name another with EDGE_CACHE"
    log.warning("cache %s is not used, so a start takes longer: %s; %s", folder, why, remedy)
