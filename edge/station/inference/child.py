"""The inference child: loads the bundle, proves itself on the golden frames, then scores frames in the ring."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from edge.errors import EdgeError
from edge.station import gc_tuning
from edge.station.inference.warmer import Warmer
from edge.station.process.messages import Configure, Failed, Infer, Inferred, Loaded, Located, SelfTest
from edge.station.process.ring import Attached
from edge.verdict import MOST_DEFECTS

Shape: TypeAlias = tuple[int, int] | None
"""Height and width that a graph is compiled for; None: any."""

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.backends import Backend, Output
    from edge.backends.options import Options
    from edge.bundle import Bundle, Manifest
    from edge.letterbox.contract import RegionOfInterest


def run_inference(
    connection: Connection,
    path: Path,
    digest: str,
    backend: str,
    threads: int,
    spinning: bool = False,
    keep_warm: bool = False,
    streams: int = 1,
) -> None:
    """Work of the inference child; returns when told to stop.

    `path` is the folder itself, all links followed. `digest` is that of the manifest whose signature the supervisor
    checked, if it was to: whatever else lies there now, signed or not, is refused, and the runtime is given the bytes
    that were hashed here. Nothing is loaded before the first station has said what its frames are. With `streams`
    so many frames, of different stations, are scored at once and share the `threads`. With `spinning` those of ONNX
    Runtime wait busily; `keep_warm` runs the model between parts, see
    `edge.station.inference.warmer`, unless there are streams.
    """
    from edge.backends.options import Options

    if not backend.startswith("onnxruntime"):
        import openvino  # noqa: F401  takes a while; the capture child opens the source meanwhile

    configure = connection.recv()
    if not isinstance(configure, Configure):
        return
    try:
        model = _load(
            path, digest, backend, Options(threads, streams=streams, is_spinning=spinning), _shapes(configure)[0]
        )
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    seats = _Seats(model, connection)
    seats.take(configure)
    model.anysize = None  # its memory is needed no more, unless frames of any size come
    gc_tuning.settle()
    workers: queue.SimpleQueue[Infer] = queue.SimpleQueue()
    for stream in range(streams if streams > 1 else 0):
        threading.Thread(target=_work, args=(workers, seats, stream), daemon=True).start()
    keeps_warm = keep_warm and streams == 1
    next_order = Warmer(connection, seats.warm_up).next_order if keeps_warm else connection.recv
    while isinstance(order := next_order(), Infer | SelfTest | Configure):
        if isinstance(order, Configure):
            threading.Thread(target=seats.take, args=(order,), daemon=True).start()  # others' frames do not wait for it
        elif isinstance(order, SelfTest):
            seats.send(seats.proof.again())
        elif streams > 1:
            workers.put(order)
        else:
            seats.send(seats.of(order).infer(order))


def _work(orders: "queue.SimpleQueue[Infer]", seats: "_Seats", stream: int) -> None:
    """One of several threads that score frames."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            order = orders.get()
            seats.send(seats.of(order).infer(order, stream))


def _shapes(configure: Configure) -> list[Shape]:
    """The shapes (height, width) that the model is shown, each once; None: any."""
    return [*dict.fromkeys((r.height, r.width) for r in configure.regions)] or [configure.shape]


@dataclass
class _Model:
    """The bundle, compiled for each shape that any station shows it."""

    bundle: "Bundle"
    artifact: str
    options: "Options"
    golden_difference: float
    anysize: "Backend | None"
    runtimes: "dict[Shape, list[Backend]]" = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """Score from which on a frame is rejected."""
        return self.bundle.manifest.artifacts[self.artifact].threshold.value

    def prepare(self, shapes: list[Shape]) -> "dict[Shape, list[Backend]]":
        """The runtime for each of these shapes, warm, once for each stream.

        Raises BundleError if one scores differently on this machine.
        """
        from edge.backends import check_golden, check_static, load_from

        bundle, name = self.bundle, self.artifact
        refusal = bundle.manifest.letterbox.refusal
        for shape in shapes:
            if shape is not None and refusal(*shape) is not None:
                shape = None  # the station submits no frames that the contract refuses
            if shape in self.runtimes:
                continue
            anysize = self.anysize
            if anysize is None:
                anysize = load_from(bundle, name, self.options, alone=True)
                check_golden(bundle, anysize)
            runtime = anysize
            if shape is not None:
                runtime = load_from(bundle, name, self.options, shape, alone=True)
                difference = check_static(bundle, anysize, runtime, shape)
                self.golden_difference = max(self.golden_difference, difference)
            others = [runtime.clone() for _ in range(self.options.streams - 1)]
            for other in others:
                check_golden(bundle, other) if shape is None else check_static(bundle, anysize, other, shape)
            self.runtimes[shape] = [runtime, *others]
        return {shape: self.runtimes.get(shape) or self.runtimes[None] for shape in shapes}


def _load(path: Path, digest: str, backend: str, options: "Options", shape: Shape) -> _Model:
    """Load the bundle and check it against its golden frames; `auto` takes what is fastest for this shape. Where
    that has to be measured first, all artifacts run here, with instructions that suit them all.

    Raises BundleError if the bundle is damaged, or if a golden frame scores differently on this machine.
    """
    from edge.backends import check_golden, load_from
    from edge.backends.auto import fastest_artifact
    from edge.bundle import open_bundle

    bundle = open_bundle(path, digest=digest)
    if backend == "auto":
        is_refused = shape is not None and bundle.manifest.letterbox.refusal(*shape) is not None
        backend = fastest_artifact(bundle, options.threads, None if is_refused else shape)
    anysize = load_from(bundle, backend, options, alone=True)
    difference = check_golden(bundle, anysize)
    if bundle.manifest.map_threshold is not None:
        _warm_up_locating(bundle)
    return _Model(bundle, anysize.name, options, difference, anysize)


class _Seats:
    """The stations that this process serves, by number, and the pipe to the supervisor, which two threads write to."""

    def __init__(self, model: _Model, connection: Connection) -> None:
        self._model, self._connection = model, connection
        self._seats: dict[int, _Seat] = {}
        self._sending, self._compiling = threading.Lock(), threading.Lock()
        self.proof: _Proof

    def of(self, order: Infer) -> "_Seat":
        """The station that a frame is of."""
        return self._seats[order.seat]

    def take(self, configure: Configure) -> None:
        """Make ready for a station's frames and say so, or why that cannot be."""
        shapes, model = _shapes(configure), self._model
        try:
            with self._compiling:
                runtimes = model.prepare(shapes)
                if not self._seats:  # later on its runtime may be busy with frames
                    self.proof = _Proof(model, shapes[0], runtimes[shapes[0]][0])
                self._seats[configure.seat] = _Seat(model, configure, runtimes)
                model.bundle.release()
        except Exception as error:  # of a runtime, too: in a thread it would be heard by nobody
            said = str(error).strip().splitlines() or [type(error).__name__]
            self.send(Failed(said[0], configure.seat))
            return
        proof_ns = len(configure.regions or shapes) * self.proof.took_ns
        self.send(Loaded(model.artifact, model.golden_difference, proof_ns, configure.seat))

    def warm_up(self) -> None:
        """Score the golden frame once more; what was wrong is said as of a self-test."""
        said = self.proof.again()
        if said.fault is not None:
            self.send(said)

    def send(self, message: Loaded | Failed | Inferred) -> None:
        """Say it to the supervisor."""
        with self._sending:
            self._connection.send(message)


class _Proof:
    """The first golden frame, as the line's frames are, and what it scored when the runtime was started."""

    def __init__(self, model: _Model, shape: Shape, runtime: "Backend") -> None:
        from edge.backends import tiled

        bundle = model.bundle
        frame = bundle.golden()[0].frame
        if shape is not None and bundle.manifest.letterbox.refusal(*shape) is None:
            frame = tiled(frame, shape)
        self._runtime, self._frame = runtime, frame
        start = time.monotonic_ns()
        self._score = runtime.infer(frame).score
        self.took_ns = time.monotonic_ns() - start

    def again(self) -> Inferred:
        """Score it again; one runtime on one machine gives the same score every time."""
        start, score, fault = time.monotonic_ns(), float("nan"), None
        try:
            score = self._runtime.infer(self._frame).score
            if score != self._score:
                fault = f"a golden frame scores {score:.6g}, at the start it was {self._score:.6g}"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Inferred(0, score, fault, start, time.monotonic_ns())


def _warm_up_locating(bundle: "Bundle") -> None:
    """The first look for regions loads and starts what the later ones have: not while a reject waits for it."""
    import cv2

    from edge.station.inference.locating import find_regions

    cv2.setNumThreads(1)  # the model has the cores
    for golden in bundle.golden():
        if golden.map is not None:
            height, width = golden.frame.shape[:2]
            find_regions(golden.map, (height, width), bundle.manifest.letterbox, float(golden.map.mean()))


class _Seat:
    """One station's frames: its ring, its regions, and the runtime for each shape that it shows."""

    def __init__(self, model: _Model, configure: Configure, runtimes: "dict[Shape, list[Backend]]") -> None:
        self.runtimes = runtimes
        self._model, self._regions, self._ring = model, configure.regions, Attached()
        self._aggregate = configure.aggregate

    def _runtime(self, height: int, width: int, stream: int) -> "Backend":
        return (self.runtimes.get((height, width)) or next(iter(self.runtimes.values())))[stream]

    def infer(self, order: Infer, stream: int = 0) -> Inferred:
        """Score a part's frames; whatever the runtime raises is the fault of this part and goes no further."""
        start, size = time.monotonic_ns(), (order.height, order.width)
        try:
            frames = self._ring.frame(order.memory, order.frames * order.height, order.width)
            scores, rejected = [], []
            for top in range(0, len(frames), order.height):
                outputs = self._outputs(frames[top : top + order.height], stream)
                scores.append(max((output.score for _, output in outputs), key=_badness))
                rejected.append([(region, output) for region, output in outputs if output.score >= self._threshold])
            end = time.monotonic_ns()
            worst = max(range(len(scores)), key=lambda number: _badness(scores[number]))
            score = scores[worst] if self._aggregate == "max" else fmean(scores)
            is_reject = score >= self._threshold and rejected[worst]
            located = _locate(self._model.bundle.manifest, rejected[worst], size) if is_reject else None
            return Inferred(order.seq, score, None, start, end, located, order.seat, worst)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            return Inferred(order.seq, float("nan"), fault, start, time.monotonic_ns(), seat=order.seat)

    @property
    def _threshold(self) -> float:
        return self._model.threshold

    def _outputs(self, frame: "npt.NDArray[np.uint8]", stream: int) -> list[tuple["RegionOfInterest | None", "Output"]]:
        """What the model says of the frame, or of each region of it."""
        if not self._regions:
            return [(None, self._runtime(frame.shape[0], frame.shape[1], stream).infer(frame))]
        return [(r, self._runtime(r.height, r.width, stream).infer(_cut(frame, r))) for r in self._regions]


def _badness(score: float) -> float:
    """A score that is no number is worse than any: it must not hide behind one that is."""
    return score if isfinite(score) else float("inf")


def _cut(frame: "npt.NDArray[np.uint8]", region: "RegionOfInterest") -> "npt.NDArray[np.uint8]":
    """The region of the frame, copied: runtimes want their pixels in one piece."""
    return frame[region.top : region.top + region.height, region.left : region.left + region.width].copy()


def _locate(
    manifest: "Manifest", outputs: Sequence[tuple["RegionOfInterest | None", "Output"]], shape: tuple[int, int]
) -> tuple[Located, ...] | None:
    """Where a reject's defects are, in the whole frame, the largest peak first; None where the bundle cannot tell."""
    if manifest.map_threshold is None or any(output.map is None for _, output in outputs):
        return None
    from edge.station.inference.locating import find_regions

    found = []
    for region, output in outputs:
        assert output.map is not None
        size, left, top = (shape, 0, 0) if region is None else ((region.height, region.width), region.left, region.top)
        for one in find_regions(output.map, size, manifest.letterbox, manifest.map_threshold.value):
            found.append(Located(one.x + left, one.y + top, one.width, one.height, one.area, one.peak))
    return tuple(sorted(found, key=lambda one: -one.peak)[:MOST_DEFECTS])
