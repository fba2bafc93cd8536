"""Annotations in the JSON of LabelMe (Wada), a file for each photograph: polygons, rectangles and circles.

    DATA/STEM.jpg   DATA/STEM.json                    no split
    DATA/train/*    with both kinds of files          the same under val/ and test/
    DATA/images/*   DATA/annotations/STEM.json        photographs found by `imagePath`, or by the stem

A photograph with shapes is bad, and their labels are its kinds of defects; with shapes called good or ok only, without
shapes or without a file it is good. A rectangle marks all of itself.
"""

import math
from pathlib import Path

from pydantic import BaseModel

from edge.errors import DataError
from edge.photographs.annotated import Annotation, Contents, Missing, listed, split_by_folders, unannotated
from edge.photographs.drawn_mask import Mark
from edge.photographs.json_files import read_json, says
from edge.photographs.label_folders import say_labels
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Parts
from edge.photographs.shapes import Polygon, Shape, box

NAME = "LabelMe JSON"
SHAPE = "LabelMe JSON beside the photographs"
CORNERS = 64
"""Corners of the polygon that stands for a circle."""


class Drawn(BaseModel):
    """One of `shapes`."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"


class File(BaseModel):
    """The content of a file."""

    shapes: list[Drawn]
    imagePath: str | None = None  # noqa: N815 - LabelMe's names
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815


def signs(data: Path) -> list[str]:
    """The first JSON file with shapes, or with the name of the photograph beside it."""
    if say_labels(data):
        return []
    return [file.relative_to(data).as_posix() for file in _files(Contents(data))[:1]]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if a file is no JSON of LabelMe, has a shape without an area, or its photograph is missing.
    """
    contents, missing = Contents(data), Missing(data)
    files, annotations = _files(contents), []
    for file in files:
        content = read_json(file, File)
        path = _photograph(contents, file, content.imagePath or "")
        if path is None:
            missing.add(file, content.imagePath or file.stem)
            continue
        size = (content.imageHeight, content.imageWidth) if content.imageHeight and content.imageWidth else None
        annotations.append(Annotation(path, file, _marks(file, content), size))
    missing.refuse()
    return listed(contents, annotations, rows, files, unannotated(contents, [one.path for one in annotations]))


def _files(contents: Contents) -> list[Path]:
    stems = {(path.parent, path.stem) for path in contents.pictures}
    found = contents.ending(".json")
    return [file for file in found if (file.parent, file.stem) in stems or says(file, "shapes", "imagePath")]


def _photograph(contents: Contents, file: Path, named: str) -> Path | None:
    beside, split = contents.beside(file), split_by_folders(contents.data, file)
    if beside is not None:
        return beside
    return (contents.find(named, file.parent, split) if named else None) or contents.find(file.stem, file.parent, split)


def _marks(file: Path, content: File) -> tuple[Mark, ...]:
    marks = []
    for number, drawn in enumerate(content.shapes, 1):
        place = f"shape {number}"
        try:
            marks.append(Mark(drawn.label, _shape(drawn), place))
        except DataError as error:
            raise DataError(f"{file}, {place} ({drawn.label}): it {error}") from None
    return tuple(marks)


def _shape(drawn: Drawn) -> Shape:
    """The shape. Raises DataError, with only the reason."""
    kind, points = drawn.shape_type or "polygon", drawn.points
    if kind == "rectangle" and len(points) in (2, 4):
        (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*points, strict=True))
        return box(left, top, right, bottom)
    if kind == "circle" and len(points) == 2:
        (x, y), radius = points[0], math.dist(*points)
        turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
        return Polygon(tuple((x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns))
    if kind in ("polygon", "rotation") and len(points) >= 3:
        return Polygon(tuple(points))
    raise DataError(
        f"is a {kind} of {len(points)} points; a polygon of at least 3, a rectangle of 2 or a circle of 2 marks an area"
    )
