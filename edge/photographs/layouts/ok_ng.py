"""The layout `ok/ ng/` in the words that people use, with or without folders of splits above it.

    DATA/ok/*         DATA/ng/*         DATA/mask/*         no split
    DATA/train/ok/*   DATA/train/ng/*   DATA/train/mask/*   the same under val/ and test/

The words are those of `edge.photographs.label_words` in any case: ok and ng, nok or ko, pass and fail, normal and
anomaly or abnormal, good and defect. The folders of splits may also be called valid/ or validation/, training/ and
testing/. ng/ may contain a folder per kind of defect. Masks have the name of their photograph and lie in mask/, masks/
or ground_truth/, there or in a folder of the kind or label.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.label_folders import Place, labelled_folders, places, refuse_shared_splits, said_labels
from edge.photographs.label_words import label_of
from edge.photographs.layouts.base import Listed, completed
from edge.photographs.photograph import SPLITS, Parts, subfolders

NAME = "ok/ ng/"
SHAPE = "ok/ ng/ or such words (pass/ fail/, normal/ anomaly/), alone or in train/ val/ test/"
MASKS = ("mask", "masks", "ground_truth")
OLD = {"good", "bad"}


def signs(data: Path) -> list[str]:
    """Folders named by both labels that no other layout reads: good/ bad/ and test/good of MVTec are theirs."""
    found = _places(data)
    names = {name for place in found for name in (*place.good, *place.bad)}
    if not any(place.good for place in found) or not any(place.bad for place in found):
        return []
    plain_splits = {place.folder.name for place in found if place.split} <= {*SPLITS}
    is_good_bad = (names <= OLD and plain_splits) or any({*place.good, *place.bad} > OLD for place in found)
    is_mvtec = "good" in names and plain_splits and not any(place.bad for place in found if place.split != "test")
    if is_good_bad or is_mvtec or (data / "proliv").is_dir():
        return []
    return [(place.folder / name).relative_to(data).as_posix() for place in found for name in (*place.bad, *place.good)]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if photographs lie both in splits and outside, if two folders side by side have the same label, or
    if a folder of a split has no meaning.
    """
    found, splits = _places(data), {}
    refuse_shared_splits(found)
    for place in found:
        _check(place)
        splits[place.split] = labelled_folders(data, place.folder, rows, NAME, place.good, place.bad, MASKS)
    return completed(data, splits, [said_labels(found)])


def _places(data: Path) -> list[Place]:
    return places(data, label_of)


def _check(place: Place) -> None:
    for names in (place.good, place.bad):
        if len(names) > 1:
            raise DataError(f"{place.folder} holds both {names[0]}/ and {names[1]}/, which have one label: join them")
    known = {*place.good, *place.bad, *MASKS}
    for name in [name for name in subfolders(place.folder) if name not in known] if place.split else ():
        raise DataError(f"{place.folder / name} is no part of the layout {NAME}: move it out or rename it")
