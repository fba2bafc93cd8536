"""The stages before score and map: the letterboxed picture, and a late layer of the network.

A score that is off does not say where to look; the first stage that is off does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.frame import graph_frame
from export.hard_frames import hard_frames
from export.inside import (
    IMAGE,
    FixedLetterbox,
    Frame,
    Inside,
    InsideOnnx,
    InsideOpenVino,
    ParityError,
    late_layer,
    listening,
)
from export.subject import Subject
from train.letterbox import letterboxed

LEVEL = 1 / 255
"""Bound of the letterboxed picture against training, of values from 0 to 1: one grey level."""

BETWEEN = 1e-4
"""Bound of the letterboxed picture between the runtimes, of values from 0 to 1."""

LAYER = 1e-4
"""Bound of a late layer against PyTorch: the norm of the difference, as a share of the root mean square over the frames
of the layer's norm. A share of the one frame's own norm would ask of a logit near zero more than float32 has."""


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


def compare_inside(
    subject: Subject,
    onnx_path: Path,
    openvino_path: Path,
    frames: Iterable[tuple[str, Frame]],
    tick: Callable[[], None],
) -> Stages:
    """Compare letterbox and late layer of both runtimes with PyTorch's on each frame, and the runtimes' letterboxes.

    OpenVINO's letterbox for a fixed frame size is compared, too. Raises ParityError at the first difference beyond a
    stage's bound.
    """
    drawn = next(iter(hard_frames(subject.contract)))[1]
    layer = late_layer(subject, onnx_path, drawn)
    tensors = [IMAGE] if layer is None else [IMAGE, layer.tensor]
    insides: dict[str, Inside] = {
        "onnxruntime": InsideOnnx(onnx_path, tensors),
        "openvino": InsideOpenVino(openvino_path, tensors),
        "openvino, fixed size": FixedLetterbox(subject.contract),
    }
    seen = Stages(
        letterbox={name: Worst(LEVEL) for name in insides},
        between=Worst(BETWEEN),
        layer={} if layer is None else {name: Worst(LAYER) for name in ("onnxruntime", "openvino")},
        module=None if layer is None else layer.module,
    )
    norms: list[float] = []
    distances: dict[str, list[tuple[str, float]]] = {artifact: [] for artifact in seen.layer}
    std = np.reshape(subject.contract.std, (1, -1, 1, 1)).astype(np.float32)
    with listening(subject.network, [] if layer is None else [layer.module]) as heard:
        for name, frame in frames:
            image, mask = letterboxed(frame, subject.contract)
            if layer is not None:
                subject.network(image[None], mask[None])
            given = graph_frame(frame, subject.contract)
            said = {artifact: inside.look(given) for artifact, inside in insides.items()}
            pictures = {artifact: tensors[IMAGE] * std for artifact, tensors in said.items()}
            for artifact, picture in pictures.items():
                apart = float(np.abs(picture - image[None].numpy() * std).max())
                seen.letterbox[artifact].note(f"letterboxed picture of {artifact}", name, apart)
            spread = float(np.ptp(np.stack(list(pictures.values())), axis=0).max())
            seen.between.note("letterboxed picture, from runtime to runtime,", name, spread)
            if layer is not None:
                expected = heard[layer.module]
                norms.append(float(np.linalg.norm(expected)))
                for artifact in seen.layer:
                    apart = float(np.linalg.norm(said[artifact][layer.tensor] - expected))
                    distances[artifact].append((name, apart))
            tick()
    usual = float(np.sqrt(np.mean(np.square(norms)))) if any(norms) else 1.0
    for artifact, worst in seen.layer.items():
        for name, apart in distances[artifact]:
            worst.note(f"layer {seen.module} in {artifact}", name, apart / usual)
    return seen
