"""Bare inference: only the graph, from the uint8 frame to the score, in this process."""

import threading
import time
from itertools import islice
from typing import cast

from edge.backends import Backend, check_golden, load_from, tried
from edge.backends.options import Options
from edge.bench.machine_load import worst
from edge.bench.pace import BACK_TO_BACK, rhythm
from edge.bench.result import Disturbance, Pace, Series, Setting
from edge.bundle import Bundle
from edge.errors import BundleError
from edge.frame import Frame
from edge.station.inference.warmer import Warmer
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Infer

WARM_UP = 20
SETTLE = 3
"""Frames at the start of each turn that are not counted, because another setting ran before."""

LEARN = 10
"""The same for the first turn at a line's pace, in which the warmer learns the cadence."""


class Bare:
    """A setting, compiled in this process and warmed up. Not thread-safe.

    Settings that need other CPU instructions are measured in a process of their own: see
    `edge.bench.subprocess_run.bare`.
    """

    def __init__(self, bundle: Bundle, setting: Setting, pictures: list[Frame]) -> None:
        """`pictures` have the setting's size. Raises BundleError or DataError if the setting cannot be loaded."""
        shape = (setting.height, setting.width) if setting.is_static else None
        first = load_from(bundle, setting.artifact, options(setting), shape, alone=True)
        self.bundle, self.setting = bundle, setting
        self._pictures = pictures
        begun = time.perf_counter_ns()
        tried(first, pictures[0], f"{bundle.path}: a picture")
        self.first_ms = (time.perf_counter_ns() - begun) / 1e6
        self._backends = [first, *(first.clone() for _ in range(setting.streams - 1))]
        self._runs: dict[Pace, _Run] = {}
        self._lines: dict[Pace, tuple[_Line, Warmer]] = {}
        for backend in self._backends:
            _back_to_back(backend, pictures, WARM_UP)
        self.typical_ms = sorted(_back_to_back(first, pictures, SETTLE))[SETTLE // 2]

    def median_ms(self) -> float:
        """Median latency back to back so far, milliseconds."""
        samples = self._runs[BACK_TO_BACK].samples_ms
        return sorted(samples)[len(samples) // 2]

    def golden_holds(self) -> bool:
        """Whether the golden frames pass within the manifest's tolerance."""
        try:
            check_golden(self.bundle, load_from(self.bundle, self.setting.artifact, options(self.setting), alone=True))
        except BundleError:
            return False
        return True

    def turn(self, pace: Pace, frames: int) -> None:
        """Measure `frames` more frames at the pace."""
        run = self._runs.setdefault(pace, _Run())
        cpu_s, begun = time.process_time(), time.perf_counter_ns()
        samples = self._back_to_back(frames) if pace.rate_per_min is None else self._paced(pace, frames)
        shown = len(samples)
        run.took_s += (time.perf_counter_ns() - begun) / 1e9
        run.cpu_s += time.process_time() - cpu_s
        run.shown += shown
        run.samples_ms += samples[-frames:]

    def note(self, pace: Pace, disturbance: Disturbance | None) -> None:
        """Record the disturbance by other processes while this pace was measured."""
        self._runs[pace].disturbances.append(disturbance)

    def series(self) -> list[Series]:
        """The measurements, one series per pace."""
        return [
            Series(
                bundle=self.bundle.label,
                way="bare",
                setting=self.setting,
                pace=pace,
                samples_ms=run.samples_ms,
                frames_per_s=run.shown / run.took_s,
                cpu_s_a_frame=run.cpu_s / run.shown,
                first_ms=self.first_ms,
                disturbance=worst(run.disturbances),
            )
            for pace, run in self._runs.items()
        ]

    def _back_to_back(self, frames: int) -> list[float]:
        """Latencies in milliseconds, first those of settling frames. Streams run in parallel, each on its share."""
        if len(self._backends) == 1:
            return _back_to_back(self._backends[0], self._pictures, SETTLE + frames)
        share = -(-(SETTLE + frames) // len(self._backends))
        found: list[list[float]] = [[] for _ in self._backends]

        def run(which: int) -> None:
            found[which] = _back_to_back(self._backends[which], self._pictures, share)

        threads = [threading.Thread(target=run, args=(which,)) for which in range(len(self._backends))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one for row in zip(*found, strict=True) for one in row]

    def _paced(self, pace: Pace, frames: int) -> list[float]:
        """Latencies in ms, from when a part's frame is there and the previous part is done, to its score."""
        backend, samples, is_first = self._backends[0], [], pace not in self._lines
        line, warmer = self._lines.setdefault(pace, self._line())
        begun = done = time.perf_counter_ns()
        for number, moment in enumerate(islice(rhythm(pace).moments(), (LEARN if is_first else SETTLE) + frames)):
            line.due = begun + round(moment * 1e9)
            if pace.keeps_warm:
                warmer.next_order()
            else:
                line.poll()
            backend.infer(self._pictures[number % len(self._pictures)])
            was_done, done = done, time.perf_counter_ns()
            samples.append((done - max(line.due, was_done)) / 1e6)
        return samples

    def _line(self) -> "tuple[_Line, Warmer]":
        """A simulated line, and the warmer that runs the model between its parts, as in a station."""
        line = _Line()
        return line, Warmer(cast(MessageSocket, line), lambda: self._backends[0].infer(self._pictures[0]))


class _Line:
    """The line as the inference child sees it: `due` is the time of the next part, in time.perf_counter_ns."""

    due = 0

    def poll(self, timeout_s: float | None = None) -> bool:
        """Wait for the part, at most `timeout_s`; returns whether it is there."""
        left_s = max(0.0, (self.due - time.perf_counter_ns()) / 1e9)
        time.sleep(left_s if timeout_s is None else min(left_s, timeout_s))
        return time.perf_counter_ns() >= self.due

    def recv(self) -> Infer:
        """The part, whose fields are not used."""
        return Infer(0, "", 0, 0)


class _Run:
    """The measurements at one pace so far."""

    def __init__(self) -> None:
        self.samples_ms: list[float] = []
        self.disturbances: list[Disturbance | None] = []
        self.took_s = self.cpu_s = 0.0
        self.shown = 0


def options(setting: Setting) -> Options:
    """The setting as options of the runtimes."""
    return Options(
        setting.threads, "bf16" if setting.precision == "bf16" else "f32", setting.streams, setting.is_spinning
    )


def _back_to_back(backend: Backend, pictures: list[Frame], frames: int) -> list[float]:
    """Latency of each frame, milliseconds."""
    samples = []
    moment = time.perf_counter_ns()
    for number in range(frames):
        backend.infer(pictures[number % len(pictures)])
        before, moment = moment, time.perf_counter_ns()
        samples.append((moment - before) / 1e6)
    return samples
