"""What every inference runtime has in common: what it is given, what it returns, and what it can do."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from edge.backends.onnx_file import check_onnx
from edge.backends.options import Options, Precision
from edge.bundle import Artifact, Bundle
from edge.bundle.formats import weights_of
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract


@dataclass(frozen=True)
class Output:
    """The graph's outputs for one frame: the score, higher is worse, the map and the kinds where the model has them.

    `map` is `float32 [h, w]` in letterboxed coordinates, and `kinds` has the probability of each kind of defect,
    `float32 [kinds]`. Later inferences leave both as they are.
    """

    score: float
    map: npt.NDArray[np.float32] | None
    kinds: npt.NDArray[np.float32] | None = None

    @property
    def kind(self) -> tuple[int, float] | None:
        """The number of the most probable kind, from 1, and its probability, at most 1; None without kinds, or if no
        probability is a number: a kind decides nothing, so its absence is no fault.
        """
        if self.kinds is None:
            return None
        number, probability = max(enumerate(map(float, self.kinds), 1), key=lambda one: one[1])
        return (number, min(1.0, probability)) if probability >= 0 else None


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
    """The bytes of an artifact. A runtime gets the bytes and opens no file, so they are the bytes that were hashed.

    `path` is for messages, and its suffix names the format; `weights` is the format's second file, if it has one.
    """

    path: Path
    content: bytes
    weights: bytes = b""

    @classmethod
    def read(cls, path: Path) -> "Graph":
        """A file that this very process wrote. Raises OSError."""
        weights = weights_of(path.as_posix())
        return cls(path, path.read_bytes(), b"" if weights is None else Path(weights).read_bytes())

    @classmethod
    def of(cls, bundle: Bundle, artifact: Artifact) -> "Graph":
        """An artifact of a bundle. Raises BundleError if it is not as exported."""
        weights = weights_of(artifact.path)
        content = bundle.content(artifact.path)
        has_weights = weights is not None and weights in bundle.manifest.files
        return cls(bundle.path / artifact.path, content, bundle.content(weights) if weights and has_weights else b"")

    def check(self) -> None:
        """Raise OnnxError or ValueError if a runtime would take it for another format, or open other files for it."""
        if self.path.suffix != ".xml":
            check_onnx(self.content)
        elif not self.content.lstrip().startswith(b"<"):
            raise ValueError("no XML")


class Runtime:
    """An inference library. Each module of `edge.backends.runtimes` has one, called RUNTIME, and imports the library
    only when a graph is loaded.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]] = ("f32",)
    """Precisions in which it can compute a float32 graph."""
    can_spin: ClassVar[bool] = False
    """Whether its threads can wait busily for the next inference, see `Options.is_spinning`."""
    shares_instructions: ClassVar[bool] = False
    """Whether the first graph that a process compiles settles the instruction set of all later ones."""

    def preload(self) -> None:
        """Import the library ahead of `load`, where that takes long enough to be worth doing beside something else."""

    def choose_instructions(self, is_float32: bool) -> None:
        """Called before the process compiles a graph; `is_float32` if all that it will run computes in float32."""

    def load(self, graph: Graph, options: Options, fixed: Fixed | None) -> Backend:
        """Compile the graph. Raises whatever the library raises, or ValueError."""
        raise NotImplementedError
