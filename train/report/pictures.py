"""Photographs as the report shows them: read once, looked at by the network, small enough to travel in the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
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
    """A photograph and what the network made of it; `cells` is its map in letterboxed coordinates, if it has one."""

    inspected: Inspected
    contract: LetterboxContract
    cells: Floats | None

    @property
    def frame(self) -> Frame:
        """The photograph, uint8 [H, W, 3] BGR, read anew each time: many are looked at. Raises DataError."""
        return read_photograph(self.inspected.photograph)

    @property
    def heat(self) -> Floats | None:
        """The map in frame coordinates, float32 [H, W]."""
        if self.cells is None:
            return None
        return map_in_frame(self.cells, self.contract, *self.frame.shape[:2])

    @property
    def truth(self) -> Frame | None:
        """The ground truth, uint8 [H, W] of 0 and 255; None where it is unknown."""
        return read_truth(self.inspected.photograph)


def looks(run: Run, inspected: Sequence[Inspected]) -> Iterator[Look]:
    """Show photographs to the network again, for its maps."""
    answers = scores_and_maps(run.network, run.contract, [one.photograph for one in inspected])
    for one, (_, cells) in zip(inspected, answers, strict=True):
        yield Look(one, run.contract, cells)


@dataclass(frozen=True)
class Drawing:
    """A photograph as the network sees it and as it draws that again: uint8 [h, w, 3] BGR at its letterboxed size.

    `heat` is where the two differ, the network's map: float32 [h, w].
    """

    seen: Frame
    drawn: Frame
    heat: Floats


def drawing(run: Run, look: Look) -> Drawing | None:
    """What a network that draws does with a photograph, without the padding; None if this one draws nothing."""
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
    return cv2.cvtColor(rgb.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
