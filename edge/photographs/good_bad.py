"""The layout `good/ bad/ mask/`, with or without `train/ val/ test/` above it.

    DATA/train/good/*   DATA/train/bad/*   DATA/train/mask/*   the same under val/ and test/   DATA/parts.csv
    DATA/good/*         DATA/bad/*         DATA/mask/*         DATA/parts.csv                   no split

In bad/ there may be a folder for each kind of defect, bad/KIND/*, whose masks lie in mask/KIND/ or in mask/ itself.
A mask has the stem and the size of its bad photograph; a good photograph may have one in which nothing is marked.
`parts.csv` is optional: column `file` names a photograph by its path from DATA, column `defect` its kind; further
columns are kept as they are.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.photograph import SPLITS, Parts, Photograph, labelled, masks_in, subfolders

NAME = "good/ bad/ mask/"
SHAPE = "good/ bad/ mask/ with or without train/ val/ test/ above them"
TRAINS_APART = False
FOLDERS = ("good", "bad", "mask")


def signs(data: Path) -> list[str]:
    """What only this layout has; train/good and test/good, which MVTec has too, where nothing speaks for another."""
    own = ["good", "bad", "mask", "train/bad", "train/mask", "val/good", "val/bad", "val/mask", "test/mask"]
    others = {"ground_truth", "proliv"} & {*subfolders(data)} | ({*subfolders(data / "test")} - {*FOLDERS})
    return [name for name in own + ([] if others else ["train/good", "test/good"]) if (data / name).is_dir()]


def listing(data: Path, rows: Parts) -> dict[str, list[Photograph]]:
    """Photographs by split, good first; by "" where there are no split folders.

    Raises DataError if there are both, good/ or bad/KIND/ holds a folder, or a split holds another than good/, bad/
    and mask/.
    """
    rooted = [name for name in ("good", "bad") if (data / name).is_dir()]
    above = [split for split in SPLITS if (data / split).is_dir()]
    if rooted and above:
        raise DataError(f"{data} holds both {rooted[0]}/ and {above[0]}/: with splits, all photographs lie in them")
    for split in above:
        for name in sorted({*subfolders(data / split)} - {*FOLDERS}):
            raise DataError(f"{data / split / name} is no part of the layout {NAME}: move it out or rename it")
    if rooted:
        return {"": _labelled(data, data, rows)}
    return {split: _labelled(data, data / split, rows) for split in SPLITS}


def _labelled(data: Path, folder: Path, rows: Parts) -> list[Photograph]:
    for inner in subfolders(folder / "good"):
        raise DataError(f"{folder / 'good' / inner} is no part of the layout {NAME}: move its photographs to good/")
    masks = masks_in(folder / "mask")
    bad = labelled(data, folder / "bad", "bad", rows, masks)
    for kind in subfolders(folder / "bad"):
        for inner in subfolders(folder / "bad" / kind):
            raise DataError(
                f"{folder / 'bad' / kind / inner} is no part of the layout {NAME}: move its photographs to bad/{kind}/"
            )
        own = masks | masks_in(folder / "mask" / kind)
        bad += labelled(data, folder / "bad" / kind, "bad", rows, own, kind)
    taken = {photograph.mask for photograph in bad}
    free = {stem: mask for stem, mask in masks.items() if mask not in taken}
    return labelled(data, folder / "good", "good", rows, free) + bad
