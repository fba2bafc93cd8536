"""Compiles a bundle's artifacts for their runtimes, with the frame prepared as the letterbox contract says."""

from collections.abc import Iterable
from pathlib import Path

from edge.backends.base import Backend, Fixed, Graph, Output
from edge.backends.options import Options
from edge.backends.registry import runtime_of
from edge.bundle import Artifact, Bundle
from edge.errors import BundleError, DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.frame import graph_frame
from edge.machine import adds_int8_exactly, computes_bf16
from edge.runtimes import RUNTIMES
from edge.text import printable

MOST_SAID = 500
"""Longest quotation of a runtime's message, characters; a runtime may quote large parts of a graph."""


class Fed:
    """A backend that prepares each frame by the contract, with `edge.letterbox.frame.graph_frame`."""

    def __init__(self, graph: Backend, contract: LetterboxContract) -> None:
        """`graph` takes what comes out of `graph_frame`."""
        self.name, self._graph, self._contract = graph.name, graph, contract

    def infer(self, frame: Frame) -> Output:
        """See `Backend.infer`. Raises DataError if the frame does not hold the contract's region."""
        return self._graph.infer(graph_frame(frame, self._contract))

    def clone(self) -> Backend:
        """See `Backend.clone`."""
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
    RUNTIMES.

    A number for `options` is the number of threads of one inference. `shape` (height, width) compiles the static
    variant, which is faster; None accepts frames of any size. Raises DataError if the contract's region lies outside a
    frame of that shape, BundleError if the runtime refuses the artifact or cannot compute with these options here.
    """
    options, path = Options.of(options), graph if isinstance(graph, Path) else graph.path
    if refusal := refuses(name, options):
        raise BundleError(f"{path}: {refusal}")
    if shape is not None:
        contract.fit(*shape)
    fixed = None if shape is None else Fixed(shape, contract)
    try:
        graph = Graph.read(graph) if isinstance(graph, Path) else graph
        graph.check()
        backend = runtime_of(name).load(graph, options, fixed)
    except Exception as error:  # each runtime has its own kinds
        raise BundleError(f"{path}: {name} cannot load it: {_reason(error)}; export the bundle again") from error
    return Fed(backend, contract)


def tried(backend: Backend, frame: Frame, what: str) -> Output:
    """Run a graph that may not work. Raises BundleError, naming the frame as `what`, if the runtime fails on it."""
    try:
        return backend.infer(frame)
    except DataError:
        raise
    except Exception as error:  # each runtime has its own kinds
        raise BundleError(f"{what} fails in {backend.name}: {_reason(error)}; export the bundle again") from error


def _reason(error: Exception) -> str:
    """The last line of a runtime's message, which is the one about the graph."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[-1])[:MOST_SAID]


def refuses(runtime: str, options: Options) -> str | None:
    """Why the runtime of that name, one of RUNTIMES, cannot compute with these options here; None if it can."""
    if options.precision not in runtime_of(runtime).precisions:
        others = [name for name in RUNTIMES if options.precision in runtime_of(name).precisions]
        return f"{runtime} computes no graph of float32 in {options.precision}; {' and '.join(others)} does"
    if options.precision == "bf16" and not computes_bf16():
        return "this CPU has no bf16 (neither avx512_bf16 nor amx_bf16); measure f32"
    if not 1 <= options.streams <= options.threads:
        return f"{options.streams} streams need a thread each, and there are {options.threads}"
    return None


def is_exact_here(artifact: Artifact) -> bool:
    """Whether this CPU computes the artifact exactly: int8 weights of 8 bits saturate without VNNI."""
    return artifact.quantization is None or artifact.quantization.weight_bits == 7 or adds_int8_exactly()


def load_from(
    bundle: Bundle, name: str, options: Options | int, shape: tuple[int, int] | None = None, alone: bool = False
) -> Backend:
    """Compile the bundle's artifact `name`, for frames of `shape` (height, width) or, if None, of any size.

    A number for `options` is the number of threads. `alone` says that this process runs no other artifact with the
    same runtime, so that the runtime may choose its instructions for this one. Raises BundleError if the bundle has no
    such artifact or this CPU cannot compute it exactly with these options, DataError if its region lies outside such
    frames.
    """
    artifact = bundle.artifact(name)
    if not is_exact_here(artifact):
        raise BundleError(
            f"{bundle.path}: {name} has int8 weights of 8 bits, whose sums saturate on a CPU without VNNI, "
            f"as this one seems to be: run {artifact.backend}, or export with --weight-bits 7"
        )
    same_runtime = [one for one in bundle.manifest.artifacts.values() if one.backend == artifact.backend]
    is_float32 = computes_float32([artifact] if alone else same_runtime, Options.of(options))
    runtime_of(artifact.backend).choose_instructions(is_float32)
    backend = load_backend(artifact.backend, Graph.of(bundle, artifact), options, bundle.manifest.letterbox, shape)
    backend.name = name
    return backend


def computes_float32(artifacts: Iterable[Artifact], options: Options) -> bool:
    """Whether all these artifacts, with these options, compute in float32, letterbox apart."""
    return options.precision == "f32" and all(artifact.precision == "f32" for artifact in artifacts)
