"""Which photographs a data folder holds, whether all of them can be used, and their fingerprint.

    DATA/train/good/*   DATA/train/bad/*   DATA/train/mask/*   the same under val/ and test/   DATA/parts.csv

A mask has the stem and the size of its bad photograph. `parts.csv` is optional: column `file` names a photograph by
its path from DATA, column `defect` its kind; further columns are kept as they are.
"""

import csv
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import DataError, EdgeError
from edge.picture import read_bytes, read_picture

SPLITS = ("train", "val", "test")
LITTER = {"Thumbs.db", "desktop.ini"}
"""What file managers leave behind. Any other file that is not hidden is a photograph, or is refused as none."""


@dataclass(frozen=True)
class Photograph:
    """One labelled photograph. `mask` is the file of its ground truth, `defect` its kind; both None where unknown.

    `name` is the path from the data folder, with slashes. `details` are the other columns of parts.csv.
    """

    path: Path
    name: str
    label: Literal["good", "bad"]
    mask: Path | None = None
    defect: str | None = None
    details: dict[str, str] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether the label is bad."""
        return self.label == "bad"


def list_photographs(data: Path, split: str) -> list[Photograph]:
    """The photographs of one split, good first, sorted by name; an empty list if the split has no folder.

    Raises DataError if `data` is no folder.
    """
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    rows = _parts(data)
    masks = {path.stem: path for path in _files(data / split / "mask")}
    found = []
    for label in ("good", "bad"):
        for path in _files(data / split / label):
            name = path.relative_to(data).as_posix()
            row = dict(rows.get(name, {}))
            found.append(
                Photograph(
                    path=path,
                    name=name,
                    label=label,
                    mask=masks.get(path.stem) if label == "bad" else None,
                    defect=row.pop("defect", None) or None,
                    details=row,
                )
            )
    return found


@dataclass(frozen=True)
class Survey:
    """What decoding every photograph told: the data's fingerprint, and the names of those with an empty mask.

    The fingerprint is the sha256, in hexadecimal, of the sorted lines "name label hash-of-file hash-of-mask", so it
    does not depend on where the folder lies.
    """

    fingerprint: str
    empty_masks: list[str]


def survey(photographs: Iterable[Photograph], masks_needed: bool) -> Survey:
    """Decode every photograph and mask once.

    Raises DataError, naming the first few, if any file is unreadable, a mask is missing (where
    `masks_needed`) or has another size than its photograph, or if all photographs are the same.
    """
    listed = sorted(photographs, key=lambda photograph: photograph.name)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda photograph: _examine(photograph, masks_needed), listed))
    problems = [answer.problem for answer in answers if answer.problem]
    if problems:
        shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
        raise DataError(f"{len(problems)} of {len(listed)} photographs cannot be used: {shown}. Mend or remove them")
    if len(listed) > 1 and len({answer.file_hash for answer in answers}) == 1:
        raise DataError(f"all {len(listed)} photographs are the same picture: {listed[0].name}")
    lines = [f"{p.name} {p.label} {a.file_hash} {a.mask_hash}" for p, a in zip(listed, answers, strict=True)]
    return Survey(
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        empty_masks=[p.name for p, answer in zip(listed, answers, strict=True) if answer.empty_mask],
    )


def read_truth(mask: Path) -> npt.NDArray[np.uint8]:
    """The ground-truth mask of a photograph: uint8 [H, W], 0 or 255 (above 127 is defect). Raises DataError."""
    try:
        encoded = np.frombuffer(read_bytes(mask), np.uint8)
    except DataError as error:
        raise DataError(f"mask {mask}: {error}") from None
    truth = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) if len(encoded) else None
    if truth is None:
        raise DataError(f"mask {mask}: does not decode as a picture")
    return np.where(truth > 127, 255, 0).astype(np.uint8)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name not in LITTER
    )


def _parts(data: Path) -> dict[str, dict[str, str]]:
    table = data / "parts.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if "file" not in (reader.fieldnames or []):
            raise DataError(f"{table} has no column 'file': the path of each photograph from {data}")
        return {row.pop("file"): {k: v for k, v in row.items() if k and isinstance(v, str)} for row in reader}


@dataclass(frozen=True)
class _Examined:
    problem: str = ""
    file_hash: str = ""
    mask_hash: str = "-"
    empty_mask: bool = False


def _examine(photograph: Photograph, masks_needed: bool) -> _Examined:
    try:
        frame = read_picture(photograph.path)
        file_hash = _sha256(photograph.path)
        if photograph.mask is None:
            missing = photograph.is_bad and masks_needed
            return _Examined(f"{photograph.name} (no mask)") if missing else _Examined(file_hash=file_hash)
        truth = read_truth(photograph.mask)
        if truth.shape != frame.shape[:2]:
            mask_size, frame_size = (f"{width}×{height}" for height, width in (truth.shape, frame.shape[:2]))
            return _Examined(f"{photograph.name} (mask is {mask_size}, photograph {frame_size})")
        return _Examined(file_hash=file_hash, mask_hash=_sha256(photograph.mask), empty_mask=not truth.any())
    except (EdgeError, OSError, ValueError) as error:
        return _Examined(str(error))


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
