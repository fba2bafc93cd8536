"""The layout `good/ bad/ mask/`, with or without `train/ val/ test/` above it.

    DATA/train/good/*   DATA/train/bad/*   DATA/train/mask/*   the same under val/ and test/   DATA/parts.csv
    DATA/good/*         DATA/bad/*         DATA/mask/*         DATA/parts.csv                   no split

mask/ may be called masks/. bad/ may contain a folder per kind of defect, bad/KIND/*, with masks in mask/KIND/ or in
mask/ itself. A mask has the
stem and the size of its bad photograph; a good photograph may have a mask without any marked pixel. `parts.csv` is
optional: column `file` is a photograph's path from DATA, column `defect` its kind; further columns are kept unchanged.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.label_folders import labelled_folders
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import SPLITS, Parts, Photograph, subfolders

NAME = "good/ bad/ mask/"
SHAPE = "good/ bad/ mask/ with or without train/ val/ test/ above them"
MASKS = ("mask", "masks")
FOLDERS = ("good", "bad", *MASKS)


def signs(data: Path) -> list[str]:
    """Folders that only this layout has; train/good and test/good too, as in MVTec, if nothing suggests MVTec."""
    own = [*FOLDERS, "train/bad", "val/good", "val/bad"]
    own += [f"{split}/{masks}" for split in SPLITS for masks in MASKS]
    others = {"ground_truth", "proliv"} & {*subfolders(data)} | ({*subfolders(data / "test")} - {*FOLDERS})
    return [name for name in own + ([] if others else ["train/good", "test/good"]) if (data / name).is_dir()]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first; by "" if there are no split folders.

    Raises DataError if photographs lie both in splits and outside, if good/ or bad/KIND/ contains a folder, or if a
    split contains a folder other than good/, bad/ and mask/, or mask/ and masks/.
    """
    rooted = [name for name in ("good", "bad") if (data / name).is_dir()]
    above = [split for split in SPLITS if (data / split).is_dir()]
    if rooted and above:
        raise DataError(f"{data} holds both {rooted[0]}/ and {above[0]}/: with splits, all photographs lie in them")
    for split in above:
        for name in sorted({*subfolders(data / split)} - {*FOLDERS}):
            raise DataError(f"{data / split / name} is no part of the layout {NAME}: move it out or rename it")
    if rooted:
        return Listed({"": _labelled(data, data, rows)})
    return Listed({split: _labelled(data, data / split, rows) for split in SPLITS})


def _labelled(data: Path, folder: Path, rows: Parts) -> list[Photograph]:
    return labelled_folders(data, folder, rows, NAME, ["good"], ["bad"], MASKS, by_folder=False)
