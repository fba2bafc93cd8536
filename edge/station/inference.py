"""The inference child: loads the bundle, proves itself on the golden frames, then scores frames in the ring."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from edge.errors import BundleError, EdgeError
from edge.station.messages import Configure, Failed, Infer, Inferred, Loaded, Located, SelfTest
from edge.station.ring import Attached
from edge.verdict import MOST_DEFECTS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.backends import Backend, Output
    from edge.bundle import Bundle, Manifest
    from edge.contract import RegionOfInterest


def run_inference(
    connection: Connection,
    path: Path,
    digest: str,
    backend: str,
    threads: int,
    regions: tuple["RegionOfInterest", ...] = (),
    aggregate: Literal["max", "mean"] = "max",
) -> None:
    """Work of the inference child; returns when told to stop.

    `digest` is that of the manifest whose signature the supervisor checked, if it was to: whatever else lies there now,
    signed or not, is refused. With `regions` the model is shown each of them instead of the frame; the worst score
    decides. The scores of several frames of one part become one as `aggregate` says.
    """
    if not backend.startswith("onnxruntime"):
        import openvino  # noqa: F401  takes a while; the capture child opens the source meanwhile

    configure = connection.recv()
    if not isinstance(configure, Configure):
        return
    shapes: list[tuple[int, int] | None] = [*dict.fromkeys((r.height, r.width) for r in regions)] or [configure.shape]
    try:
        model = _prepare(path, digest, backend, threads, shapes)
        proof = _Proof(model, shapes[0])
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    connection.send(model.loaded._replace(proof_ns=len(regions or shapes) * proof.took_ns))
    ring = Attached()
    while isinstance(order := connection.recv(), Infer | SelfTest):
        connection.send(_infer(model, regions, aggregate, ring, order) if isinstance(order, Infer) else proof.again())


@dataclass(frozen=True)
class _Model:
    """The bundle, compiled for each shape (height, width) that is shown to it; None: for any."""

    bundle: "Bundle"
    runtimes: dict[tuple[int, int] | None, "Backend"]
    loaded: Loaded

    def of(self, height: int, width: int) -> "Backend":
        """The runtime for frames of this size."""
        return self.runtimes.get((height, width)) or next(iter(self.runtimes.values()))


class _Proof:
    """The first golden frame, as the line's frames are, and what it scored when the runtime was started."""

    def __init__(self, model: _Model, shape: tuple[int, int] | None) -> None:
        from edge.backends import tiled

        bundle, runtime = model.bundle, next(iter(model.runtimes.values()))
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


def _prepare(path: Path, digest: str, backend: str, threads: int, shapes: list[tuple[int, int] | None]) -> _Model:
    """Load, check against the golden frames, compile for each shape, and warm up.

    Raises BundleError if the bundle is damaged, or if a golden frame scores differently on this machine.
    """
    from edge.backends import check_golden, check_static, load_from
    from edge.backends.auto import fastest_artifact
    from edge.bundle import load_bundle

    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"{path}: another bundle lies there since the station started; start the station again")
    refusal = bundle.manifest.letterbox.refusal
    shapes = [  # the station submits no frames that the contract refuses
        None if shape is None or refusal(*shape) is not None else shape for shape in shapes
    ]
    if backend == "auto":
        backend = fastest_artifact(bundle, threads, shapes[0])
    anysize = load_from(bundle, backend, threads)
    difference, runtimes = check_golden(bundle, anysize), {}
    for shape in shapes:
        runtimes[shape] = anysize
        if shape is not None:
            runtimes[shape] = load_from(bundle, backend, threads, shape)
            difference = max(difference, check_static(bundle, anysize, runtimes[shape], shape))
    if bundle.manifest.map_threshold is not None:
        _warm_up_locating(bundle)
    return _Model(bundle, runtimes, Loaded(anysize.name, difference))


def _warm_up_locating(bundle: "Bundle") -> None:
    """The first look for regions loads and starts what the later ones have: not while a reject waits for it."""
    from edge.regions import find_regions

    for golden in bundle.golden():
        if golden.map is not None:
            height, width = golden.frame.shape[:2]
            find_regions(golden.map, (height, width), bundle.manifest.letterbox, float(golden.map.mean()))


def _infer(
    model: _Model,
    regions: tuple["RegionOfInterest", ...],
    aggregate: Literal["max", "mean"],
    ring: Attached,
    order: Infer,
) -> Inferred:
    """Score a part's frames; whatever the runtime raises is the fault of this part and goes no further."""
    start, shape = time.monotonic_ns(), (order.height, order.width)
    try:
        frames = ring.frame(order.memory, order.frames * order.height, order.width)
        threshold = model.bundle.manifest.artifacts[model.loaded.backend].threshold.value
        scores, places = [], []
        for top in range(0, len(frames), order.height):
            outputs = _outputs(model, regions, frames[top : top + order.height])
            end = time.monotonic_ns()
            scores.append(max((output.score for _, output in outputs), key=_badness))
            rejected = [(region, output) for region, output in outputs if output.score >= threshold]
            places.append(_locate(model.bundle.manifest, rejected, shape) if rejected else None)
        worst = max(range(len(scores)), key=lambda number: _badness(scores[number]))
        score = scores[worst] if aggregate == "max" else fmean(scores)
        located = places[worst] if score >= threshold else None
        return Inferred(order.seq, score, None, start, end, located, worst)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Inferred(order.seq, float("nan"), fault, start, time.monotonic_ns())


def _outputs(
    model: _Model, regions: tuple["RegionOfInterest", ...], frame: "npt.NDArray[np.uint8]"
) -> list[tuple["RegionOfInterest | None", "Output"]]:
    """What the model says of the frame, or of each region of it."""
    if not regions:
        return [(None, model.of(*frame.shape[:2]).infer(frame))]
    return [(region, model.of(region.height, region.width).infer(_cut(frame, region))) for region in regions]


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
    from edge.regions import find_regions

    found = []
    for region, output in outputs:
        assert output.map is not None
        size, left, top = (shape, 0, 0) if region is None else ((region.height, region.width), region.left, region.top)
        for one in find_regions(output.map, size, manifest.letterbox, manifest.map_threshold.value):
            found.append(Located(one.x + left, one.y + top, one.width, one.height, one.area, one.peak))
    return tuple(sorted(found, key=lambda one: -one.peak)[:MOST_DEFECTS])
