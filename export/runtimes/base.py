"""What an export asks of a runtime: to write its artifacts, in float32 and int8, and to look inside them."""

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
"""The letterboxed picture, in the graphs: float32 [1, 3, S, S]."""

ONNX_PATH = "model.onnx"
"""Where the float32 ONNX graph, of which the other artifacts are made, lies in a bundle."""

WeightBits = Literal[7, 8]

Inputs = dict[str, Floats]
"""One letterboxed photograph: `image` float32 [1, C, S, S] and `mask` float32 [1, 1, S, S]."""


class Inside(Protocol):
    """A graph that tells what passes inside it."""

    def look(self, frame: Frame) -> dict[str, Floats]:
        """The tensors asked for, by name, when it is shown `frame`, as `edge.letterbox.frame.graph_frame` gives it."""
        ...


@dataclass
class Quantizer(ABC):
    """Post-training quantization of the network; the letterbox stays float32 and is put in front of it afterwards.

    Ranges are the smallest and largest values seen on the calibration photographs: a defect is an outlier, and a
    narrower range clips it. Weights are symmetric, one scale for each channel. CPUs without VNNI add two products of
    uint8 and int8 in 16 bits, and saturate unless the weights take 7 of the 8 bits. Each call writes one artifact.
    """

    path: ClassVar[str]
    """Where the artifact lies in a bundle, relative to it."""

    network: onnx.ModelProto
    contract: LetterboxContract
    photographs: list[Inputs]
    metadata: dict[str, str]
    weight_bits: WeightBits = 8

    @abstractmethod
    def __call__(self, integer: set[str], path: Path) -> None:
        """Write the artifact at `path` in which the ONNX nodes named in `integer`, and no others, compute in int8.

        Overwrites nothing: there is no file at `path` yet.
        """

    @staticmethod
    @abstractmethod
    def integer_layers(path: Path) -> int:
        """How many layers of the artifact at `path` the runtime computes in int8 on this machine: what was asked for
        is no proof.
        """


class ExportRuntime(ABC):
    """An inference runtime at export. Each module of `export.runtimes` has one, called RUNTIME."""

    name: ClassVar[str]
    """As in `edge.runtimes.RUNTIMES`."""
    title: ClassVar[str]
    """As its makers write it."""
    path: ClassVar[str]
    """Where its float32 artifact lies in a bundle, relative to it."""
    quantizer: ClassVar[type[Quantizer] | None] = None
    """Writes its int8 artifacts; None if it has none."""
    reads_onnx: ClassVar[bool] = False
    """Whether it can run the ONNX graph itself, instead of an artifact of its own."""
    rank: ClassVar[int] = 0
    """The runtime of the highest rank gives the maps on which a bundle's map threshold is chosen."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Python packages whose versions a bundle's provenance names."""

    @abstractmethod
    def write(self, onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        """Write the float32 artifact at `path` from the ONNX graph; not called where `path` is `onnx_path`."""

    def refusal(self, model: onnx.ModelProto) -> str | None:
        """Why the runtime cannot compile a foreign ONNX graph, in its own words; None if it can."""
        return None

    @abstractmethod
    def inside(self, path: Path, tensors: list[str]) -> Inside:
        """The artifact at `path`, for frames of any size, with the tensors of these names as outputs."""

    def fixed_letterbox(self, contract: LetterboxContract) -> Inside | None:
        """The letterbox that replaces the graph's for a fixed frame size; None where the graph's own is kept."""
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what the quantizers print: they warn of what is intended, and draw progress over ours."""
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
