"""The line of the soak: the station that `edge-run` starts, with its records, and the gate, in separate processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.gate import HEARD, NAME, NOTES, STATION, TRAVEL_S
from benchmarks.soak.load import busy_s
from benchmarks.station import Station
from edge.bench import machine
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import acknowledgements_of, select

CHILDREN = ("capture", "inference", "archive")
PROCESSES = ("station", *CHILDREN, "gate")
SIZE = (48, 64)
"""Height and width of the frames, small so that everything but the pixels is measured."""

KEEP_GIB = 0.02
"""Room for images, so small that retention, too, deletes images long before the first 100,000 verdicts."""

SILENCE_S = 60.0
SETTLING_S = 8.0
LOOK_S = 0.1
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """A sample: seconds since the first verdict, and verdicts so far.

    Of each process: resident memory in bytes, and processor time in seconds. `busy_s`: processor seconds of the whole
    machine, in which any process ran.
    """

    at_s: float
    verdicts: int
    resident: dict[str, int]
    cpu_s: dict[str, float]
    busy_s: float = 0.0


@dataclass
class Line:
    """A line that runs in `folder` and leaves all its files there. `run` may be called once."""

    folder: Path
    bundle: Path
    asked: int = 0
    machine: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @property
    def records(self) -> Path:
        """The folder of the station's records."""
        return self.folder / "records"

    def run(self, verdicts: int, every_s: float, tick: Callable[[int], None]) -> dict[str, Any]:
        """Run until `verdicts` parts and a few more are judged, then stop in order; returns the station's final report.

        A sample is taken every `every_s` seconds, and `tick` is called with the number of verdicts so far. Ctrl-C stops
        the line early. Raises EdgeError if the line stands still.
        """
        self.asked, self.machine = verdicts, machine()
        endpoint = free_endpoint()
        log = self.folder / "station.log"
        with self._running_gate(endpoint, log) as self._gate, self._running_station(endpoint, log) as self._station:
            try:
                try:
                    self._watch(verdicts, every_s, tick)
                except KeyboardInterrupt:
                    if not self.samples:
                        raise
                self._stop_belt()
                said = self._station.report()
                self._gate.wait(SILENCE_S)
            except (EdgeError, subprocess.TimeoutExpired, OSError) as error:
                raise EdgeError(f"the line broke down ({error}): {self._station.last_words()}") from error
        if self._station.process.returncode or self._gate.returncode:
            codes = f"{self._station.process.returncode} and {self._gate.returncode}"
            raise EdgeError(f"station and gate ended with {codes}; their log is {log}")
        return said

    def _running_station(self, endpoint: str, log: Path) -> Station:
        options: dict[str, Any] = {"source": "replay", "size": f"{SIZE[1]}x{SIZE[0]}", "bundle": self.bundle}
        options |= {"backend": "onnxruntime", "threads": 1, "records": self.records, "keep_gib": KEEP_GIB}
        options |= {"station": STATION, "bind": endpoint, "require": NAME}
        options |= {"limit": 2 * self.asked}  # the station ends even if this process is killed
        return Station(log=log, is_apart=True, **options)  # Ctrl-C reaches this process only

    @contextmanager
    def _running_gate(self, endpoint: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        command = [sys.executable, "-m", "benchmarks.soak.gate", endpoint, str(self.folder)]
        with log.open("ab") as output:
            gate = subprocess.Popen(command, stderr=output, start_new_session=True)
        try:
            yield gate
        finally:
            gate.kill()
            gate.wait()

    def _watch(self, verdicts: int, every_s: float, tick: Callable[[int], None]) -> None:
        begun: float | None = None
        came, came_at, sample_due = 0, time.monotonic(), 0.0
        while came < verdicts:
            time.sleep(LOOK_S)
            now, before, came = time.monotonic(), came, self.heard
            if came > before:
                came_at, begun = now, begun or now
                tick(came)
            if begun is not None and now >= sample_due:
                sample_due = max(sample_due + every_s, now)
                self._sample(now - begun, came)
            for name, process in (("station", self._station.process), ("gate", self._gate)):
                if process.poll() is not None:
                    raise EdgeError(f"the {name} ended")
            if now - came_at > SILENCE_S:
                raise EdgeError(f"no verdict for {SILENCE_S:.0f} s")
        assert begun is not None
        self._sample(time.monotonic() - begun, came)

    @property
    def heard(self) -> int:
        """Number of verdicts that the gate has noted so far."""
        notes = self.folder / NOTES
        return notes.stat().st_size // HEARD.size if notes.exists() else 0

    def _sample(self, at_s: float, verdicts: int) -> None:
        processes = {"station": self._station.process.pid, "gate": self._gate.pid, **self._children()}
        resident = {name: _resident(processes[name]) for name in PROCESSES}
        cpu_s = {name: _cpu_s(processes[name]) for name in PROCESSES}
        self.samples.append(Sample(at_s, verdicts, resident, cpu_s, busy_s()))

    def _children(self) -> dict[str, int]:
        pids = {name.removeprefix("edge-"): pid for pid, name in self._station.pids().items()}
        if missing := set(CHILDREN) - set(pids):
            raise EdgeError(f"there is no edge-{missing.pop()}")
        return {name: pids[name] for name in CHILDREN}

    def _stop_belt(self) -> None:
        """Stop the belt: the parts on it still reach the gate, and their outcomes the journal.

        If the station stopped at once, the gate would reject those parts, and their outcomes would not be awaited.
        """
        os.kill(self._children()["capture"], signal.SIGSTOP)
        time.sleep(TRAVEL_S)
        until = time.monotonic() + SETTLING_S - TRAVEL_S  # before the station considers the camera lost
        with closing(open_to_read(self.records)) as journal:
            while time.monotonic() < until and not _is_last_acknowledged(journal):
                time.sleep(LOOK_S)


def _is_last_acknowledged(journal: sqlite3.Connection) -> bool:
    newest = next(select(journal, newest_first=True, limit=1), None)
    return newest is not None and bool(acknowledgements_of(journal, newest.epoch, newest.seq))


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS
