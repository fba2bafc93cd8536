"""The layout of the MVTec AD 2 data (Heckler-Kram et al., 2025), for one product.

    DATA/train/good/*                        to learn from: split train
    DATA/validation/good/*                   split val
    DATA/test_public/good/*                  split test
    DATA/test_public/bad/*                   bad: split test
    DATA/test_public/ground_truth/bad/*      STEM_mask.png or STEM.png, the mask of DATA/test_public/bad/STEM.png
    DATA/test_private/*, test_private_mixed/*   without labels: counted and left out

ground_truth/ may also lie beside test_public/.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.accounting import left_out
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Parts, files, labelled, masks_in, subfolders

NAME = "MVTec AD 2"
SHAPE = "train/good validation/good test_public/good test_public/bad (MVTec AD 2)"
PUBLIC = "test_public"
UNLABELLED = ("test_private", "test_private_mixed")
FOLDERS = {
    "train": ["good"],
    "validation": ["good"],
    PUBLIC: ["good", "bad", "ground_truth"],
    f"{PUBLIC}/ground_truth": ["good", "bad"],
    "ground_truth": ["good", "bad"],
}


def signs(data: Path) -> list[str]:
    """The folder of the test photographs whose labels are public."""
    return [PUBLIC] if (data / PUBLIC).is_dir() else []


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if there are other folders than those of the layout, or ground truth in two places.
    """
    for folder, names in FOLDERS.items():
        for name in subfolders(data / folder):
            if name not in names:
                raise DataError(f"{data / folder / name} does not belong to the {NAME} layout ({SHAPE}): move it out")
    truths = [place for place in (data / PUBLIC / "ground_truth", data / "ground_truth") if place.is_dir()]
    if len(truths) > 1:
        raise DataError(f"{truths[0]} and {truths[1]} both hold masks: move all masks into one of them")
    masks = {label: masks_in(truths[0] / label, "_mask") if truths else {} for label in ("good", "bad")}
    splits = {
        "train": labelled(data, data / "train" / "good", "good", rows),
        "val": labelled(data, data / "validation" / "good", "good", rows),
        "test": labelled(data, data / PUBLIC / "good", "good", rows, masks["good"]),
    }
    splits["test"] += labelled(data, data / PUBLIC / "bad", "bad", rows, masks["bad"])
    private = [file for name in UNLABELLED for file in files(data / name)]
    names = [file.relative_to(data).as_posix() for file in private]
    return Listed(splits, True, (), frozenset(private), left_out("photographs without a label", names))
