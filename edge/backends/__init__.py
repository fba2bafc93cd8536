"""Runtimes that execute a bundle's graph: one file each, one interface."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge.bundle import Bundle
from edge.contract import LetterboxContract
from edge.errors import BundleError

BACKENDS = ("openvino", "onnxruntime")

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Output:
    """What the graph says of one frame: the score, higher is worse, and where the model has one the map.

    `map` is `float32 [h, w]` in letterboxed coordinates and may be overwritten by the next inference.
    """

    score: float
    map: npt.NDArray[np.float32] | None


class Backend(Protocol):
    """A compiled graph. Not for use by two threads at once."""

    name: str

    def infer(self, frame: Frame) -> Output:
        """Run one frame, `uint8 [H, W, 3]` BGR, C-contiguous; of the static shape if one was asked for."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Every frame has this `shape` (height, width) and is letterboxed by this contract: a camera's static variant."""

    shape: tuple[int, int]
    contract: LetterboxContract


def load_backend(name: str, path: Path, threads: int, fixed: Fixed | None = None) -> Backend:
    """Compile the artifact at `path` for the runtime called `name`, one of BACKENDS.

    `threads` is the number of threads of one inference. `fixed` compiles the static variant, which is faster; None
    accepts frames of any size. Raises BundleError if the runtime refuses the artifact.
    """
    module: Any = import_module(f"edge.backends.{name}")
    try:
        backend: Backend = module.load(path, threads, fixed)
    except Exception as error:  # each runtime has its own kinds
        reason = str(error).strip().splitlines()[-1]
        raise BundleError(f"{path}: {name} cannot load it: {reason}; export the bundle again") from error
    return backend


def check_golden(bundle: Bundle, backend: Backend) -> float:
    """Run the golden frames through `backend` and return the largest difference from PyTorch's score or map.

    Raises BundleError, naming the frame and the difference, where it exceeds the tolerance in the manifest.
    """
    tolerance, worst = bundle.manifest.golden_tolerance, 0.0
    for number, golden in enumerate(bundle.golden()):
        output = backend.infer(np.ascontiguousarray(golden.frame))
        what = f"{bundle.path}: golden frame {number} ({golden.frame.shape[1]}×{golden.frame.shape[0]})"
        difference = abs(output.score - golden.score)
        if not difference <= tolerance:  # also refuses NaN
            raise BundleError(
                f"{what} scores {output.score:.6g} in {backend.name} on this machine instead of {golden.score:.6g}, "
                f"{difference:.2g} off, allowed {tolerance:.2g}; try the other backend or export the bundle again"
            )
        if golden.map is not None and output.map is not None:
            far = float(np.abs(output.map - golden.map).max())
            if not far <= tolerance:
                raise BundleError(
                    f"{what}: the map is {far:.2g} off in {backend.name} on this machine, allowed {tolerance:.2g}; "
                    "try the other backend or export the bundle again"
                )
            difference = max(difference, far)
        worst = max(worst, difference)
    return worst


def load_from(bundle: Bundle, name: str, threads: int, shape: tuple[int, int] | None = None) -> Backend:
    """Compile the bundle's artifact for a backend, for frames of `shape` (height, width) or, if None, of any size.

    Raises BundleError if the bundle has no artifact for it.
    """
    fixed = None if shape is None else Fixed(shape, bundle.manifest.letterbox)
    return load_backend(name, bundle.artifact_path(name), threads, fixed)


def check_static(bundle: Bundle, anysize: Backend, fixed: Backend, shape: tuple[int, int]) -> float:
    """Compare the static variant with the graph that passed the golden frames, on a golden frame tiled to `shape`.

    Returns the difference of the scores; raises BundleError where it exceeds the manifest's tolerance. The runs of
    `fixed` are also its warm-up.
    """
    tile = bundle.golden()[0].frame
    repeats = (-(-shape[0] // tile.shape[0]), -(-shape[1] // tile.shape[1]), 1)
    frame = np.ascontiguousarray(np.tile(tile, repeats)[: shape[0], : shape[1]])
    expected = anysize.infer(frame).score
    difference = max(abs(fixed.infer(frame).score - expected) for _ in range(3))
    if not difference <= bundle.manifest.golden_tolerance:
        raise BundleError(
            f"{bundle.path}: compiled for {shape[1]}×{shape[0]}, {fixed.name} scores {difference:.2g} off the same "
            "graph for any size; try the other backend"
        )
    return difference
