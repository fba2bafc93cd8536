"""Ground truth that is no file of its own: drawn on demand from annotations, or joined from several mask files."""

import hashlib
import json
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.photographs.shapes import Polygon, Shape, painted
from edge.pictures import read_bytes
from edge.pictures.header import read_header


@dataclass(frozen=True)
class Mark:
    """One annotated defect: its `kind`, its shape, and its `place` in the annotation file, such as "line 2"."""

    kind: str
    shape: Shape
    place: str


@dataclass(frozen=True)
class DrawnMask:
    """The ground truth of `photograph` as the annotations in `file` mark it.

    `size` is the (height, width) in pixels that the annotations state; None if they state none.
    """

    photograph: Path
    file: Path
    marks: tuple[Mark, ...] = field(hash=False)
    size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Name of the annotation file."""
        return self.file.name

    @property
    def has_boxes(self) -> bool:
        """Whether a defect is marked by a box, whose whole rectangle counts as defect."""
        return any(isinstance(mark.shape, Polygon) and mark.shape.is_box for mark in self.marks)

    def plane(self) -> npt.NDArray[np.uint8]:
        """The mask, uint8 [H, W] of the photograph's size, 255 on defects and 0 elsewhere.

        Raises DataError, naming annotation and photograph, if a shape lies outside or sizes contradict each other.
        """
        height, width = _size(self.photograph)
        if self.size not in (None, (height, width)) and self.size is not None:
            stated = f"{self.size[1]}×{self.size[0]}"
            turned = "; one of them is turned" if self.size == (width, height) else ""
            raise DataError(
                f"{self.file} annotates {self.photograph.name} as {stated} pixels, and it has {width}×{height}{turned}"
            )
        marked = np.zeros((height, width), bool)
        for mark in self.marks:
            try:
                marked |= painted(mark.shape, height, width)
            except DataError as error:
                raise DataError(f"{self.file}, {mark.place}: the mark on {self.photograph.name} {error}") from None
        return np.where(marked, 255, 0).astype(np.uint8)

    def sha256(self) -> str:
        """SHA-256 in hexadecimal of the shapes, whatever the file says besides."""
        shapes = [astuple(mark.shape) for mark in self.marks]
        return hashlib.sha256(json.dumps([shapes, self.size]).encode()).hexdigest()


@dataclass(frozen=True)
class JoinedMasks:
    """The ground truth of a photograph in several mask `files` of one folder: what any of them marks is defect."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name of the folder, with a slash."""
        return f"{self.files[0].parent.name}/"

    def __str__(self) -> str:
        return str(self.files[0].parent)


def _size(photograph: Path) -> tuple[int, int]:
    """Height and width in pixels, upright, from the header. Raises DataError, one line that begins with the path."""
    try:
        header = read_header(read_bytes(photograph))
    except DataError as error:
        raise DataError(f"{photograph}: {error}") from None
    is_turned = header.orientation in (5, 6, 7, 8) and header.format != "TIFF"
    return (header.width, header.height) if is_turned else (header.height, header.width)
