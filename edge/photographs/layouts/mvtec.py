"""The layout of the MVTec anomaly detection data (Bergmann et al., CVPR 2019), for one product.

    DATA/train/good/*                              to learn from: split train
    DATA/test/good/*                               split test
    DATA/test/DEFECT/*                             bad, of kind DEFECT: split test
    DATA/ground_truth/DEFECT/STEM_mask.png         the mask of DATA/test/DEFECT/STEM.png, same size
    DATA/ground_truth/good/STEM_mask.png           optional, a mask in which nothing is marked
    DATA/parts.csv                                 optional, as in the layout good/ bad/ mask/

There is no validation split: `--group-by` divides test/ between val and test and leaves train/ as it is.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.layouts.base import Listed
from edge.photographs.photograph import Parts, labelled, masks_in, subfolders

NAME = "MVTec"
SHAPE = "train/good test/DEFECT ground_truth/DEFECT"
MASK_SUFFIX = "_mask"


def signs(data: Path) -> list[str]:
    """Folders that only this layout has: ground truth, or kinds of defects as folders of test/."""
    own = ["ground_truth"] if (data / "ground_truth").is_dir() else []
    return own + [f"test/{name}" for name in subfolders(data / "test") if name not in ("good", "bad", "mask")]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if train/ contains a folder other than good/, if a folder of test/ contains a folder, or if there
    is ground truth for a defect without photographs.
    """
    stray = [f"train/{name}" for name in subfolders(data / "train") if name != "good"]
    defects = [name for name in subfolders(data / "test") if name != "good"]
    stray += [f"ground_truth/{name}" for name in subfolders(data / "ground_truth") if name not in (*defects, "good")]
    for folder in ("train/good", "test/good", *(f"test/{defect}" for defect in defects)):
        stray += [f"{folder}/{inner}" for inner in subfolders(data / folder)]
    if stray:
        raise DataError(f"{data / stray[0]} does not belong to the {NAME} layout ({SHAPE}): move it out or rename it")
    test = labelled(data, data / "test" / "good", "good", rows, _masks(data, "good"))
    for defect in defects:
        test += labelled(data, data / "test" / defect, "bad", rows, _masks(data, defect), defect)
    train = labelled(data, data / "train" / "good", "good", rows)
    return Listed({"train": train, "test": test}, trains_apart=True)


def _masks(data: Path, defect: str) -> dict[str, Path]:
    return masks_in(data / "ground_truth" / defect, MASK_SUFFIX)
