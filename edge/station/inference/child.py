"""The inference child: loads the bundle, checks it on the golden frames, then scores frames in the ring."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from edge.errors import EdgeError
from edge.station import gc_tuning
from edge.station.inference.input_probe import InputProbe
from edge.station.inference.warmer import Warmer
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import (
    CoarseMap,
    Configure,
    Failed,
    Infer,
    Inferred,
    Loaded,
    Located,
    NamedKind,
    SelfTest,
)
from edge.station.process.ring import Attached
from edge.verdict import MOST_DEFECTS

Shape: TypeAlias = tuple[int, int] | None
"""Height and width for which a graph is compiled; None: any."""

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.backends import Backend, Output
    from edge.backends.options import Options
    from edge.bundle import Bundle, Manifest, Threshold
    from edge.letterbox.contract import RegionOfInterest


def run_inference(
    connection: MessageSocket,
    path: Path,
    digest: str,
    backend: str,
    threads: int,
    spinning: bool = False,
    keep_warm: bool = False,
    streams: int = 1,
) -> None:
    """Main function of the inference child; returns after `Stop`.

    `path` is the bundle's folder, with all links resolved. `digest` is that of the manifest whose signature the
    supervisor checked, if required: any other content is refused, signed or not, and the runtime gets the bytes that
    were hashed here. The bundle is loaded after the first station's Configure. With `streams` > 1 that many frames, of
    different stations, are scored in parallel and share the `threads`. With `spinning` ONNX Runtime's threads wait
    busily. `keep_warm` runs the model between parts, see `edge.station.inference.warmer`; not with several streams.
    """
    from edge.backends import preload
    from edge.backends.options import Options

    preload(backend)  # slow; meanwhile the capture child opens the source

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
    model.anysize = None  # frees its memory, unless frames of any size come
    gc_tuning.freeze()
    workers: queue.SimpleQueue[Infer] = queue.SimpleQueue()
    for stream in range(streams if streams > 1 else 0):
        threading.Thread(target=_work, args=(workers, seats, stream), daemon=True).start()
    keeps_warm = keep_warm and streams == 1
    next_order = Warmer(connection, seats.warm_up).next_order if keeps_warm else connection.recv
    while isinstance(order := next_order(), Infer | SelfTest | Configure):
        if isinstance(order, Configure):
            threading.Thread(target=seats.take, args=(order,), daemon=True).start()  # other stations must not wait
        elif isinstance(order, SelfTest):
            seats.send(seats.proof.again())
        elif streams > 1:
            workers.put(order)
        else:
            seats.send(seats.of(order).infer(order))
            seats.of(order).probe.compare(is_awaited=seats.are_several and connection.poll())


def _work(orders: "queue.SimpleQueue[Infer]", seats: "_Seats", stream: int) -> None:
    """One of several threads that score frames; `stream` is its number."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            order = orders.get()
            seats.send(seats.of(order).infer(order, stream))
            seats.of(order).probe.compare(is_awaited=not orders.empty())


def _shapes(configure: Configure) -> list[Shape]:
    """The distinct shapes (height, width) of the model's inputs; None: any."""
    return [*dict.fromkeys((r.height, r.width) for r in configure.regions)] or [configure.shape]


@dataclass
class _Model:
    """The bundle, compiled for each input shape of the stations."""

    bundle: "Bundle"
    artifact: str
    options: "Options"
    golden_difference: float
    anysize: "Backend | None"
    ordinary: float = 0.0
    """Median of the golden frames' maps."""
    runtimes: "dict[Shape, list[Backend]]" = field(default_factory=dict)

    @property
    def threshold(self) -> "Threshold":
        """The threshold of the artifact that runs."""
        return self.bundle.manifest.artifacts[self.artifact].threshold

    def prepare(self, shapes: list[Shape]) -> "dict[Shape, list[Backend]]":
        """The runtimes for each of these shapes, warmed up, one per stream.

        Raises BundleError if a runtime's scores differ on this machine.
        """
        from edge.backends import check_golden, check_static, load_from

        bundle, name = self.bundle, self.artifact
        refusal = bundle.manifest.letterbox.refusal
        for shape in shapes:
            if shape is not None and refusal(*shape) is not None:
                shape = None  # the station does not submit frames that the contract refuses
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
    """Load the bundle and check it against its golden frames. `auto` selects the fastest artifact for this shape; if
    that must be measured first, all artifacts run here, with instructions that are safe for all of them.

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
    import cv2

    cv2.setNumThreads(1)  # the cores are for the model
    if bundle.manifest.map_threshold is not None:
        _warm_up_locating(bundle)
    return _Model(bundle, anysize.name, options, difference, anysize, _ordinary(bundle))


class _Seats:
    """The stations that this process serves, by number, and the socket to the supervisor, written by two threads."""

    def __init__(self, model: _Model, connection: MessageSocket) -> None:
        self._model, self._connection = model, connection
        self._seats: dict[int, _Seat] = {}
        self._sending, self._compiling = threading.Lock(), threading.Lock()
        self.proof: _Proof

    @property
    def are_several(self) -> bool:
        """Whether frames of one station may wait for those of another."""
        return len(self._seats) > 1

    def of(self, order: Infer) -> "_Seat":
        """The seat of the station that submitted a frame."""
        return self._seats[order.seat]

    def take(self, configure: Configure) -> None:
        """Prepare for a station's frames and send Loaded, or Failed with the reason."""
        shapes, model = _shapes(configure), self._model
        try:
            with self._compiling:
                runtimes = model.prepare(shapes)
                if not self._seats:  # a later station's runtime may be busy with frames
                    self.proof = _Proof(model, shapes[0], runtimes[shapes[0]][0])
                self._seats[configure.seat] = _Seat(model, configure, runtimes)
                model.bundle.release()
        except Exception as error:  # also from the runtime: in a thread it would be lost
            report = str(error).strip().splitlines() or [type(error).__name__]
            self.send(Failed(report[0], configure.seat))
            return
        proof_ns = len(configure.regions or shapes) * self.proof.took_ns
        self.send(Loaded(model.artifact, model.golden_difference, proof_ns, configure.seat))

    def warm_up(self) -> None:
        """Score the golden frame again; a fault is sent as the result of a self-test."""
        report = self.proof.again()
        if report.fault is not None:
            self.send(report)

    def send(self, message: Loaded | Failed | Inferred) -> None:
        """Send a message to the supervisor; thread-safe."""
        with self._sending:
            self._connection.send(message)


class _Proof:
    """The first golden frame, tiled to the line's frame size, and its score at the start of the runtime."""

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
    """Run localisation and coarse map once, so that their imports and start-up do not delay the first reject."""
    from edge.station.inference.coarse_map import coarse_map
    from edge.station.inference.locating import find_regions

    for golden in bundle.golden():
        if golden.map is not None:
            height, width = golden.frame.shape[:2]
            find_regions(golden.map, (height, width), bundle.manifest.letterbox, float(golden.map.mean()))
            coarse_map(golden.map, (height, width), bundle.manifest.letterbox, 0.0, float(golden.map.mean()))


def _ordinary(bundle: "Bundle") -> float:
    """The median of the golden frames' maps: what a coarse map shows as cold. 0 without maps."""
    import numpy as np

    maps = [golden.map for golden in bundle.golden() if golden.map is not None]
    return float(np.median(np.concatenate([one.ravel() for one in maps]))) if maps else 0.0


class _Seat:
    """One station's frames: its ring, its regions, and the runtimes for each input shape."""

    def __init__(self, model: _Model, configure: Configure, runtimes: "dict[Shape, list[Backend]]") -> None:
        from edge.bundle.input_distance import InputDistance, InputFeatures

        manifest, self.runtimes = model.bundle.manifest, runtimes
        self.probe = InputProbe(InputDistance.of(manifest) or InputFeatures(manifest.letterbox))
        self._model, self._regions, self._ring = model, configure.regions, Attached()
        self._aggregate = configure.aggregate

    def _runtime(self, height: int, width: int, stream: int) -> "Backend":
        return (self.runtimes.get((height, width)) or next(iter(self.runtimes.values())))[stream]

    def infer(self, order: Infer, stream: int = 0) -> Inferred:
        """Score a part's frames; an exception of the runtime becomes the fault of this part only."""
        start, size = time.monotonic_ns(), (order.height, order.width)
        try:
            frames = self._ring.frame(order.memory, order.frames * order.height, order.width)
            scores, rejected, rejects = [], [], self._model.threshold.rejects
            for top in range(0, len(frames), order.height):
                outputs = self._outputs(frames[top : top + order.height], stream)
                scores.append(max((output.score for _, output in outputs), key=_severity))
                rejected.append([(region, output) for region, output in outputs if rejects(output.score)])
            end = time.monotonic_ns()
            worst = max(range(len(scores)), key=lambda number: _severity(scores[number]))
            score = scores[worst] if self._aggregate == "max" else fmean(scores)
            is_reject = rejects(score) and rejected[worst]
            located = _locate(self._model.bundle.manifest, rejected[worst], size) if is_reject else None
            kind = _kind(rejected[worst]) if is_reject else None
            coarse = None
            if (order.wants_map or (is_reject and order.keeps_map)) and len(scores) == 1:
                with contextlib.suppress(Exception):  # a picture for viewers decides nothing
                    coarse = self._coarse(outputs[0][1], size)
            measured, summed = self.probe.take(), self.probe.take_sums()
            if order.is_part:
                self.probe.copy_rows(self._compared(frames[: order.height]))
            return Inferred(
                order.seq, score, None, start, end, located, order.seat, worst, measured, summed, coarse, kind
            )
        except Exception as error:
            fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            return Inferred(order.seq, float("nan"), fault, start, time.monotonic_ns(), seat=order.seat)

    def _coarse(self, output: "Output", size: tuple[int, int]) -> "CoarseMap | None":
        """The map of a whole frame in few cells; None without a map, or if regions are judged."""
        manifest = self._model.bundle.manifest
        if self._regions or manifest.map_threshold is None or output.map is None:
            return None
        from edge.station.inference.coarse_map import coarse_map

        level = manifest.map_threshold.value
        return coarse_map(output.map, size, manifest.letterbox, min(self._model.ordinary, level), level)

    def _compared(self, frame: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.uint8]":
        """The picture that is compared with the training photographs: the frame, or one region of it in turn."""
        if not self._regions:
            return frame
        region = self._regions[self.probe.compared % len(self._regions)]
        return frame[region.top : region.top + region.height, region.left : region.left + region.width]

    def _outputs(self, frame: "npt.NDArray[np.uint8]", stream: int) -> list[tuple["RegionOfInterest | None", "Output"]]:
        """The model's outputs for the frame, or for each region of it."""
        if not self._regions:
            return [(None, self._runtime(frame.shape[0], frame.shape[1], stream).infer(frame))]
        return [(r, self._runtime(r.height, r.width, stream).infer(_cut(frame, r))) for r in self._regions]


def _kind(outputs: Sequence[tuple["RegionOfInterest | None", "Output"]]) -> NamedKind | None:
    """The most probable kind of a reject's defect, by the region with the highest score."""
    kind = max((output for _, output in outputs), key=lambda output: _severity(output.score)).kind
    return None if kind is None else NamedKind(*kind)


def _severity(score: float) -> float:
    """Sort key of a score: NaN and infinity count as worst, so that no valid score hides them."""
    return score if isfinite(score) else float("inf")


def _cut(frame: "npt.NDArray[np.uint8]", region: "RegionOfInterest") -> "npt.NDArray[np.uint8]":
    """A copy of the region of the frame: runtimes need contiguous pixels."""
    return frame[region.top : region.top + region.height, region.left : region.left + region.width].copy()


def _locate(
    manifest: "Manifest", outputs: Sequence[tuple["RegionOfInterest | None", "Output"]], shape: tuple[int, int]
) -> tuple[Located, ...] | None:
    """A reject's defects in coordinates of the whole frame, largest peak first; None if the bundle has no maps."""
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
