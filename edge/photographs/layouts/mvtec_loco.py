"""The layout of the MVTec LOCO data (Bergmann et al., IJCV 2022), for one product.

    DATA/train/good/*                   to learn from: split train
    DATA/validation/good/*              split val
    DATA/test/good/*                    split test
    DATA/test/logical_anomalies/*       bad, of that kind: split test; structural_anomalies/ too
    DATA/ground_truth/KIND/STEM/*       the masks of DATA/test/KIND/STEM.png: what any of them marks is defect
    DATA/defects_config.json            not read: it says how many pixels have to be found of each kind

Other names of kinds are read as well.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.drawn_mask import JoinedMasks
from edge.photographs.layouts.base import Listed
from edge.photographs.masks import Mask
from edge.photographs.photograph import Parts, Photograph, files, labelled, labelled_file, subfolders
from edge.pictures import is_picture_name

NAME = "MVTec LOCO"
SHAPE = "train/good validation/good test/logical_anomalies ground_truth/KIND/PHOTOGRAPH/ (MVTec LOCO)"
KINDS = ("logical_anomalies", "structural_anomalies")


def signs(data: Path) -> list[str]:
    """Folders of masks for one photograph each; else the folders of kinds, if there is validation/good too."""
    found = [f"ground_truth/{kind}" for kind in subfolders(data / "ground_truth") if _has_folders_of_masks(data, kind)]
    if not found and (data / "validation" / "good").is_dir():
        found = [f"test/{kind}" for kind in KINDS if (data / "test" / kind).is_dir()]
    return found


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first. Raises DataError if there are other folders than those of the layout."""
    kinds = [name for name in subfolders(data / "test") if name != "good"]
    known = {"train": ["good"], "validation": ["good"], "test": [*kinds, "good"], "ground_truth": [*kinds, "good"]}
    for folder, names in known.items():
        for name in subfolders(data / folder):
            inner = [] if folder == "ground_truth" else subfolders(data / folder / name)
            if name not in names or inner:
                stray = "/".join([folder, name, *inner[:1]])
                raise DataError(f"{data / stray} does not belong to the {NAME} layout ({SHAPE}): move it out")
    splits = {
        split: labelled(data, data / folder / "good", "good", rows)
        for split, folder in (("train", "train"), ("val", "validation"), ("test", "test"))
    }
    splits["test"] += [one for kind in kinds for one in _anomalous(data, kind, rows)]
    return Listed(splits, trains_apart=True)


def _anomalous(data: Path, kind: str, rows: Parts) -> list[Photograph]:
    found = []
    for path in files(data / "test" / kind):
        own = data / "ground_truth" / kind
        masks = [file for file in files(own / path.stem) if is_picture_name(file)]
        masks = masks or [file for file in files(own) if file.stem.removesuffix("_mask") == path.stem]
        mask: Mask | None = None
        if masks:
            mask = masks[0] if len(masks) == 1 else JoinedMasks(tuple(masks))
        found.append(labelled_file(data, path, "bad", rows, mask, kind))
    return found


def _has_folders_of_masks(data: Path, kind: str) -> bool:
    folder = data / "ground_truth" / kind
    return any(is_picture_name(file) for name in subfolders(folder) for file in files(folder / name))
