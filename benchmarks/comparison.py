"""A contest: each contestant in its own process, on the same frames, in turns, so that load affects all equally."""

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.contestants import Setup
from benchmarks.network import write_network
from edge.bundle import Bundle
from edge.errors import EdgeError
from edge.frame import Frame
from edge.sources import SourceRequest
from edge.sources.replay import FRAMES, ReplaySource
from edge.station.part_counts import percentile

ROOT = Path(__file__).parents[1]
LOADING_S, ROUND_S = 300.0, 180.0

Turn = Callable[[int], list[float]]
"""Runs the given number of frames; returns the time of each, in milliseconds."""


class CannotRunError(EdgeError):
    """A contestant that does not load or does not answer, with the reason in one line."""


def stock(shape: tuple[int, int], frames: int = FRAMES) -> list[Frame]:
    """The first frames of the source `replay`, uint8 [H, W, 3] of `shape`."""
    source = ReplaySource(SourceRequest("replay", size=shape))
    return [frame for index in range(frames) if (frame := source.capture(index).frame) is not None]


def set_up(bundle: Bundle, shape: tuple[int, int], threads: int, folder: Path) -> Setup:
    """Write frames and network into `folder`, for all contestants."""
    contract, frames, network = bundle.manifest.letterbox, folder / "frames.npy", folder / "network.onnx"
    np.save(frames, np.stack(stock(shape)))
    write_network(bundle, shape, network)
    about: dict[str, Any] = {"mean": contract.mean, "std": contract.std, "fill": contract.fill, "side": contract.side}
    about |= {"frames": str(frames), "network": str(network), "bundle": str(bundle.path.resolve())}
    return Setup(name="", threads=threads, shape=shape, **about)


@dataclass
class Contestant:
    """A process that runs frames on request. `scores` are those of the frames run so far, in order."""

    setup: Setup
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the process and load the contestant. Raises CannotRunError."""
        folder = Path(self.setup.frames).parent
        name = f"{self.setup.name}{''.join(sorted(self.environment))}"
        file, self._log = folder / f"{name}.json", folder / f"{name}.log"
        file.write_text(json.dumps(asdict(self.setup)))
        command = [self.python, "-m", "benchmarks.contestants", str(file)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(self.setup.threads)}
        with self._log.open("wb") as log:
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
            everything = environment | dict(self.environment)
            self._process = subprocess.Popen(command, cwd=ROOT, env=everything, **pipes)
        try:
            self._answer(LOADING_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()

    def __call__(self, frames: int) -> list[float]:
        """Run `frames` frames: a `Turn`. Raises CannotRunError.

        Between its turns the process is stopped, including any spinning threads.
        """
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(f"{frames}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise CannotRunError(self._reason("it ended")) from error
        try:
            answer = self._answer(ROUND_S)
        except CannotRunError:
            self._process.kill()  # a hanging process would still run in the others' turns
            raise
        self._process.send_signal(signal.SIGSTOP)
        self.scores += answer["scores"]
        samples: list[float] = answer["ms"]
        return samples

    def _answer(self, patience_s: float) -> dict[str, Any]:
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], patience_s)[0]:
            raise CannotRunError(f"it says nothing for {patience_s:.0f} s")
        line = output.readline()
        if not line:
            self._process.wait()
            raise CannotRunError(self._reason("it ended without a word"))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _reason(self, otherwise: str) -> str:
        """The last line of its log that names an error, else the last line."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line or "Exception" in line]
        return (errors or lines or [otherwise])[-1][:200]


def in_turns(
    turns: Mapping[str, Turn], rounds: int, frames: Mapping[str, int], tick: Callable[[str], None] = lambda _: None
) -> dict[str, list[list[float]]]:
    """Samples by name and round: A, B, …, A, B, …, each `frames[name]` frames. `tick` is called with the next name."""
    found: dict[str, list[list[float]]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            tick(name)
            found[name].append(turn(frames[name]))
    return found


def frames_for(turn: Turn, seconds: float, most: int) -> int:
    """The number of frames that take about `seconds`: at least 3, at most `most`; estimated from two frames."""
    begun = time.perf_counter()
    turn(2)
    return max(3, min(most, int(seconds / ((time.perf_counter() - begun) / 2))))


def ratio(of: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> float:
    """The median over the rounds of the ratio of the medians of two contestants' times."""
    return statistics.median(
        statistics.median(one) / statistics.median(other) for one, other in zip(of, to, strict=True)
    )


def figures(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """`p50_ms` and `p99_ms` over all rounds, by nearest rank, and `count`."""
    ascending = sorted(ms for one in rounds for ms in one)
    shares = {name: percentile(ascending, percent) for name, percent in (("p50_ms", 50), ("p99_ms", 99))}
    return {name: value for name, value in shares.items() if value is not None} | {"count": len(ascending)}
