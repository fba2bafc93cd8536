"""Processor time and context switches of a station's processes, as Linux counts them for each thread."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")

SUPERVISOR = "supervisor"
MAIN, ZEROMQ, OTHERS = "main thread", "ZeroMQ", "other threads"
"""Threads of a process. The others are those of the runtime in the inference process, and of the journal in the
supervisor.
"""


class Usage(NamedTuple):
    """Nanoseconds on a processor, and how often the scheduler put the thread on one and took it off again."""

    cpu_ns: int
    switches: int

    def __sub__(self, before: "Usage") -> "Usage":
        """What was used since `before`."""
        return Usage(self.cpu_ns - before.cpu_ns, self.switches - before.switches)


Usages = dict[tuple[str, str], Usage]
"""By name of the process and kind of the thread."""


def usage_of(pids: dict[int, str]) -> Usages:
    """What these processes have used so far; the threads that have ended are not in it.

    `pids` names them, the supervisor first, whose own name is that of the interpreter.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for number, (pid, name) in enumerate(pids.items()):
        process = name if number else SUPERVISOR
        for task in (PROC / str(pid) / "task").glob("[0-9]*"):
            try:
                on_cpu_ns = int((task / "schedstat").read_text().split()[0])
                status, thread = (task / "status").read_text(), (task / "comm").read_text()
            except OSError:
                continue
            switches = sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)
            kind = MAIN if int(task.name) == pid else ZEROMQ if thread.startswith("ZMQ") else OTHERS
            found.setdefault((process, kind), Counter()).update(cpu_ns=on_cpu_ns, switches=switches)
    return {key: Usage(counted["cpu_ns"], counted["switches"]) for key, counted in found.items()}


def between(before: Usages, after: Usages) -> Usages:
    """What was used between two moments."""
    return {key: used - before.get(key, Usage(0, 0)) for key, used in after.items()}
