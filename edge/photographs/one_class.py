"""The one-class layout `train/ proliv/ test/`: good photographs to learn from, spills, and photographs held back.

    DATA/train/*      good photographs, to learn from: split train
    DATA/proliv/*     photographs of spilt metal (*proliv* is Russian for a spill): bad, of kind "proliv"; split test
    DATA/test/*       good photographs that were held back from training: split test
    DATA/parts.csv    as in the layout good/ bad/ mask/

Only the photographs directly in these folders count; a folder inside one of them is refused, because its name might
say that what lies in it is not what is written above. There are no masks and there is no validation split:
`--group-by` divides proliv/ and test/ between val and test and leaves train/ as it is.
"""

from pathlib import Path

from edge.errors import DataError
from edge.photographs.photograph import Photograph, labelled, parts, subfolders

NAME = "one-class train/ proliv/ test/"
SHAPE = "train/ proliv/ test/ with photographs directly in them"
TRAINS_APART = True


def signs(data: Path) -> list[str]:
    """What only this layout has."""
    return ["proliv"] if (data / "proliv").is_dir() else []


def listing(data: Path) -> dict[str, list[Photograph]]:
    """Photographs by split, good first. Raises DataError if a folder lies inside train/, proliv/ or test/."""
    for name in ("train", "proliv", "test"):
        for inner in subfolders(data / name):
            raise DataError(
                f"{data / name / inner} does not belong to the {NAME} layout, where photographs lie directly in "
                f"{name}/: move it out, or rename proliv/ to bad/ and use good/ bad/ mask/"
            )
    rows = parts(data)
    held_back = labelled(data, data / "test", "good", rows)
    spills = labelled(data, data / "proliv", "bad", rows, defect="proliv")
    return {"train": labelled(data, data / "train", "good", rows), "test": held_back + spills}
