"""Counters of a station's steps in shared memory: how often each ran, and how long.

`install` runs in every process of a traced station, before any module of the project is imported. It wraps the
functions of `STEPS` as their modules are loaded. A step's time is its own: that of the steps called in it is theirs.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

VARIABLE = "EDGE_BUDGET_TRACE"
"""The environment variable with the folder of the counters; without it nothing is traced."""

STEPS = {
    "send a message": "multiprocessing.connection:Connection.send",
    "receive a message": "multiprocessing.connection:Connection.recv",
    "send a packet": "edge.station.process.message_socket:MessageSocket.send",
    "receive a packet": "edge.station.process.message_socket:MessageSocket.recv",
    "look for a packet": "edge.station.process.message_socket:MessageSocket.receive_now",
    "check the frame": "edge.station.capture.frame_checks:FrameChecks.check",
    "look whether the picture is blank": "edge.pictures.blank:blank_fault",
    "take a slot": "edge.station.capture.slots:Slots.take",
    "put the frame into its slot": "edge.station.capture.slots:Slots.store",
    "copy the frame": "edge.station.capture.slots:copy_frame",
    "wait": "edge.station.poller:Poller.sleep",
    "turn: results": "edge.station.supervisor:Station.answer",
    "turn: messages": "edge.station.supervisor:Station.receive",
    "turn: parts": "edge.station.supervisor:Station.submit",
    "turn: publish": "edge.station.supervisor:Station.publish",
    "turn: heartbeat": "edge.station.status:StationStatus.beat",
    "turn: what wakes the next one": "edge.station.cell:Cell._sleep",
    "turn: garbage": "edge.station.cell:Cell._collect_garbage",
    "control socket": "edge.station.control_server:ControlServer.serve",
    "connections": "edge.channel.channel:Channel.serve",
    "make the verdict": "edge.station.parts:judge",
    "encode": "pydantic.main:BaseModel.model_dump_json",
    "publish": "edge.channel.publisher:Publisher.send",
    "queue for the journal": "edge.records.recorder:Recorder.enter",
    "records": "edge.station.record_keeping:Records.judged",
    "watch drift": "edge.station.drift.watch:DriftWatch.judged",
    "write the journal": "edge.records.journal_writer:Writer._write",
    "score the part": "edge.station.inference.child:_Seat.infer",
    "graph": "edge.backends.runtimes.openvino:OpenVino.infer",
    "graph (ONNX Runtime)": "edge.backends.runtimes.onnxruntime:OnnxRuntime.infer",
    "pixels for the watch on the input": "edge.station.inference.input_probe:InputProbe.copy_rows",
    "watch the input": "edge.station.inference.input_probe:InputProbe.compare",
}
"""What is traced, by its name on the page: module and qualified name. What a checkout does not have is left out."""

BYTES = {
    "pickled": ("multiprocessing.reduction:ForkingPickler.dumps", "result"),
    "in messages": ("multiprocessing.connection:Connection._send_bytes", "argument"),
    "in packets": ("edge.station.process.wire:encode", "result"),
    "of frames copied": ("edge.station.capture.slots:copy_frame", "argument"),
}
"""Functions whose bytes are counted: those of their result, or of their last argument."""

FIELDS = 3
"""Of each step: calls, nanoseconds on a processor, nanoseconds by the clock. Of bytes: calls, bytes, and nothing."""


class Traced(NamedTuple):
    """A step in one process."""

    calls: int
    cpu_ns: int
    wall_ns: int


def names() -> list[str]:
    """The names of all counters, in the order in which they lie in memory."""
    return [*STEPS, *(f"bytes {name}" for name in BYTES)]


def read(folder: Path) -> dict[int, dict[str, Traced]]:
    """The counters by process and step, as they are now; steps that never ran are left out."""
    found = {}
    for file in folder.glob("*.trace"):
        numbers = memoryview(file.read_bytes()).cast("q")
        rows = [Traced(*numbers[at : at + FIELDS]) for at in range(0, len(numbers), FIELDS)]
        found[int(file.stem)] = {name: row for name, row in zip(names(), rows, strict=True) if row.calls}
    return found


def install() -> None:
    """Trace this process, if `VARIABLE` names a folder."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    counters = _counters(Path(folder) / f"{os.getpid()}.trace")
    wanted: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {}
    for number, place in enumerate(STEPS.values()):
        module, _, name = place.partition(":")
        wanted.setdefault(module, []).append((name, _timed(counters, number * FIELDS)))
    for number, (place, of) in enumerate(BYTES.values(), len(STEPS)):
        module, _, name = place.partition(":")
        wanted.setdefault(module, []).append((name, _sized(counters, number * FIELDS, of == "result")))
    sys.meta_path.insert(0, _Finder(wanted))


def _counters(file: Path) -> memoryview:
    size = len(names()) * FIELDS * 8
    file.write_bytes(bytes(size))
    with file.open("r+b") as memory:
        return memoryview(mmap.mmap(memory.fileno(), size)).cast("q")


_inner = threading.local()
"""Of each thread: `cpu` and `wall`, nanoseconds of the steps that have ended within the current one."""


def _timed(counters: memoryview, at: int) -> Callable[[Any], Any]:
    """Wraps a function: counts it at `at`."""

    def wrap(function: Any) -> Any:
        def traced(*args: Any, **kwargs: Any) -> Any:
            cpu_before, wall_before = getattr(_inner, "cpu", 0), getattr(_inner, "wall", 0)
            _inner.cpu = _inner.wall = 0
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
                counters[at] += 1
                counters[at + 1] += cpu - _inner.cpu
                counters[at + 2] += wall - _inner.wall
                _inner.cpu, _inner.wall = cpu_before + cpu, wall_before + wall

        return traced

    return wrap


def _sized(counters: memoryview, at: int, is_result: bool) -> Callable[[Any], Any]:
    """Wraps a function: counts the bytes of its result or last argument at `at`."""

    def wrap(function: Any) -> Any:
        def traced(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            counters[at] += 1
            counters[at + 1] += memoryview(result if is_result else args[-1]).nbytes
            return result

        return traced

    return wrap


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `wanted` as usual, and wraps their functions once they are loaded."""

    def __init__(self, wanted: dict[str, list[tuple[str, Callable[[Any], Any]]]]) -> None:
        self._wanted = wanted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification with a loader that wraps; None for all other modules."""
        if fullname not in self._wanted:
            return None
        wraps = self._wanted.pop(fullname)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for name, wrap in wraps:
                _replace(module, name, wrap)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _replace(module: ModuleType, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace the function of this qualified name, if the module has it."""
    *classes, last = name.split(".")
    owner: Any = module
    for one in classes:
        owner = getattr(owner, one, None)
    function = None if owner is None else inspect.getattr_static(owner, last, None)
    if isinstance(function, classmethod):
        setattr(owner, last, classmethod(wrap(function.__func__)))
    elif isinstance(function, staticmethod):
        setattr(owner, last, staticmethod(wrap(function.__func__)))
    elif function is not None:
        setattr(owner, last, wrap(function))
