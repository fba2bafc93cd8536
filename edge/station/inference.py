"""The inference child: loads the bundle, proves itself on the golden frames, then scores frames in the ring."""

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BundleError, EdgeError
from edge.station.messages import Configure, Failed, Infer, Inferred, Loaded
from edge.station.ring import Attached

if TYPE_CHECKING:
    from edge.backends import Backend


def run_inference(connection: Connection, bundle: Path, digest: str, backend: str, threads: int) -> None:
    """Work of the inference child; returns when told to stop.

    `digest` is that of the bundle the supervisor read: another one in its place is refused.
    """
    if backend != "onnxruntime":
        import openvino  # noqa: F401  takes a while; the capture child opens the source meanwhile

    configure = connection.recv()
    if not isinstance(configure, Configure):
        return
    try:
        runtime, loaded = _prepare(bundle, digest, backend, threads, configure.shape)
    except EdgeError as error:
        connection.send(Failed(str(error)))
        return
    connection.send(loaded)
    ring = Attached()
    while isinstance(order := connection.recv(), Infer):
        connection.send(_infer(runtime, ring, order))


def _prepare(
    path: Path, digest: str, backend: str, threads: int, shape: tuple[int, int] | None
) -> tuple["Backend", Loaded]:
    """Load, check against the golden frames, compile for the camera's shape, and warm up.

    Raises BundleError if the bundle is damaged, or if a golden frame scores differently on this machine.
    """
    from edge.backends import check_golden, check_static, load_from
    from edge.backends.auto import fastest_backend
    from edge.bundle import load_bundle

    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"{path}: another bundle lies there since the station started; start the station again")
    if backend == "auto":
        backend = fastest_backend(bundle, threads, shape)
    runtime = load_from(bundle, backend, threads)
    difference = check_golden(bundle, runtime)
    if shape is not None:
        fixed = load_from(bundle, backend, threads, shape)
        difference = max(difference, check_static(bundle, runtime, fixed, shape))
        runtime = fixed
    return runtime, Loaded(runtime.name, difference)


def _infer(runtime: "Backend", ring: Attached, order: Infer) -> Inferred:
    """Score one frame; whatever the runtime raises is the fault of this frame and goes no further."""
    start = time.monotonic_ns()
    try:
        output = runtime.infer(ring.frame(order.memory, order.height, order.width))
        return Inferred(order.seq, output.score, None, start, time.monotonic_ns())
    except Exception as error:
        fault = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Inferred(order.seq, float("nan"), fault, start, time.monotonic_ns())
