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
from edge.photographs.photograph import SPLITS, Parts, Photograph, labelled, masks_in, subfolders

NAME = "good/ bad/ mask/"
SHAPE = "good/ bad/ mask/ with or without train/ val/ test/ above them"
TRAINS_APART = False
MASKS = ("mask", "masks")
FOLDERS = ("good", "bad", *MASKS)


def signs(data: Path) -> list[str]:
    """Folders that only this layout has; train/good and test/good too, as in MVTec, if nothing suggests MVTec."""
    own = [*FOLDERS, "train/bad", "val/good", "val/bad"]
    own += [f"{split}/{masks}" for split in SPLITS for masks in MASKS]
    others = {"ground_truth", "proliv"} & {*subfolders(data)} | ({*subfolders(data / "test")} - {*FOLDERS})
    return [name for name in own + ([] if others else ["train/good", "test/good"]) if (data / name).is_dir()]


def listing(data: Path, rows: Parts) -> dict[str, list[Photograph]]:
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
        return {"": _labelled(data, data, rows)}
    return {split: _labelled(data, data / split, rows) for split in SPLITS}


def _labelled(data: Path, folder: Path, rows: Parts) -> list[Photograph]:
    for inner in subfolders(folder / "good"):
        raise DataError(f"{folder / 'good' / inner} is no part of the layout {NAME}: move its photographs to good/")
    mask_folder = _mask_folder(folder)
    masks = masks_in(mask_folder)
    bad = labelled(data, folder / "bad", "bad", rows, masks)
    for kind in subfolders(folder / "bad"):
        for inner in subfolders(folder / "bad" / kind):
            raise DataError(
                f"{folder / 'bad' / kind / inner} is no part of the layout {NAME}: move its photographs to bad/{kind}/"
            )
        own = masks | masks_in(mask_folder / kind)
        bad += labelled(data, folder / "bad" / kind, "bad", rows, own, kind)
    taken = {photograph.mask for photograph in bad}
    free = {stem: mask for stem, mask in masks.items() if mask not in taken}
    return labelled(data, folder / "good", "good", rows, free) + bad


def _mask_folder(folder: Path) -> Path:
    """mask/ or masks/, whichever there is; the first one without either. Raises DataError if both exist."""
    both = [folder / name for name in MASKS if (folder / name).is_dir()]
    if len(both) > 1:
        raise DataError(f"{both[0]} and {both[1]} both hold masks: move all masks into one of them")
    return both[0] if both else folder / MASKS[0]
