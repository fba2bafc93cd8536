"""Interface of a runtime at export: writing its artifacts in float32 and int8, and reading tensors inside them."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract

Floats = npt.NDArray[np.float32]

IMAGE = "image"
"""Name of the letterboxed picture in the graphs: float32 [1, 3, S, S]."""

ONNX_PATH = "model.onnx"
"""Path in a bundle of the float32 ONNX graph, from which the other artifacts are made."""

WeightBits = Literal[7, 8]

Inputs = dict[str, Floats]
"""One letterboxed photograph: `image` float32 [1, C, S, S] and `mask` float32 [1, 1, S, S]."""


class Inside(Protocol):
    """A graph whose inner tensors can be read."""

    def look(self, frame: Frame) -> dict[str, Floats]:
        """The requested tensors for `frame`, by name. `frame` is in the form of `edge.letterbox.frame.graph_frame`."""
        ...


@dataclass
class Quantizer(ABC):
    """Post-training quantization of the network. The letterbox stays float32 and is prepended afterwards.

    Ranges are the smallest and largest values on the calibration photographs: a defect is an outlier, which a narrower
    range would clip. Weights are symmetric, with one scale per channel. CPUs without VNNI add two products of uint8 and
    int8 in 16 bits, which saturates unless weights have only 7 bits. Each call writes one artifact.
    """

    path: ClassVar[str]
    """Path of the artifact, relative to the bundle."""

    network: onnx.ModelProto
    contract: LetterboxContract
    photographs: list[Inputs]
    metadata: dict[str, str]
    weight_bits: WeightBits = 8

    @abstractmethod
    def __call__(self, integer: set[str], path: Path) -> None:
        """Write the artifact at `path`, in which only the ONNX nodes named in `integer` compute in int8.

        The caller ensures that there is no file at `path`.
        """

    @staticmethod
    @abstractmethod
    def integer_layers(path: Path) -> int:
        """Number of layers of the artifact at `path` that the runtime actually computes in int8 on this machine; it may
        be less than requested.
        """


class ExportRuntime(ABC):
    """An inference runtime at export. Each module of `export.runtimes` has one, called RUNTIME."""

    name: ClassVar[str]
    """Name, as in `edge.runtimes.RUNTIMES`."""
    title: ClassVar[str]
    """Name as written by its vendor, for messages."""
    path: ClassVar[str]
    """Path of its float32 artifact, relative to the bundle."""
    quantizer: ClassVar[type[Quantizer] | None] = None
    """The class that writes its int8 artifacts; None if it has none."""
    reads_onnx: ClassVar[bool] = False
    """Whether the runtime can load the ONNX graph instead of an artifact in its own format."""
    rank: ClassVar[int] = 0
    """The map threshold of a bundle is chosen on the maps of the runtime with the highest rank."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Python packages whose versions are recorded in a bundle's provenance."""

    @abstractmethod
    def write(self, onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        """Write the float32 artifact at `path` from the ONNX graph; not called if `path` is `onnx_path`."""

    def refusal(self, model: onnx.ModelProto) -> str | None:
        """The runtime's error message if it cannot compile a foreign ONNX graph; None if it can."""
        return None

    @abstractmethod
    def inside(self, path: Path, tensors: list[str]) -> Inside:
        """The artifact at `path`, for frames of any size, with the tensors of these names as outputs."""

    def fixed_letterbox(self, contract: LetterboxContract) -> Inside | None:
        """The letterbox that replaces that of the graph for a fixed frame size; None if the runtime has none."""
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress output of the quantizers, which warn about intended settings and overwrite the progress display."""
    loggers: list[Any] = [logging.getLogger(), logging.getLogger("nncf")]
    levels = [logger.level for logger in loggers]
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
