"""Accounting of every file in a data folder: used, left out and listed, or refused because its meaning is unknown."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edge.errors import DataError
from edge.photographs.masks import mask_files
from edge.photographs.photograph import PARTS, SPLITS, Parts, Photograph, is_litter
from edge.pictures import is_picture_name
from edge.text import counted

FIRST = 3
"""Number of names in messages that count files."""

MASK_FOLDERS = ("mask", "masks", "ground_truth")
KNOWN_FOLDERS = (*SPLITS, "good", "bad", "proliv", *MASK_FOLDERS)


class LeftOut(BaseModel):
    """Files that were not used: the reason, their number, and the names of the first few."""

    model_config = ConfigDict(frozen=True)

    what: str
    count: int
    first: list[str]

    def __str__(self) -> str:
        return f"{self.what}: {self.count} ({named(self.first, self.count)})"


def left_out(what: str, names: Sequence[str]) -> list[LeftOut]:
    """One entry for these names; empty without names."""
    return [LeftOut(what=what, count=len(names), first=[*names[:FIRST]])] if names else []


def named(first: Sequence[str], count: int) -> str:
    """The first few names, with an ellipsis if there are more."""
    return ", ".join(first[:FIRST]) + (", …" if count > len(first[:FIRST]) else "")


def refuse_other_case(data: Path) -> None:
    """Raise DataError if a folder or table differs from a known name only in upper and lower case."""
    splits = [path for path in _inside(data) if path.is_dir() and path.name.lower() in SPLITS]
    for folder in (data, *splits):
        for path in _inside(folder):
            lower = path.name.lower()
            known = lower in KNOWN_FOLDERS if path.is_dir() else lower == PARTS and folder == data
            if known and path.name != lower:
                raise DataError(f"{path} is not read under this name: rename it to {lower}")


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not is_litter(path.name))


def account(
    data: Path, layout: str, photographs: Sequence[Photograph], rows: Parts, others: set[Path]
) -> list[LeftOut]:
    """The files of `data` that were left out, given the `photographs` found; `others` are further files that were read.

    Raises DataError, naming the first few, for pictures that are neither a photograph nor the mask of one, for broken
    links, for a mask shared by two photographs, and for a parts.csv without a row that names a photograph.
    """
    _refuse_shared_masks(photographs)
    masks = {file for p in photographs if p.mask for file in mask_files(p.mask)}
    used = {p.path for p in photographs} | masks | others | {data / PARTS}
    hidden: list[str] = []
    own: list[str] = []
    rest: list[str] = []
    stray: list[str] = []
    for path, kind in walk(data):
        name = path.relative_to(data).as_posix()
        if kind == "hidden":
            hidden.append(name)
        elif kind == "own":
            own.append(name)
        elif not path.is_file():
            reason = "leads nowhere" if path.is_symlink() else "is no regular file"
            raise DataError(f"{path} {reason}: mend or remove it")
        elif path not in used:
            is_picture = is_picture_name(path) or bool({*MASK_FOLDERS} & {*path.relative_to(data).parts[:-1]})
            (stray if is_picture else rest).append(name)
    if stray:
        raise _stray(data, layout, stray)
    unmatched = rows.unmatched(p.name for p in photographs)
    if rows and len(unmatched) == len(rows):
        raise DataError(
            f"{data / PARTS}: none of its {counted(len(rows), 'row')} names a photograph, the first {unmatched[0]!r}: "
            f"column 'file' is the path from {data}, such as {photographs[0].name if photographs else 'good/1.png'}"
        )
    without = [p.name for p in photographs if p.name not in rows] if rows else []
    return [
        *left_out("hidden files", hidden),
        *left_out("runs and bundles of this program", own),
        *left_out("files that are no pictures", rest),
        *left_out(f"rows of {PARTS} that name no photograph", unmatched),
        *left_out(f"photographs that {PARTS} does not name", without),
    ]


def _refuse_shared_masks(photographs: Sequence[Photograph]) -> None:
    owners: dict[Path, str] = {}
    for photograph in photographs:
        for file in mask_files(photograph.mask) if photograph.mask else ():
            if (other := owners.setdefault(file, photograph.name)) != photograph.name:
                raise DataError(
                    f"{file} would be the mask of both {other} and {photograph.name}: rename one of them, "
                    "and its mask with it"
                )


def _stray(data: Path, layout: str, names: Sequence[str]) -> DataError:
    in_masks = [name for name in names if {*MASK_FOLDERS} & {*name.split("/")[:-1]}]
    if in_masks:
        return DataError(
            f"{data}: {counted(len(in_masks), 'mask has', 'masks have')} no photograph of the same name "
            f"({named(in_masks, len(in_masks))}): rename or remove {'it' if len(in_masks) == 1 else 'them'}"
        )
    return DataError(
        f"{data}: {counted(len(names), 'picture has', 'pictures have')} no label in the layout {layout} "
        f"({named(names, len(names))}): move {'it' if len(names) == 1 else 'them'} into a folder of that layout, or "
        "out of the data"
    )


def walk(data: Path) -> Iterator[tuple[Path, str]]:
    """Every file below `data` as "file"; skipped files and folders as "hidden" or "own"."""
    seen = set()
    for place, folders, names in os.walk(data, followlinks=True, onerror=_refuse):
        here = Path(place)
        if (real := os.path.realpath(place)) in seen:  # links may form a cycle
            folders[:] = []
            continue
        seen.add(real)
        for name in sorted(folders):
            path = here / name
            if is_litter(name) or _is_own(path):
                yield path, "hidden" if is_litter(name) else "own"
        folders[:] = sorted(name for name in folders if not (is_litter(name) or _is_own(here / name)))
        for name in sorted(names):
            kind = "hidden" if is_litter(name) else "own" if name.endswith((".leaks.png", ".leaks.csv")) else "file"
            yield here / name, kind


def _refuse(error: OSError) -> None:
    raise error  # otherwise os.walk silently skips the folder


def _is_own(folder: Path) -> bool:
    """Whether this program wrote the folder: a run or a bundle."""
    return (folder / "run.json").is_file() or folder.suffix == ".edge"
