"""Runtimes that execute a bundle's graph: one file each, one interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.backends.onnx_file import check_onnx
from edge.backends.options import Options
from edge.bundle import Artifact, Bundle, Golden
from edge.bundle.tolerance import Bounds, ValueRange
from edge.errors import BundleError, DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.frame import graph_frame
from edge.machine import adds_int8_exactly, computes_bf16
from edge.text import printable

BACKENDS = ("openvino", "onnxruntime")
"""The runtimes; a bundle may hold several artifacts for one of them, each with a name of its own."""

MOST_SAID = 500
"""Characters of a runtime's message; it may quote as much of a graph as it likes."""


@dataclass(frozen=True)
class Output:
    """What the graph says of one frame: the score, higher is worse, and where the model has one the map.

    `map` is `float32 [h, w]` in letterboxed coordinates and may be overwritten by the next inference.
    """

    score: float
    map: npt.NDArray[np.float32] | None


class Backend(Protocol):
    """A compiled graph, called by the name of its artifact. Not for use by two threads at once."""

    name: str

    def infer(self, frame: Frame) -> Output:
        """Run one frame, `uint8 [H, W, 3]` BGR, C-contiguous; of the static shape if one was asked for."""
        ...

    def clone(self) -> "Backend":
        """The same compiled graph, for another thread to run at the same time."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Every frame has this `shape` (height, width) and is letterboxed by this contract: a camera's static variant."""

    shape: tuple[int, int]
    contract: LetterboxContract


@dataclass(frozen=True)
class Graph:
    """The bytes of an artifact. A runtime is given these: it opens no file, so they are the ones that were hashed.

    `path` is for messages, and its suffix says the format; `weights` are those of OpenVINO's own.
    """

    path: Path
    content: bytes
    weights: bytes = b""

    @classmethod
    def read(cls, path: Path) -> "Graph":
        """A file that this very process wrote. Raises OSError."""
        return cls(path, path.read_bytes(), _weights(path).read_bytes() if path.suffix == ".xml" else b"")

    @classmethod
    def of(cls, bundle: Bundle, artifact: Artifact) -> "Graph":
        """An artifact of a bundle. Raises BundleError if it is not as exported."""
        path, weights = Path(artifact.path), _weights(Path(artifact.path)).as_posix()
        has_weights = path.suffix == ".xml" and weights in bundle.manifest.files
        content = bundle.content(artifact.path)
        return cls(bundle.path / path, content, bundle.content(weights) if has_weights else b"")

    def check(self) -> None:
        """Raise OnnxError or ValueError if a runtime would take it for another format, or open other files for it."""
        if self.path.suffix != ".xml":
            check_onnx(self.content)
        elif not self.content.lstrip().startswith(b"<"):
            raise ValueError("no XML")


def _weights(path: Path) -> Path:
    return path.with_suffix(".bin")


class Fed:
    """A backend whose graph is given each frame as its contract says; see `edge.letterbox.frame.graph_frame`."""

    def __init__(self, graph: Backend, contract: LetterboxContract) -> None:
        """`graph` takes what comes out of `graph_frame`."""
        self.name, self._graph, self._contract = graph.name, graph, contract

    def infer(self, frame: Frame) -> Output:
        """See `Backend.infer`. Raises DataError if the frame does not hold the contract's region."""
        return self._graph.infer(graph_frame(frame, self._contract))

    def clone(self) -> Backend:
        """See `Backend.beside`."""
        other = Fed(self._graph.clone(), self._contract)
        other.name = self.name
        return other


def load_backend(
    name: str,
    graph: Graph | Path,
    options: Options | int,
    contract: LetterboxContract,
    shape: tuple[int, int] | None = None,
) -> Backend:
    """Compile `graph`, or the file of one, with a letterbox by `contract`, for the runtime called `name`, one of
    BACKENDS.

    A number for `options` is the number of threads of one inference. `shape` (height, width) compiles the static
    variant, which is faster; None accepts frames of any size. Raises DataError if a frame of that shape does not hold
    the contract's region, BundleError if the runtime refuses the artifact or cannot do here what the options say.
    """
    options, path = Options.of(options), graph if isinstance(graph, Path) else graph.path
    if refusal := refuses(name, options):
        raise BundleError(f"{path}: {refusal}")
    if shape is not None:
        contract.fit(*shape)
    fixed = None if shape is None else Fixed(shape, contract)
    module: Any = import_module(f"edge.backends.{name}")
    try:
        graph = Graph.read(graph) if isinstance(graph, Path) else graph
        graph.check()
        backend: Backend = module.load(graph, options, fixed)
    except Exception as error:  # each runtime has its own kinds
        raise BundleError(f"{path}: {name} cannot load it: {_reason(error)}; export the bundle again") from error
    return Fed(backend, contract)


def tried(backend: Backend, frame: Frame, what: str) -> Output:
    """What a graph that is not known to work says of a frame, called `what`. Raises BundleError if it fails on it."""
    try:
        return backend.infer(frame)
    except DataError:
        raise
    except Exception as error:  # each runtime has its own kinds
        raise BundleError(f"{what} fails in {backend.name}: {_reason(error)}; export the bundle again") from error


def _reason(error: Exception) -> str:
    """The last line of what a runtime says, which is the one about the graph."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[-1])[:MOST_SAID]


def refuses(runtime: str, options: Options) -> str | None:
    """Why the runtime of that name, one of BACKENDS, cannot compute so on this machine; None if it can."""
    if options.precision == "bf16" and runtime != "openvino":
        return f"{runtime} computes no graph of float32 in bf16; openvino does"
    if options.precision == "bf16" and not computes_bf16():
        return "this CPU has no bf16 (neither avx512_bf16 nor amx_bf16); measure f32"
    if not 1 <= options.streams <= options.threads:
        return f"{options.streams} streams need a thread each, and there are {options.threads}"
    return None


def is_exact_here(artifact: Artifact) -> bool:
    """Whether this CPU can hold the sums of its products."""
    return artifact.quantization is None or artifact.quantization.weight_bits == 7 or adds_int8_exactly()


def check_golden(bundle: Bundle, backend: Backend) -> float:
    """Run the golden frames through `backend` and return the largest difference from PyTorch's score or map.

    It is given as that of a score in the manifest's range, to be held against golden_tolerance: differences beyond the
    range, and of maps, count by their share of what is allowed there. Raises BundleError, naming the frame and the
    difference, where it exceeds what the manifest allows.
    """
    frames = bundle.golden()
    if not frames:
        raise BundleError(f"{bundle.path}: no golden frames, so nothing can be proven here; export the bundle again")
    bounds = _provable(bundle, backend.name, frames)
    return max(
        _check(
            tried(backend, np.ascontiguousarray(golden.frame), f"{bundle.path}: golden frame {number}"),
            Output(golden.score, golden.map),
            f"{bundle.path}: golden frame {number} ({golden.frame.shape[1]}×{golden.frame.shape[0]})",
            backend.name,
            bounds,
        )
        for number, golden in enumerate(frames)
    )


def _provable(bundle: Bundle, name: str, frames: Sequence[Golden]) -> Bounds:
    """The bounds of an artifact. Raises BundleError where no golden frame could fail by them."""
    bounds, threshold = bundle.manifest.bounds(name), bundle.artifact(name).threshold.value
    spread = ValueRange.of([threshold, *(golden.score for golden in frames)]).spread
    if bounds.scores is None and bounds.score_tolerance > spread:
        raise BundleError(
            f"{bundle.path}: golden_tolerance of {name} is {bounds.score_tolerance:g}, more than the range of the "
            f"golden scores, {spread:.2g}, so nothing can be proven here; export the bundle again"
        )
    return bounds


def _check(found: Output, expected: Output, what: str, backend: str, bounds: Bounds) -> float:
    """The larger difference of score and map, as one of a score in the range.

    Raises BundleError where one exceeds `bounds` or is no number.
    """
    remedy = "try the other backend or export the bundle again"
    growth = bounds.score_growth(expected.score)
    far, allowed = abs(found.score - expected.score), bounds.score_tolerance * growth
    if not far <= allowed:
        raise BundleError(
            f"{what} scores {found.score:.6g} in {backend} on this machine instead of {expected.score:.6g}, "
            f"{far:.2g} off, allowed {allowed:.2g}; {remedy}"
        )
    if expected.map is None and found.map is None:
        return far / growth
    if expected.map is None or found.map is None or expected.map.shape != found.map.shape:
        raise BundleError(f"{what}: the map in {backend} on this machine is not of the expected shape; {remedy}")
    map_far = float(np.abs(found.map - expected.map).max())
    allowed = bounds.map_tolerance * bounds.map_growth(float(expected.map.min()), float(expected.map.max()))
    if not map_far <= allowed:
        raise BundleError(
            f"{what}: the map is {map_far:.2g} off in {backend} on this machine, allowed {allowed:.2g}; {remedy}"
        )
    return max(far / growth, map_far / allowed * bounds.score_tolerance)


def load_from(
    bundle: Bundle, name: str, options: Options | int, shape: tuple[int, int] | None = None, alone: bool = False
) -> Backend:
    """Compile the bundle's artifact `name`, for frames of `shape` (height, width) or, if None, of any size.

    A number for `options` is the number of threads. `alone` says that this process runs no other artifact with
    OpenVINO, so that it may choose its instructions for this one. Raises BundleError if the bundle has no such artifact
    or this CPU would compute it wrongly or not so, DataError if such frames do not hold its region.
    """
    artifact = bundle.artifact(name)
    if not is_exact_here(artifact):
        raise BundleError(
            f"{bundle.path}: {name} has int8 weights of 8 bits, whose sums saturate on a CPU without VNNI, "
            f"as this one seems to be: run {artifact.backend}, or export with --weight-bits 7"
        )
    if artifact.backend == "openvino" and is_float32(bundle, Options.of(options), name if alone else None):
        from edge.backends.openvino import pass_over_amx

        pass_over_amx()
    backend = load_backend(artifact.backend, Graph.of(bundle, artifact), options, bundle.manifest.letterbox, shape)
    backend.name = name
    return backend


def is_float32(bundle: Bundle, options: Options, name: str | None = None) -> bool:
    """Whether the artifact `name`, or if None all that OpenVINO may run of this bundle, computes in float32, letterbox
    apart.
    """
    artifacts = bundle.manifest.artifacts.values() if name is None else [bundle.artifact(name)]
    return options.precision == "f32" and all(a.backend != "openvino" or a.precision == "f32" for a in artifacts)


def check_static(bundle: Bundle, anysize: Backend, fixed: Backend, shape: tuple[int, int]) -> float:
    """Compare the static variant with the graph that passed the golden frames, on those frames tiled to `shape`.

    Returns the largest difference as `check_golden` does; raises BundleError where it exceeds what the manifest allows.
    The runs of `fixed` are also its warm-up.
    """
    worst, bounds = 0.0, bundle.manifest.bounds(fixed.name)
    for number, golden in enumerate(bundle.golden()):
        frame = tiled(golden.frame, shape)
        what = f"{bundle.path}: golden frame {number}, tiled to {shape[1]}×{shape[0]} and compiled for it,"
        found, expected = tried(fixed, frame, what), tried(anysize, frame, what)
        worst = max(worst, _check(found, expected, what, fixed.name, bounds))
    return worst


def tiled(frame: Frame, shape: tuple[int, int]) -> Frame:
    """The frame uint8 [h, w, 3] beside and below itself until it fills `shape` (height, width)."""
    repeats = (-(-shape[0] // frame.shape[0]), -(-shape[1] // frame.shape[1]), 1)
    return np.ascontiguousarray(np.tile(frame, repeats)[: shape[0], : shape[1]])
