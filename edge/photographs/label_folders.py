"""Folders that are named by the label of the photographs in them, and the masks beside them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.errors import DataError
from edge.photographs.label_words import split_of
from edge.photographs.photograph import SPLITS, Label, Parts, Photograph, labelled, masks_in, subfolders


class Place(NamedTuple):
    """A folder, in `split` ("" for none), and the names of its folders of `good` and `bad` photographs."""

    folder: Path
    split: str
    good: list[str]
    bad: list[str]


def places(data: Path, label: Callable[[str], Label | None]) -> list[Place]:
    """The data folder and the folders of its splits, if they have folders to which `label` gives a label."""
    found = []
    above = [(name, split) for name in subfolders(data) if (split := split_of(name))]
    for folder, split in [(data, ""), *((data / name, split) for name, split in above)]:
        names = {name: label(name) for name in subfolders(folder)}
        good, bad = ([name for name, what in names.items() if what == wanted] for wanted in ("good", "bad"))
        if good or bad:
            found.append(Place(folder, split, good, bad))
    return found


def refuse_shared_splits(found: Sequence[Place]) -> None:
    """Raise DataError if two folders mean one split, such as val/ and validation/."""
    first: dict[str, Place] = {}
    for place in found:
        if (other := first.setdefault(place.split, place)) is not place:
            raise DataError(f"{other.folder} and {place.folder} are both the split {place.split}: join them")


def said_labels(found: Sequence[Place]) -> str:
    """Which names are good and which are bad, in a few words."""
    good = sorted({f"{name}/" for place in found for name in place.good})
    bad = sorted({f"{name}/" for place in found for name in place.bad})
    return f"{', '.join(good)} good, {', '.join(bad)} bad"


def has_plain_labels(data: Path) -> bool:
    """Whether there are folders good/, bad/ or proliv/, alone or in splits: the layouts that have these know no other
    words for labels.
    """
    above = ("", *SPLITS)
    return any((data / split / name).is_dir() for split in above for name in ("good", "bad", "proliv"))


def say_labels(data: Path) -> bool:
    """Whether folders give the labels, so that no annotations are read: those of `has_plain_labels`, or a kind of
    defect with its ground truth.
    """
    return has_plain_labels(data) or bool({*subfolders(data / "ground_truth")} & {*subfolders(data / "test")})


def labelled_folders(
    data: Path,
    folder: Path,
    rows: Parts,
    layout: str,
    good: Sequence[str],
    bad: Sequence[str],
    masks: Sequence[str],
    by_folder: bool = True,
) -> list[Photograph]:
    """The photographs of these folders in `folder`, good first; a folder in one of `bad` is a kind of defect.

    The masks of bad photographs lie in the first of the folders `masks` that exists, or in a folder of the kind there,
    and with `by_folder` also in one of the name in `bad`. Raises DataError, naming the layout, for folders that have no
    meaning, and if several of `masks` exist.
    """
    for name in good:
        for inner in subfolders(folder / name):
            raise DataError(
                f"{folder / name / inner} is no part of the layout {layout}: move its photographs to {name}/"
            )
    mask_folder = _mask_folder(folder, masks)
    shared, listed = masks_in(mask_folder), []
    for name in bad:
        own = shared | (masks_in(mask_folder / name) if by_folder else {})
        listed += labelled(data, folder / name, "bad", rows, own)
        for kind in subfolders(folder / name):
            for inner in subfolders(folder / name / kind):
                raise DataError(
                    f"{folder / name / kind / inner} is no part of the layout {layout}: move its photographs to "
                    f"{name}/{kind}/"
                )
            listed += labelled(data, folder / name / kind, "bad", rows, own | masks_in(mask_folder / kind), kind)
    taken = {photograph.mask for photograph in listed}
    free = {stem: mask for stem, mask in shared.items() if mask not in taken}
    return [one for name in good for one in labelled(data, folder / name, "good", rows, free)] + listed


def _mask_folder(folder: Path, names: Sequence[str]) -> Path:
    """The folder of masks, whichever there is; the first one without any. Raises DataError if several exist."""
    there = [folder / name for name in names if (folder / name).is_dir()]
    if len(there) > 1:
        raise DataError(f"{there[0]} and {there[1]} both hold masks: move all masks into one of them")
    return there[0] if there else folder / names[0]
