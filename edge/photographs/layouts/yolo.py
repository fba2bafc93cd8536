"""Annotations as YOLO reads them (Ultralytics): boxes and segments in text files. Roboflow exports them too.

    DATA/images/train/*   DATA/labels/train/STEM.txt     or DATA/train/images/*, DATA/train/labels/STEM.txt
    DATA/images/*         DATA/labels/STEM.txt           no split; a text file may also lie beside its photograph
    DATA/data.yaml        optional: `names` of the classes; or DATA/classes.txt, a name a line

A line is a class and a box, `0 x y width height` of its centre in shares of the photograph, or a class and a polygon,
`0 x y x y x y`. A photograph with lines is bad, with those of a class such as good or ok, with an empty file or without
a file it is good. The folders say the splits; the paths in data.yaml are not read.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from edge.errors import DataError
from edge.photographs.annotated import Annotation, Contents, Missing, listed, split_by_folders, unannotated
from edge.photographs.drawn_mask import Mark
from edge.photographs.label_folders import say_labels
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Parts
from edge.photographs.shapes import Shape, box, polygon
from edge.text import reason_of

NAME = "YOLO txt"
SHAPE = "YOLO text files (images/ and labels/)"
LABELS, IMAGES = "labels", "images"
CLASSES = ("classes.txt", "obj.names", "_darknet.labels")
ROW = re.compile(r"\s*\d+(\s+-?[\d.]+(e[-+]?\d+)?){4,}\s*$", re.IGNORECASE)


def signs(data: Path) -> list[str]:
    """A text file in labels/, or named as the photograph beside it, if one has a line of numbers or a photograph."""
    if say_labels(data):
        return []
    contents = Contents(data)
    files = _files(contents)
    is_sure = any(_has_row(file) or _photograph(contents, file) for file in files)
    return [contents.name(files[0])] if is_sure else []


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if a line is no box or polygon, a class has no name, or a text file has no photograph.
    """
    contents, missing = Contents(data), Missing(data)
    files, named_by = _files(contents), _names_file(contents)
    names = [] if named_by is None else _names(named_by)
    annotations = []
    for file in files:
        path = _photograph(contents, file)
        if path is None:
            missing.add(file, f"{file.stem}, as the file is named")
        else:
            annotations.append(Annotation(path, file, _marks(file, names, named_by)))
    missing.refuse()
    without = unannotated(contents, [one.path for one in annotations])
    read = [*files, *([named_by] if named_by else [])]
    notes = [f"classes by {named_by.name}" if named_by else "no data.yaml or classes.txt names the classes"]
    return listed(contents, annotations, rows, read, without, notes=notes)


def _files(contents: Contents) -> list[Path]:
    """The text files in folders called labels; without one, those named as a photograph beside, if one has a row."""
    texts = [file for file in contents.ending(".txt") if file.name not in CLASSES]
    below = [file for file in texts if LABELS in file.relative_to(contents.data).parts[:-1]]
    stems = {(path.parent, path.stem) for path in contents.pictures}
    beside = [file for file in texts if (file.parent, file.stem) in stems]
    return below or (beside if any(map(_has_row, beside)) else [])


def _has_row(file: Path) -> bool:
    """Whether the file begins with a line of a class and numbers."""
    try:
        return ROW.match(next((line for line in _lines(file) if line.strip()), "")) is not None
    except DataError:
        return False


def _photograph(contents: Contents, file: Path) -> Path | None:
    """The picture in images/ for a file in labels/, else the one beside it, else the only one of its name."""
    parts = list(file.relative_to(contents.data).parts)
    if LABELS in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index(LABELS)
        parts[last] = IMAGES
        found = contents.beside(contents.data.joinpath(*parts))
        if found:
            return found
    return contents.beside(file) or contents.find(file.stem, file.parent, split_by_folders(contents.data, file))


def _marks(file: Path, names: Sequence[str], named_by: Path | None) -> tuple[Mark, ...]:
    marks = []
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            first, *values = [float(word) for word in line.split()]
            index = int(first)
        except (ValueError, OverflowError):
            raise DataError(f"{file}, {place}: {line.strip()[:60]!r} is not a class and numbers") from None
        if names and not 0 <= index < len(names):
            raise DataError(f"{file}, {place}: class {index} has no name in {named_by}, which names {len(names)}")
        try:
            shape = _shape(values)
        except DataError as error:
            raise DataError(f"{file}, {place}: it {error}") from None
        marks.append(Mark(names[index] if names else f"class {index}", shape, place))
    return tuple(marks)


def _shape(values: Sequence[float]) -> Shape:
    """The box or the polygon of a line without its class. Raises DataError, with only the reason."""
    if len(values) == 4:
        x, y, width, height = values
        return box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, is_relative=True)
    if len(values) < 4:
        raise DataError(f"has {len(values)} numbers after the class; a box has 4, a polygon at least 6")
    return polygon(values, is_relative=True)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from None


def _names_file(contents: Contents) -> Path | None:
    """data.yaml, another YAML file in the data folder that names classes, or a text file of names."""
    tables = [file for file in contents.ending(".yaml", ".yml") if file.parent == contents.data]
    tables.sort(key=lambda file: (file.stem != "data", file.name))
    named = [file for file in tables if any(line.startswith("names:") for line in _lines(file))]
    return next(iter([*named, *(file for name in CLASSES for file in contents.files if file.name == name)]), None)


def _names(file: Path) -> list[str]:
    """The names of the classes from 0 on. Raises DataError."""
    if file.suffix.lower() not in (".yaml", ".yml"):
        return [line.strip() for line in _lines(file) if line.strip()]
    import yaml

    try:
        content = yaml.safe_load("\n".join(_lines(file)))
    except yaml.YAMLError as error:
        raise DataError(f"{file} is not YAML: {' '.join(str(error).split())[:120]}") from None
    given = content.get("names") if isinstance(content, dict) else None
    if isinstance(given, dict) and sorted(given) == list(range(len(given))):
        given = [given[index] for index in range(len(given))]
    if not isinstance(given, list) or not given:
        raise DataError(f"{file}: 'names' must be a list of the classes' names, or a table from 0 on")
    return [str(name) for name in given]
