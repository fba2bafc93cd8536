"""The inference child: loads the bundle, proves itself on the golden frames, then scores frames in the ring."""

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BundleError, EdgeError
from edge.station.messages import Configure, Failed, Infer, Inferred, Loaded, Located, SelfTest
from edge.station.ring import Attached

if TYPE_CHECKING:
    from edge.backends import Backend, Output
    from edge.bundle import Bundle, Manifest


def run_inference(connection: Connection, path: Path, digest: str, backend: str, threads: int) -> None:
    """Work of the inference child; returns when told to stop.

    `digest` is that of the manifest whose signature the supervisor checked, if it was to: whatever else lies there now,
    signed or not, is refused.
    """
    if not backend.startswith("onnxruntime"):
        import openvino  # noqa: F401  takes a while; the capture child opens the source meanwhile

    configure = connection.recv()
    if not isinstance(configure, Configure):
        return
    try:
        runtime, bundle, loaded = _prepare(path, digest, backend, threads, configure.shape)
        proof = _Proof(bundle, runtime, configure.shape)
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    connection.send(loaded._replace(proof_ns=proof.took_ns))
    ring = Attached()
    while isinstance(order := connection.recv(), Infer | SelfTest):
        connection.send(_infer(runtime, bundle.manifest, ring, order) if isinstance(order, Infer) else proof.again())


class _Proof:
    """The first golden frame, as the line's frames are, and what it scored when the runtime was started."""

    def __init__(self, bundle: "Bundle", runtime: "Backend", shape: tuple[int, int] | None) -> None:
        from edge.backends import tiled

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


def _prepare(
    path: Path, digest: str, backend: str, threads: int, shape: tuple[int, int] | None
) -> tuple["Backend", "Bundle", Loaded]:
    """Load, check against the golden frames, compile for the camera's shape, and warm up.

    Raises BundleError if the bundle is damaged, or if a golden frame scores differently on this machine.
    """
    from edge.backends import check_golden, check_static, load_from
    from edge.backends.auto import fastest_artifact
    from edge.bundle import load_bundle

    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"{path}: another bundle lies there since the station started; start the station again")
    if shape is not None and bundle.manifest.letterbox.refusal(*shape) is not None:
        shape = None  # the station submits none of these frames
    if backend == "auto":
        backend = fastest_artifact(bundle, threads, shape)
    runtime = load_from(bundle, backend, threads)
    difference = check_golden(bundle, runtime)
    if shape is not None:
        fixed = load_from(bundle, backend, threads, shape)
        difference = max(difference, check_static(bundle, runtime, fixed, shape))
        runtime = fixed
    if bundle.manifest.map_threshold is not None:
        _warm_up_locating(bundle)
    return runtime, bundle, Loaded(runtime.name, difference)


def _warm_up_locating(bundle: "Bundle") -> None:
    """The first look for regions loads and starts what the later ones have: not while a reject waits for it."""
    from edge.regions import find_regions

    for golden in bundle.golden():
        if golden.map is not None:
            height, width = golden.frame.shape[:2]
            find_regions(golden.map, (height, width), bundle.manifest.letterbox, float(golden.map.mean()))


def _infer(runtime: "Backend", manifest: "Manifest", ring: Attached, order: Infer) -> Inferred:
    """Score one frame; whatever the runtime raises is the fault of this frame and goes no further."""
    start = time.monotonic_ns()
    try:
        output = runtime.infer(ring.frame(order.memory, order.height, order.width))
        end = time.monotonic_ns()
        threshold = manifest.artifacts[runtime.name].threshold.value
        located = _locate(output, manifest, order) if output.score >= threshold else None
        return Inferred(order.seq, output.score, None, start, end, located)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Inferred(order.seq, float("nan"), fault, start, time.monotonic_ns())


def _locate(output: "Output", manifest: "Manifest", order: Infer) -> tuple[Located, ...] | None:
    """Where a reject's defects are; None where the bundle cannot tell."""
    if output.map is None or manifest.map_threshold is None:
        return None
    from edge.regions import find_regions

    found = find_regions(output.map, (order.height, order.width), manifest.letterbox, manifest.map_threshold.value)
    return tuple(Located(one.x, one.y, one.width, one.height, one.area, one.peak) for one in found)
