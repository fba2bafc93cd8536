"""Description of the machine."""

import os
import platform
from pathlib import Path

from edge.bench.result import Machine
from edge.machine import CPU, cores, cpu_flags, cpu_model
from edge.runtimes import versions

INSTRUCTION_SETS = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Instruction sets that determine a runtime's choice of kernels, by Linux's names."""

_FREQUENCY = Path("/sys/devices/system/cpu")


def described(mhz: tuple[float, float] | None) -> Machine:
    """The machine; `mhz` is the lowest and highest frequency that a `Frequency` measured."""
    flags = cpu_flags()
    return Machine(
        cpu=cpu_model(),
        cores=cores(),
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in flags),
        governor=_governor(),
        mhz=mhz,
        memory_mib=_memory_mib(),
        system=platform.platform(),
        python=platform.python_version(),
        versions=versions(),
    )


class Frequency:
    """The lowest and highest CPU frequency, MHz, over all calls of `look`."""

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self.seen: tuple[float, float] | None = None

    def look(self) -> None:
        """Read the current frequency of every core."""
        if now := _megahertz():
            known = [*now, *(self.seen or ())]
            self.seen = min(known), max(known)


def _megahertz() -> list[float]:
    try:
        if files := sorted(_FREQUENCY.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")):
            return [int(file.read_text()) / 1000 for file in files]
        with CPU.open(encoding="utf-8") as lines:
            return [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return []


def _governor() -> str | None:
    try:
        return (_FREQUENCY / "cpu0/cpufreq/scaling_governor").read_text().strip() or None
    except OSError:
        return None


def _memory_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
