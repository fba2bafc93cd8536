"""Annotations in the XML of Pascal VOC (Everingham et al., IJCV 2010): boxes. LabelImg and Roboflow write them too.

    DATA/Annotations/STEM.xml   DATA/JPEGImages/STEM.jpg    a file may also lie beside its photograph
    DATA/ImageSets/Main/train.txt, val.txt, test.txt        optional: the stems of the photographs of each split

Else folders such as train/ or valid/ say the splits. A photograph with objects is bad, and their names are its kinds of
defects; with objects named good or ok only, without objects or without a file it is good. A box marks its whole
rectangle, from pixel xmin to pixel xmax, counted from 1. SegmentationClass/ and SegmentationObject/ are not read.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge.errors import DataError
from edge.photographs.accounting import left_out
from edge.photographs.annotated import Annotation, Contents, Missing, listed, split_by_folders, unannotated
from edge.photographs.drawn_mask import Mark
from edge.photographs.label_folders import say_labels
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import SPLITS, Parts
from edge.photographs.shapes import box
from edge.text import reason_of

NAME = "Pascal VOC XML"
SHAPE = "Pascal VOC XML (JPEGImages/ and Annotations/, or beside the photographs)"
SETS = "ImageSets/Main"
SEGMENTATIONS = ("SegmentationClass", "SegmentationObject")
FOLDERS = ("annotations", "xmls")
EDGES = ("xmin", "ymin", "xmax", "ymax")


def signs(data: Path) -> list[str]:
    """The first XML file that is an annotation, or that lies in Annotations/ or beside a photograph of its name."""
    if say_labels(data):
        return []
    return [file.relative_to(data).as_posix() for file in _files(Contents(data))[:1]]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if a file is no XML, an object has no box, a photograph is missing, or lists contradict each other.
    """
    contents, missing = Contents(data), Missing(data)
    files, annotations = _files(contents), []
    for file in files:
        root = _root(file)
        path = _photograph(contents, file, root)
        if path is None:
            missing.add(file, root.findtext("filename") or file.stem)
        else:
            annotations.append(Annotation(path, file, _marks(file, root), _size(file, root)))
    missing.refuse()
    segmentations = [path for path in contents.pictures if {*SEGMENTATIONS} & {*path.relative_to(data).parts}]
    without = [path for path in unannotated(contents, [one.path for one in annotations]) if path not in segmentations]
    unread = left_out("masks of classes, which are not read", [contents.name(path) for path in segmentations])
    lists = [file for split in SPLITS if (file := data / SETS / f"{split}.txt").is_file()]
    if not lists:
        return listed(contents, annotations, rows, [*files, *segmentations], without, unread)
    sets = _sets(lists)
    unlisted = [path for path in (*without, *(one.path for one in annotations)) if path.stem not in sets]
    unread += left_out(f"photographs that {SETS} does not name", sorted(map(contents.name, unlisted)))
    annotations = [replace(one, split=sets[one.path.stem]) for one in annotations if one.path.stem in sets]
    annotations += [Annotation(path, None, (), None, sets[path.stem]) for path in without if path.stem in sets]
    read = [*files, *segmentations, *lists, *unlisted]
    return listed(contents, annotations, rows, read, (), unread, [f"split by {SETS}"])


def _files(contents: Contents) -> list[Path]:
    stems = {(path.parent, path.stem) for path in contents.pictures}
    return [
        file
        for file in contents.ending(".xml")
        if file.parent.name.lower() in FOLDERS or (file.parent, file.stem) in stems or _is_annotation(file)
    ]


def _is_annotation(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return b"<annotation" in content.read(4096)
    except OSError:
        return False


def _root(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is not XML: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from None


def _photograph(contents: Contents, file: Path, root: ElementTree.Element) -> Path | None:
    """The picture beside the file, else the one that it names, else the one of its stem."""
    beside = contents.beside(file)
    if beside is not None:
        return beside
    named = root.findtext("filename") or ""
    near, split = file.parent.parent, split_by_folders(contents.data, file)
    return (contents.find(named, near, split) if named.strip() else None) or contents.find(file.stem, near, split)


def _size(file: Path, root: ElementTree.Element) -> tuple[int, int] | None:
    """Height and width; None if they are not stated, or stated as 0."""
    size = root.find("size")
    if size is None:
        return None
    try:
        height, width = (int(float(size.findtext(side) or 0)) for side in ("height", "width"))
    except (ValueError, OverflowError):
        raise DataError(f"{file}: its size is no width and height in pixels") from None
    return (height, width) if height and width else None


def _marks(file: Path, root: ElementTree.Element) -> tuple[Mark, ...]:
    marks = []
    for number, drawn in enumerate(root.findall("object"), 1):
        place = f"object {number}"
        try:
            left, top, right, bottom = (float(drawn.findtext(f"bndbox/{edge}") or "") for edge in EDGES)
        except ValueError:
            raise DataError(f"{file}, {place}: it has no bndbox with {', '.join(EDGES)}") from None
        kind = (drawn.findtext("name") or "").strip() or "defect"
        marks.append(Mark(kind, box(left - 1, top - 1, right, bottom), place))
    return tuple(marks)


def _sets(lists: Sequence[Path]) -> dict[str, str]:
    """The split of each photograph by its stem, from files with a stem a line, and perhaps a number after it."""
    sets: dict[str, str] = {}
    for file in lists:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read: {reason_of(error)}") from None
        for stem in (line.split()[0] for line in lines if line.strip()):
            if sets.setdefault(stem, file.stem) != file.stem:
                raise DataError(f"{file} names {stem}, which is in {sets[stem]}.txt too: a photograph has one split")
    return sets
