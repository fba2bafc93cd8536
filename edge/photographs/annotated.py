"""Photographs that annotation files describe: found by what the files call them, labelled and masked by their marks."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import DataError
from edge.photographs.accounting import FIRST, MASK_FOLDERS, LeftOut, named, walk
from edge.photographs.drawn_mask import DrawnMask, Mark
from edge.photographs.label_words import label_of, split_of
from edge.photographs.layouts.base import Listed, Splits, completed
from edge.photographs.photograph import Parts, labelled_file
from edge.pictures import is_picture_name
from edge.text import counted

PHOTOGRAPH_FOLDERS = ("images", "jpegimages", "imgs", "photographs")
"""Names of folders whose pictures are all photographs, whether they are annotated or not."""


@dataclass(frozen=True)
class Annotation:
    """What `file` says of the picture `path`; None if the picture is listed without a file of its own.

    `size` is the (height, width) that it states, None if none; `split` is None if the folders say it.
    """

    path: Path
    file: Path | None
    marks: tuple[Mark, ...]
    size: tuple[int, int] | None = None
    split: str | None = None


@dataclass
class Missing:
    """Names in annotation files for which there is no picture, to be reported together."""

    data: Path
    names: dict[Path, list[str]] = field(default_factory=dict)

    def add(self, file: Path, name: str) -> None:
        """One more name in `file`."""
        self.names.setdefault(file, []).append(name)

    def refuse(self) -> None:
        """Raise DataError if there are any, naming the first file with the first few."""
        for file, names in self.names.items():
            more = f", and {counted(len(self.names) - 1, 'more file')} do so" if len(self.names) > 1 else ""
            raise DataError(
                f"{file} names {counted(len(names), 'picture')} not in {self.data} ({named(names, len(names))}){more}: "
                "add what is missing, or take it out of the annotations"
            )


class Contents:
    """All files below a data folder but hidden ones, runs and bundles, and the pictures among them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.files = [path for path, kind in walk(data) if kind == "file"]
        self.pictures = [path for path in self.files if is_picture_name(path)]
        self._known = {os.path.normpath(path): path for path in self.pictures}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in self.pictures:
            self._by_name.setdefault(path.name, []).append(path)
            self._by_stem.setdefault(path.stem, []).append(path)

    def name(self, path: Path) -> str:
        """The path from the data folder, with slashes."""
        return path.relative_to(self.data).as_posix()

    def ending(self, *suffixes: str) -> list[Path]:
        """The files whose names end so, in any case."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def find(self, name: str, near: Path, split: str | None = None, is_mask: bool = False) -> Path | None:
        """The picture that an annotation in the folder `near`, for `split` if it is known, calls `name`; None if there
        is none.

        Tried are the path from `near` and from the data folder, then the pictures of the same name with the longest
        common end of the path, then those of the same name but for the suffix. Of these, folders for masks have the
        masks, and those for photographs go before others. Raises DataError if several are left, of which neither one
        alone is below `near` nor one alone in a folder of the split.
        """
        wanted = name.strip().replace("\\", "/")
        for folder in (near, self.data):
            if (path := self._known.get(os.path.normpath(folder / wanted))) is not None:
                return path
        parts = [part for part in wanted.split("/") if part not in ("", ".", "..")]
        last = parts[-1] if parts else ""
        same = self._meant(self._by_name.get(last, []), is_mask)
        for start in range(len(parts)):
            tail = "/" + "/".join(parts[start:])
            if ending := [path for path in same if path.as_posix().endswith(tail)]:
                return self._only(ending, name, near, split)
        stem = Path(last).stem if is_picture_name(Path(last)) else last
        alike = self._meant(self._by_stem.get(stem, []), is_mask)
        return self._only(alike, name, near, split) if alike else None

    def beside(self, file: Path) -> Path | None:
        """The picture in the same folder with the same stem; None if there is none. Raises DataError for several."""
        found = [path for path in self._by_stem.get(file.stem, []) if path.parent == file.parent]
        return self._only(found, file.stem, file.parent, None) if found else None

    def _meant(self, found: Sequence[Path], is_mask: bool) -> list[Path]:
        """Those in folders for masks, or the others: first those in folders for photographs."""
        masks = [path for path in found if self.is_in_masks(path)]
        if is_mask:
            return masks or [*found]
        others = [path for path in found if path not in masks]
        return [path for path in others if is_for_photographs(self.data, path)] or others

    def is_in_masks(self, path: Path) -> bool:
        """Whether a folder above the file is one for masks."""
        return any(part.lower() in MASK_FOLDERS for part in path.relative_to(self.data).parts[:-1])

    def _only(self, found: Sequence[Path], name: str, near: Path, split: str | None) -> Path:
        below = [path for path in found if near in path.parents]
        of_split = [path for path in found if split and split_by_folders(self.data, path) == split]
        chosen = next((some for some in (below, of_split) if len(some) == 1), found)
        if len(chosen) > 1:
            raise DataError(
                f"{name!r} in the annotations in {near} could be {chosen[0]} or {chosen[1]}: rename one of them, "
                "and in the annotations too"
            )
        return chosen[0]


def split_by_folders(data: Path, path: Path) -> str:
    """The split that a folder between `data` and a file names, such as images/val or valid/images; "" if none does."""
    named_so = (split_of(part) for part in path.relative_to(data).parts[:-1])
    return next((split for split in named_so if split), "")


def unannotated(contents: Contents, annotated: Iterable[Path]) -> list[Path]:
    """Pictures that no annotation names, in a folder with one that is named, or in one for photographs by its name."""
    known = {*annotated}
    folders = {path.parent for path in known}
    return [
        path
        for path in contents.pictures
        if path not in known
        and not contents.is_in_masks(path)
        and (path.parent in folders or is_for_photographs(contents.data, path))
    ]


def is_for_photographs(data: Path, path: Path) -> bool:
    """Whether a folder between `data` and a file is named as one for photographs."""
    return any(part.lower() in PHOTOGRAPH_FOLDERS for part in path.relative_to(data).parts[:-1])


def listed(
    contents: Contents,
    annotations: Sequence[Annotation],
    rows: Parts,
    read: Iterable[Path],
    without: Sequence[Path] = (),
    left_out: Sequence[LeftOut] = (),
    notes: Sequence[str] = (),
) -> Listed:
    """The photographs of these annotations, and those `without` any, which are good.

    A photograph is bad if it has a mark whose kind is no word for good. Raises DataError if two files annotate one
    picture, or if only some photographs have a split.
    """
    data, splits = contents.data, Splits()
    owners: dict[Path, Path | None] = {}
    for one in annotations:
        if one.path in owners:
            raise DataError(f"{one.path} is annotated in {owners[one.path]} and again in {one.file}: leave one out")
        owners[one.path] = one.file
        marks = tuple(mark for mark in one.marks if label_of(mark.kind) != "good")
        mask = DrawnMask(one.path, one.file, marks, one.size) if marks and one.file else None
        kinds = "+".join(sorted({mark.kind for mark in marks if label_of(mark.kind) is None}))
        photograph = labelled_file(data, one.path, "bad" if marks else "good", rows, mask, kinds or None)
        split = split_by_folders(data, one.path) if one.split is None else one.split
        splits.setdefault(split, []).append(photograph)
    for path in without:
        splits.setdefault(split_by_folders(data, path), []).append(labelled_file(data, path, "good", rows))
    said = [*notes]
    if without:
        names = [contents.name(path) for path in without]
        said.append(f"{len(names)} without annotation count as good ({named(names, len(names))})")
    return completed(data, splits, said, read, left_out)


def said_files(data: Path, files: Sequence[Path]) -> str:
    """The first few of these files, in a few words."""
    names = [file.relative_to(data).as_posix() for file in files]
    return f"{named(names, len(names))}" if len(names) <= FIRST else f"{names[0]} and {len(names) - 1} more"
