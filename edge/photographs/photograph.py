"""One labelled photograph, its ground truth, and what lies beside it: files in a folder, rows of parts.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.pictures import read_picture

SPLITS = ("train", "val", "test")
LITTER = {"Thumbs.db", "desktop.ini"}
"""What file managers leave behind. Any other file that is not hidden is a photograph, or is refused as none."""

Label = Literal["good", "bad"]
Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Photograph:
    """One labelled photograph. `mask` is the file of its ground truth, `defect` its kind; both None where unknown.

    `name` is the path from the data folder, with slashes. `details` are the other columns of parts.csv.
    """

    path: Path
    name: str
    label: Label
    mask: Path | None = None
    defect: str | None = None
    details: dict[str, str] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether the label is bad."""
        return self.label == "bad"


def read_truth(mask: Path) -> Frame:
    """The ground-truth mask of a photograph: uint8 [H, W], 0 or 255 (above 127 is defect). Raises DataError."""
    try:
        truth = cv2.cvtColor(read_picture(mask), cv2.COLOR_BGR2GRAY)
    except DataError as error:
        raise DataError(f"mask {error}") from None
    return np.where(truth > 127, 255, 0).astype(np.uint8)


def read_labelled(photograph: Photograph) -> tuple[Frame, Frame | None]:
    """Its pixels, `uint8 [H, W, 3]` BGR, and its ground truth, `uint8 [H, W]`, 0 or 255, if it has one.

    Raises DataError, naming the file, if one of them cannot be read or their sizes differ.
    """
    frame = read_picture(photograph.path)
    if photograph.mask is None:
        return frame, None
    truth = read_truth(photograph.mask)
    if truth.shape != frame.shape[:2]:
        mask_size, frame_size = (f"{width}×{height}" for height, width in (truth.shape, frame.shape[:2]))
        raise DataError(f"{photograph.name} (mask is {mask_size}, photograph {frame_size})")
    return frame, truth


def unusable(problems: Sequence[str], total: int) -> DataError:
    """The error that counts the photographs that cannot be used, and says of the first few why."""
    shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
    return DataError(f"{len(problems)} of {total} photographs cannot be used: {shown}. Mend or remove them")


def labelled(
    data: Path,
    folder: Path,
    label: Label,
    rows: Mapping[str, Mapping[str, str]],
    masks: Mapping[str, Path] | None = None,
    defect: str | None = None,
) -> list[Photograph]:
    """Every photograph of `folder`, sorted by name; none if there is no such folder.

    `rows` is `parts(data)`, whose column `defect` goes before `defect`; `masks` are files of ground truth by the stem
    of their photograph.
    """
    found = []
    for path in files(folder):
        name = path.relative_to(data).as_posix()
        row = dict(rows.get(name, {}))
        kind = row.pop("defect", None) or defect
        found.append(Photograph(path, name, label, (masks or {}).get(path.stem), kind, row))
    return found


def files(folder: Path) -> list[Path]:
    """The files of a folder that a person put there, sorted; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name not in LITTER
    )


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, hidden ones left out; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def parts(data: Path) -> dict[str, dict[str, str]]:
    """The rows of DATA/parts.csv by their column `file`; empty if there is none. Raises DataError."""
    table = data / "parts.csv"
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            if "file" not in (reader.fieldnames or []):
                raise DataError(f"{table} has no column 'file': the path of each photograph from {data}")
            return {row.pop("file"): {k: v for k, v in row.items() if k and isinstance(v, str)} for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {error}") from None
