"""Photographs in the report: read once, processed by the network, small enough to be embedded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import read_photograph
from edge.report.heat import Floats, map_in_frame
from train.data.photographs import read_truth
from train.letterbox import in_levels, letterboxed
from train.report.scored_photographs import Inspected
from train.run import Run
from train.score import scores_and_maps


@dataclass(frozen=True)
class Look:
    """A photograph with the network's output; `cells` is its map in letterboxed coordinates, if it has one."""

    inspected: Inspected
    contract: LetterboxContract
    cells: Floats | None

    @property
    def frame(self) -> Frame:
        """The photograph, uint8 [H, W, 3] BGR, read at each access to save memory. Raises DataError."""
        return read_photograph(self.inspected.photograph)

    @property
    def heat(self) -> Floats | None:
        """The map in frame coordinates, float32 [H, W]."""
        if self.cells is None:
            return None
        return map_in_frame(self.cells, self.contract, *self.frame.shape[:2])

    @property
    def truth(self) -> Frame | None:
        """The ground truth, uint8 [H, W] of 0 and 255; None if unknown."""
        return read_truth(self.inspected.photograph)


def looks(run: Run, inspected: Sequence[Inspected], advance: Callable[[], None] = lambda: None) -> Iterator[Look]:
    """Run the network again on photographs to get its maps; `advance` is called after each."""
    answers = scores_and_maps(run.network, run.contract, [one.photograph for one in inspected], advance)
    for one, (_, cells) in zip(inspected, answers, strict=True):
        yield Look(one, run.contract, cells)


@dataclass(frozen=True)
class Drawing:
    """A photograph as an autoencoder's input and output: uint8 [h, w, 3] BGR at its letterboxed size.

    `heat` is the network's map of their difference: float32 [h, w].
    """

    seen: Frame
    drawn: Frame
    heat: Floats


def drawing(run: Run, look: Look) -> Drawing | None:
    """An autoencoder's input and output for a photograph, without the padding; None for another network."""
    draw = getattr(run.network, "reconstruct", None)
    if draw is None or look.cells is None:
        return None
    frame = look.frame
    image, mask = letterboxed(frame, run.contract)
    with torch.inference_mode():
        drawn = draw((image * mask)[None])[0]
    if drawn.shape != image.shape or look.cells.shape != image.shape[1:]:
        return None
    box = run.contract.fit(*frame.shape[:2])
    inside = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    seen, again = (_as_frame(in_levels(picture, run.contract))[inside] for picture in (image, drawn))
    return Drawing(seen, again, look.cells[inside])


def _as_frame(levels: Tensor) -> Frame:
    rgb = (levels.expand(3, -1, -1) * 255).round().clamp(0, 255).byte().numpy()
    return np.asarray(cv2.cvtColor(rgb.transpose(1, 2, 0), cv2.COLOR_RGB2BGR), np.uint8)
