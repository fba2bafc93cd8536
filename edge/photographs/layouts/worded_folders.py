"""The layout of folders that begin or end with a label, as in the Kaggle set of castings: `ok_front/ def_front/`.

    DATA/ok_front/*         DATA/def_front/*         DATA/mask/*         no split
    DATA/train/ok_front/*   DATA/train/def_front/*   DATA/train/mask/*   the same under val/ and test/

The words are those of the layout ok/ ng/, before or after other words: cable_good/ cable_not_good/. There may be
several folders of a label. Masks lie in mask/, masks/ or ground_truth/, there or in a folder of the photographs' name.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.label_folders import has_plain_labels, labelled_folders, places, refuse_shared_splits, said_labels
from edge.photographs.label_words import label_at_end
from edge.photographs.layouts.base import Listed, completed
from edge.photographs.photograph import Parts, subfolders

NAME = "NAME_ok/ NAME_ng/"
SHAPE = "such a word at an end of the name (ok_front/ def_front/)"
MASKS = ("mask", "masks", "ground_truth")


def signs(data: Path) -> list[str]:
    """Folders that begin or end with a word for good or bad, if there are both."""
    if has_plain_labels(data):
        return []
    found = places(data, label_at_end)
    if not any(place.good for place in found) or not any(place.bad for place in found):
        return []
    return [(place.folder / name).relative_to(data).as_posix() for place in found for name in (*place.bad, *place.good)]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if photographs lie both in splits and outside, or if a folder of a split has no meaning.
    """
    found, splits = places(data, label_at_end), {}
    refuse_shared_splits(found)
    for place in found:
        for name in sorted({*subfolders(place.folder)} - {*place.good, *place.bad, *MASKS}) if place.split else ():
            raise DataError(
                f"{place.folder / name} neither begins nor ends with a word for good or bad: move it out or rename it"
            )
        splits[place.split] = labelled_folders(data, place.folder, rows, NAME, place.good, place.bad, MASKS)
    return completed(data, splits, [said_labels(found)])
