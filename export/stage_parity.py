"""The stages before score and map: the letterboxed picture, and a late layer of the network.

A score that is off does not say where to look; the first stage that is off does.
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
"""Bound of the letterboxed picture against training, of values from 0 to 1: one grey level."""

BETWEEN = 1e-4
"""Bound of the letterboxed picture between the runtimes, of values from 0 to 1."""

LAYER = 1e-4
"""Bound of a late layer against PyTorch: the norm of the difference, as a share of the layer's norm on that frame, or
of its usual one on drawn frames where that is more: of a logit near zero its own would ask more than float32 has."""

DRAWN = 7
"""Hard frames, the small noisy ones, that say how large a layer usually is."""


@dataclass
class Worst:
    """The largest difference over the frames so far, and the frame it was seen on."""

    allowed: float
    frames: int = 0
    difference: float = 0.0
    frame: str = ""

    def note(self, what: str, frame: str, difference: float) -> None:
        """Raises ParityError if `difference`, of `what`, is more than is allowed, or no number."""
        if not difference <= self.allowed:
            raise ParityError(f"{what} differs by {difference:.2g} on {frame}, allowed {self.allowed:.2g}; no bundle")
        self.frames += 1
        if difference >= self.difference:
            self.difference, self.frame = difference, frame


@dataclass
class Stages:
    """What was found inside the graphs: by artifact, and for the letterbox also between the runtimes."""

    letterbox: dict[str, Worst]
    between: Worst
    layer: dict[str, Worst]
    module: str | None
    """Name in PyTorch of the layer that was compared; None if graph and network have none in common."""


class StageCheck:
    """Holds what passes inside the graphs against PyTorch, frame by frame; `seen` is what was found so far.

    A letterbox that a runtime has for a fixed frame size is compared, too.
    """

    def __init__(self, subject: Subject, files: Mapping[str, Path], onnx_path: Path) -> None:
        """`files` holds the float32 artifact of each runtime, made of the ONNX graph at `onnx_path`.

        Raises ParityError where no layer of the graph has the values of PyTorch's layer in the same place.
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
        """Hold one frame against PyTorch's letterboxed `image` float32 [C, S, S] and the layer it was `heard` to give.

        Raises ParityError at the first difference beyond a stage's bound.
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
    """The root mean square over the frames of the norm of what `module` gives."""
    norms = []
    with listening(subject.network, [module]) as heard:
        for frame in frames:
            image, mask = letterboxed(frame, subject.contract)
            subject.network(image[None], mask[None])
            norms.append(np.linalg.norm(heard[module]))
    return float(np.sqrt(np.mean(np.square(norms))))
