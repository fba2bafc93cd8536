"""What all rendered lines share: random access to parts of known truth, their photographs and masks."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from edge.demo.stamp import Pixels
from edge.demo.truth import DemoPart


@dataclass(frozen=True)
class DemoFrame:
    """One photograph of a line, `uint8 [H, W, 3]` BGR C-contiguous, and the part on it."""

    frame: Pixels
    part: DemoPart


class RenderedLine(ABC):
    """A production line with random access: any part, in any order, any number of times.

    `size` is (height, width) in pixels if every photograph has that size, else None. `defect_rate` is the probability
    that a part is bad. Raises ValueError for a rate outside 0..1 and a negative seed.
    """

    size: tuple[int, int] | None = None
    is_grey: bool = False
    """Whether the three channels of a photograph are equal; it is stored with one."""
    suffix: Literal[".jpg", ".png"] = ".jpg"
    """How a stored photograph's name ends: .png if the picture of the camera is a JPEG already."""

    def __init__(self, seed: int, defect_rate: float) -> None:
        if not 0.0 <= defect_rate <= 1.0:
            raise ValueError(f"defect rate {defect_rate}: must be 0 to 1")
        if seed < 0:
            raise ValueError(f"seed {seed}: must not be negative")
        self.seed, self.defect_rate = seed, defect_rate

    def part(self, index: int) -> DemoPart:
        """The part with this index, from 0: its code and its truth, without a drawing."""
        if index < 0:
            raise ValueError(f"part {index}: parts are counted from 0")
        return self._plan(index)

    def render(self, index: int) -> DemoFrame:
        """The photograph of one part."""
        return self.photograph(self.part(index))

    def mask(self, index: int) -> Pixels:
        """Mask of the defects of one part in its photograph: `uint8 [H, W]`, 0 or 255."""
        return self.mask_of(self.part(index))

    @abstractmethod
    def _plan(self, index: int) -> DemoPart: ...

    @abstractmethod
    def photograph(self, part: DemoPart) -> DemoFrame:
        """The photograph of a given part, for example one with a particular defect."""

    @abstractmethod
    def mask_of(self, part: DemoPart) -> Pixels:
        """Mask of the defects of a given part in its photograph: `uint8 [H, W]`, 0 or 255."""
