"""One run of a station, with everything that it spent between two verdicts."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.budget import tracing
from benchmarks.budget.processes import MAIN, SUPERVISOR, Usage, between, usage_of
from benchmarks.budget.tracing import Traced
from benchmarks.line import SILENCE_S
from benchmarks.station import Station
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.verdict import Verdict

ROOT = Path(__file__).parents[2]

WARM_UP = 460
"""Parts before the first reading of the counters. Of the first 400 each picture is compared with the photographs that
the bundle learned from, later 25 in a second, as on a slow line.
"""

MORE = 60
"""Parts after the measured ones, so that the line still runs at the last reading."""

BUDGET_MS = 60_000

SUBSCRIBER = "subscriber"
"""This process, which receives and decodes the verdicts."""

SITE = "from benchmarks.budget.tracing import install\n\ninstall()\n"


@dataclass(frozen=True)
class Line:
    """The line that is measured: its bundle, size of frames (height, width), and pace; `rate` None is back to back."""

    bundle: Path
    shape: tuple[int, int]
    backend: str
    threads: int
    frames: int
    rate: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """What a run spent on its measured frames. `whole_ms` is from the frame in memory to the decoded verdict."""

    frames: int
    frames_per_s: float
    whole_ms: list[float]
    threads: dict[tuple[str, str], Usage]
    steps: dict[tuple[str, str], Traced]
    """By name of the process and of the step; empty unless traced."""


def run(line: Line, folder: Path | None = None, is_traced: bool = False) -> Spent:
    """Run a station with records. `folder` is the checkout of the project that runs, by default this one.

    Raises EdgeError if a verdict is missing.
    """
    with TemporaryDirectory() as scratch, _environment(Path(scratch), folder or ROOT, is_traced):
        options: dict[str, Any] = {"source": "replay", "bundle": line.bundle, "backend": line.backend}
        options |= {"threads": line.threads, "size": f"{line.shape[1]}x{line.shape[0]}", "budget_ms": BUDGET_MS}
        options |= {"limit": WARM_UP + line.frames + MORE, "rate": line.rate, "bind": free_endpoint()}
        options |= {"records": Path(scratch) / "records", **line.options}
        with Station(**options) as station:
            return _listen(station, line, Path(scratch))


def _listen(station: Station, line: Line, scratch: Path) -> Spent:
    verdicts, before, pids = _verdicts(station), None, dict[int, str]()
    whole_ms, published = list[float](), list[int]()
    own = 0
    for verdict, at_ns in verdicts:
        if before is not None:
            whole_ms.append(_whole_ms(verdict, at_ns, line.rate is not None))
            published.append(verdict.timing.published)
        if verdict.seq == WARM_UP:
            pids = station.pids()
            before, traced, own = usage_of(pids), tracing.read(scratch), time.thread_time_ns()
        if len(published) == line.frames:
            assert before is not None
            own, after = time.thread_time_ns() - own, usage_of(pids)
            steps = _steps(traced, tracing.read(scratch), pids)
            spent = between(before, after) | {(SUBSCRIBER, MAIN): Usage(own, 0)}
            per_s = (line.frames - 1) / ((published[-1] - published[0]) / 1e9)
            return Spent(line.frames, per_s, whole_ms, spent, steps)
    raise EdgeError(f"the station gave {len(published)} of {line.frames} verdicts; {station.last_words()}")


def _verdicts(station: Station) -> Iterator[tuple[Verdict, int]]:
    """The verdicts, and when each was decoded here. Raises EdgeError if one was lost."""
    for received in station.messages(SILENCE_S):
        if received.missed:
            raise EdgeError(f"{received.missed} verdicts were lost on their way")
        if isinstance(received.message, Verdict):
            yield received.message, received.at_ns


def _whole_ms(verdict: Verdict, at_ns: int, is_paced: bool) -> float:
    timing = verdict.timing
    in_ring = timing.captured if is_paced or timing.in_ring is None else timing.in_ring
    return (at_ns - max(timing.captured, in_ring)) / 1e6  # a stored frame waits until the station takes it


def _steps(
    before: dict[int, dict[str, Traced]], after: dict[int, dict[str, Traced]], pids: dict[int, str]
) -> dict[tuple[str, str], Traced]:
    """What each step of each process used between the two readings."""
    found = {}
    for number, (pid, process) in enumerate(pids.items()):
        for name, row in after.get(pid, {}).items():
            was = before.get(pid, {}).get(name, Traced(0, 0, 0))
            found[process if number else SUPERVISOR, name] = Traced(*(a - b for a, b in zip(row, was, strict=True)))
    return found


@contextmanager
def _environment(scratch: Path, checkout: Path, is_traced: bool) -> Iterator[None]:
    """While the context is open, new processes run the project of `checkout`, and count in `scratch` if traced."""
    paths = [str(checkout)]
    chosen = {tracing.VARIABLE: str(scratch)} if is_traced else {}
    if is_traced:
        (scratch / "site").mkdir()
        (scratch / "site" / "sitecustomize.py").write_text(SITE)
        (scratch / "site" / "benchmarks").symlink_to(ROOT / "benchmarks")
        paths.insert(0, str(scratch / "site"))
    chosen["PYTHONPATH"] = os.pathsep.join(paths)
    held = {name: os.environ.get(name) for name in (tracing.VARIABLE, "PYTHONPATH")}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in held.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
