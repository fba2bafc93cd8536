"""Annotations in COCO's JSON (Lin et al., ECCV 2014): polygons, run lengths and boxes. Roboflow exports them too.

    DATA/annotations/instances_val.json      the split is that of the file's name, or of its folder
    DATA/train/_annotations.coco.json        as Roboflow exports: beside the photographs of the split
    DATA/annotations.json                    no split, unless the folders of the photographs name one

A photograph in `images` with annotations is bad; their categories are its kinds of defects. One without annotations, or
with those of a category such as good or ok, is good. The photographs lie anywhere in DATA, under `file_name`. A
segmentation goes before a box; a box marks its whole rectangle.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from edge.errors import DataError
from edge.photographs.annotated import Annotation, Contents, Missing, listed, said_files
from edge.photographs.drawn_mask import Mark
from edge.photographs.json_files import read_json, says
from edge.photographs.label_folders import say_labels
from edge.photographs.label_words import split_of
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Parts
from edge.photographs.shapes import RunLengths, Shape, box, polygon, run_lengths

NAME = "COCO JSON"
SHAPE = "COCO JSON (annotations/instances_train.json or train/_annotations.coco.json)"


class Picture(BaseModel):
    """One of `images`."""

    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class Category(BaseModel):
    """One of `categories`."""

    id: int | str
    name: str


class Drawn(BaseModel):
    """One of `annotations`. `segmentation` is a list of polygons, or an object with run lengths."""

    image_id: int | str
    category_id: int | str
    id: int | str | None = None
    bbox: list[float] | None = None
    segmentation: object = None


class File(BaseModel):
    """The content of a file."""

    images: list[Picture]
    annotations: list[Drawn]
    categories: list[Category]


def signs(data: Path) -> list[str]:
    """The annotation files, unless the folders say the labels."""
    return [] if say_labels(data) else [file.relative_to(data).as_posix() for file in _files(Contents(data))]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if a file is no COCO JSON, contradicts itself, or names a picture that is not in `data`.
    """
    contents, missing = Contents(data), Missing(data)
    files = _files(contents)
    annotations = [one for file in files for one in _annotations(contents, file, missing)]
    missing.refuse()
    return listed(contents, annotations, rows, files, notes=[f"annotations in {said_files(data, files)}"])


def _files(contents: Contents) -> list[Path]:
    return [
        file
        for file in contents.ending(".json")
        if "coco" in file.name.lower()
        or file.name.startswith("instances_")
        or says(file, "images", "annotations")
        or says(file, "images", "file_name")
    ]


def _annotations(contents: Contents, file: Path, missing: Missing) -> list[Annotation]:
    content = read_json(file, File)
    names = {one.id: one.name for one in content.categories}
    pictures = {one.id: one for one in content.images}
    marks: dict[int | str, list[Mark]] = {number: [] for number in pictures}
    for index, drawn in enumerate(content.annotations):
        place = f"annotation {index if drawn.id is None else drawn.id}"
        if drawn.image_id not in pictures:
            raise DataError(f"{file}, {place}: there is no image with the id {drawn.image_id}")
        if drawn.category_id not in names:
            raise DataError(f"{file}, {place}: there is no category with the id {drawn.category_id}")
        try:
            shapes = _shapes(drawn)
        except DataError as error:
            raise DataError(f"{file}, {place}: it {error}") from None
        marks[drawn.image_id] += [Mark(names[drawn.category_id], shape, place) for shape in shapes]
    split = _split(file)
    found = []
    for number, picture in pictures.items():
        path = contents.find(picture.file_name, file.parent, split)
        if path is None:
            missing.add(file, picture.file_name)
            continue
        size = (picture.height, picture.width) if picture.height and picture.width else None
        found.append(Annotation(path, file, tuple(marks[number]), size, split))
    return found


def _split(file: Path) -> str | None:
    """The split that the name of an annotation file says; None if it says none."""
    words = re.split(r"[^a-z0-9]+", file.stem.lower())
    return next((split for word in words if (split := split_of(word))), None)


def _shapes(drawn: Drawn) -> list[Shape]:
    """The shapes of one annotation. Raises DataError, with only the reason."""
    given = drawn.segmentation
    if isinstance(given, Mapping):
        return [_run(given)]
    if isinstance(given, list) and given:
        return [polygon([float(number) for number in _numbers(part)]) for part in given]
    if drawn.bbox is None or len(drawn.bbox) != 4:
        raise DataError("has neither a segmentation nor a bbox of 4 numbers")
    left, top, width, height = drawn.bbox
    return [box(left, top, left + width, top + height)]


def _numbers(part: object) -> list[float]:
    if isinstance(part, list) and all(isinstance(number, int | float) for number in part):
        return part
    raise DataError("has a segmentation that is no list of polygons, each a list of numbers")


def _run(given: Mapping[object, object]) -> RunLengths:
    counts, size = given.get("counts"), given.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise DataError("has run lengths without a size of height and width")
    if isinstance(counts, str):
        return RunLengths(run_lengths(counts), *size)
    if isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        return RunLengths(tuple(counts), *size)
    raise DataError("has run lengths whose counts are neither text nor whole numbers")
