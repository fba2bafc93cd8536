"""The layout of the BTAD data (Mishra et al., ISIE 2021), for one product.

    DATA/train/ok/*            good, to learn from: split train
    DATA/test/ok/*             split test
    DATA/test/ko/*             bad: split test
    DATA/ground_truth/ko/*     the masks of DATA/test/ko/, of the same stem and size

Other words for ok and ko are read as well, as in the layout ok/ ng/, such as train/normal, test/abnormal and
ground_truth/abnormal. There is no validation split: training divides test/ between val and test.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.label_folders import has_plain_labels
from edge.photographs.label_words import label_of
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Label, Parts, labelled, masks_in, subfolders

NAME = "BTAD"
SHAPE = "train/ok test/ok test/ko ground_truth/ko (BTAD)"


def signs(data: Path) -> list[str]:
    """The folder of masks, if the label is the name of folders of train/ or test/ too."""
    if has_plain_labels(data):
        return []
    masks = _named(data / "ground_truth", "bad")
    good = _named(data / "train", "good") + _named(data / "test", "good")
    return [f"ground_truth/{name}" for name in masks] if good else []


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if train/ or test/ contains a folder without a label, or train/ one of bad photographs.
    """
    allowed = {"train": ["good"], "test": ["good", "bad"], "ground_truth": ["good", "bad"]}
    for folder, labels in allowed.items():
        for name in subfolders(data / folder):
            if label_of(name) not in labels:
                raise DataError(f"{data / folder / name} is no part of the layout {NAME} ({SHAPE}): move it out")
            for inner in subfolders(data / folder / name):
                raise DataError(
                    f"{data / folder / name / inner} is no part of the layout {NAME} ({SHAPE}): move it out"
                )
    masks = {stem: mask for name in subfolders(data / "ground_truth") for stem, mask in _masks(data, name).items()}
    goods = {split: _named(data / split, "good") for split in ("train", "test")}
    good = {
        split: [one for name in names for one in labelled(data, data / split / name, "good", rows)]
        for split, names in goods.items()
    }
    bad = [
        one for name in _named(data / "test", "bad") for one in labelled(data, data / "test" / name, "bad", rows, masks)
    ]
    return Listed({"train": good["train"], "test": good["test"] + bad}, trains_apart=True)


def _named(folder: Path, label: Label) -> list[str]:
    return [name for name in subfolders(folder) if label_of(name) == label]


def _masks(data: Path, name: str) -> dict[str, Path]:
    return masks_in(data / "ground_truth" / name, "_mask")
