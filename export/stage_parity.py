"""Parity of the stages before score and map: the letterboxed picture, and a late layer of the network.

A wrong score alone does not locate its cause. The first stage that differs does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from edge.frame import Frame
from edge.letterbox.frame import graph_frame
from export.activations import ParityError, late_layer, listening
from export.hard_frames import hard_frames
from export.runtimes import RUNTIMES
from export.runtimes.base import IMAGE, Floats
from export.source import Subject
from train.letterbox import letterboxed

LEVEL = 1 / 255
"""Largest difference of the letterboxed picture from that of the training, for values from 0 to 1: one grey level."""

BETWEEN = 1e-4
"""Largest difference of the letterboxed picture between the runtimes, for values from 0 to 1."""

LAYER = 1e-4
"""Largest difference of a late layer from PyTorch's: the norm of the difference, divided by the layer's norm on that
frame, or by its usual norm on drawn frames if that is larger. For a logit near zero its own norm would require more
precision than float32 has."""

DRAWN = 7
"""Number of hard frames, the small ones with noise, on which the usual norm of a layer is measured."""


@dataclass
class Worst:
    """The largest difference over the frames so far, with the name of its frame."""

    allowed: float
    frames: int = 0
    difference: float = 0.0
    frame: str = ""

    def note(self, what: str, frame: str, difference: float) -> None:
        """Add the `difference` of the stage `what` on a frame. Raises ParityError if it is too large or NaN."""
        if not difference <= self.allowed:
            raise ParityError(f"{what} differs by {difference:.2g} on {frame}, allowed {self.allowed:.2g}; no bundle")
        self.frames += 1
        if difference >= self.difference:
            self.difference, self.frame = difference, frame


@dataclass
class Stages:
    """The largest differences inside the graphs, by artifact; `between` is that of the letterbox between runtimes."""

    letterbox: dict[str, Worst]
    between: Worst
    layer: dict[str, Worst]
    module: str | None
    """Name of the compared layer's PyTorch module; None if graph and network have no layer in common."""


class StageCheck:
    """Compares tensors inside the graphs with PyTorch's, frame by frame. `seen` has the differences so far.

    A runtime's separate letterbox for a fixed frame size is compared too.
    """

    def __init__(self, subject: Subject, files: Mapping[str, Path], onnx_path: Path) -> None:
        """`files` are the float32 artifacts of the runtimes, made from the ONNX graph at `onnx_path`.

        Raises ParityError like `late_layer`.
        """
        drawn = [frame for _, frame in islice(hard_frames(subject.contract), DRAWN)]
        layer = late_layer(subject, onnx_path, drawn[0])
        tensors = [IMAGE] if layer is None else [IMAGE, layer.tensor]
        self._contract, self._layer = subject.contract, layer
        self._usual = 0.0 if layer is None else _usual_norm(subject, layer.module, drawn)
        self._insides = {name: RUNTIMES[name].inside(file, tensors) for name, file in files.items()}
        for name in files:
            if (fixed := RUNTIMES[name].fixed_letterbox(subject.contract)) is not None:
                self._insides[f"{name}, fixed size"] = fixed
        self.seen = Stages(
            letterbox={name: Worst(LEVEL) for name in self._insides},
            between=Worst(BETWEEN),
            layer={} if layer is None else {name: Worst(LAYER) for name in files},
            module=None if layer is None else layer.module,
        )

    def look(self, name: str, frame: Frame, image: Tensor, heard: Mapping[str, Floats]) -> None:
        """Compare one frame with PyTorch's letterboxed `image` float32 [C, S, S] and PyTorch's layer output in `heard`.

        Raises ParityError for the first difference beyond a stage's limit.
        """
        given, std = graph_frame(frame, self._contract), np.reshape(self._contract.std, (-1, 1, 1)).astype(np.float32)
        said = {artifact: inside.look(given) for artifact, inside in self._insides.items()}
        pictures = {artifact: tensors[IMAGE][0] * std for artifact, tensors in said.items()}
        for artifact, picture in pictures.items():
            apart = float(np.abs(picture - image.numpy() * std).max())
            self.seen.letterbox[artifact].note(f"letterboxed picture of {artifact}", name, apart)
        spread = float(np.ptp(np.stack(list(pictures.values())), axis=0).max())
        self.seen.between.note("letterboxed picture, from runtime to runtime,", name, spread)
        if self._layer is None:
            return
        expected = heard[self._layer.module]
        for artifact, worst in self.seen.layer.items():
            apart = float(np.linalg.norm(said[artifact][self._layer.tensor] - expected))
            usual = max(self._usual, float(np.linalg.norm(expected)), 1e-12)
            worst.note(f"layer {self._layer.module} in {artifact}", name, apart / usual)


def _usual_norm(subject: Subject, module: str, frames: Iterable[Frame]) -> float:
    """Root mean square, over the frames, of the norm of the output of `module`."""
    norms = []
    with listening(subject.network, [module]) as heard:
        for frame in frames:
            image, mask = letterboxed(frame, subject.contract)
            subject.network(image[None], mask[None])
            norms.append(np.linalg.norm(heard[module]))
    return float(np.sqrt(np.mean(np.square(norms))))
