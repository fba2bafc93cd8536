"""One labelled photograph and its ground truth, and the files and table beside it: masks, rows of parts.csv."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.frame import Frame
from edge.photographs.masks import Mask, MaskSet
from edge.pictures import PICTURE_SUFFIXES, is_picture_name, read_picture
from edge.text import reason_of

SPLITS = ("train", "val", "test")
LITTER = {"Thumbs.db", "desktop.ini", "__MACOSX"}
"""Files that file managers leave behind. Every other visible file is a photograph, or is refused."""

PARTS = "parts.csv"

Label = Literal["good", "bad"]


@dataclass(frozen=True)
class Photograph:
    """One labelled photograph. `mask` is its ground truth, `defect` its kind; both None if unknown.

    `name` is the path from the data folder, with slashes. `details` are the other columns of parts.csv. `masks` are all
    masks of the data folder, which share one reading; without them the mask is read on its own. `bits` is the number of
    significant bits of a 16-bit sample, None if a picture must use the full range.
    """

    path: Path
    name: str
    label: Label
    mask: Mask | None = None
    defect: str | None = None
    details: dict[str, str] = field(default_factory=dict)
    masks: MaskSet | None = field(default=None, compare=False, repr=False)
    bits: int | None = None

    @property
    def is_bad(self) -> bool:
        """Whether the label is bad."""
        return self.label == "bad"


def read_truth(photograph: Photograph) -> Frame | None:
    """The ground truth of a photograph: uint8 [H, W], 255 on defects, else 0; None without a mask.

    Raises DataError if the mask cannot be read, or the masks of its folder contradict each other.
    """
    if photograph.mask is None:
        return None
    return (photograph.masks or MaskSet([photograph.mask])).truth(photograph.mask)


def mask_as_file(photograph: Photograph) -> tuple[str, bytes] | None:
    """The ground truth as a file's suffix and content: the file that there is, or else a PNG of 0 and 255; None without
    a mask. Raises OSError or DataError if it cannot be read.
    """
    if isinstance(photograph.mask, Path):
        return photograph.mask.suffix, photograph.mask.read_bytes()
    import cv2

    truth = read_truth(photograph)
    return None if truth is None else (".png", cv2.imencode(".png", truth)[1].tobytes())


def read_photograph(photograph: Photograph) -> Frame:
    """Its pixels, `uint8 [H, W, 3]` BGR. Raises DataError, also if its name is not that of a picture."""
    if not is_picture_name(photograph.path):
        ends = " ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"{photograph.path}: its name ends with none of {ends}")
    return read_picture(photograph.path, photograph.bits)


def read_labelled(photograph: Photograph) -> tuple[Frame, Frame | None]:
    """Its pixels, `uint8 [H, W, 3]` BGR, and its ground truth, `uint8 [H, W]`, 0 or 255, if it has one.

    Raises DataError, naming the file, if one of them cannot be read or their sizes differ.
    """
    frame, truth = read_photograph(photograph), read_truth(photograph)
    if truth is not None:
        check_sizes(photograph, frame, truth)
    return frame, truth


def check_sizes(photograph: Photograph, frame: Frame, mask: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Raise DataError if a mask [H, W] has another size than its photograph."""
    if mask.shape == frame.shape[:2]:
        return
    mask_size, frame_size = (f"{width}×{height}" for height, width in (mask.shape, frame.shape[:2]))
    turned = "; one of them is turned" if mask.shape == frame.shape[1::-1] else ""
    raise DataError(f"{photograph.name} (mask is {mask_size}, photograph {frame_size}{turned})")


def unusable(problems: Sequence[str], total: int) -> DataError:
    """An error with the number of unusable photographs and the reasons of the first few."""
    shown = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
    return DataError(f"{len(problems)} of {total} photographs cannot be used: {shown}. Mend or remove them")


class Parts(Mapping[str, dict[str, str]]):
    """The rows of DATA/parts.csv by the photograph's path from DATA, with slashes.

    A name that differs only in case is found too, if it is unique.
    """

    def __init__(self, rows: Mapping[str, dict[str, str]]) -> None:
        self._rows = rows
        self._folded: dict[str, list[str]] = {}
        for name in rows:
            self._folded.setdefault(name.casefold(), []).append(name)

    def __getitem__(self, name: str) -> dict[str, str]:
        if name in self._rows:
            return self._rows[name]
        others = self._folded.get(name.casefold(), [])
        if len(others) != 1:
            raise KeyError(name)
        return self._rows[others[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def unmatched(self, names: Iterable[str]) -> list[str]:
        """The rows that match none of these photographs."""
        exact = set(names)
        folded = {name.casefold() for name in exact}
        return [row for row in self._rows if row not in exact and row.casefold() not in folded]


def known_parts(photographs: Sequence[Photograph]) -> tuple[str, ...] | None:
    """The part that each photograph shows, by the column `part` of parts.csv; None unless each one has a part."""
    names = tuple(photograph.details.get("part", "") for photograph in photographs)
    return names if names and all(names) else None


def labelled(
    data: Path,
    folder: Path,
    label: Label,
    rows: Mapping[str, Mapping[str, str]],
    masks: Mapping[str, Path] | None = None,
    defect: str | None = None,
) -> list[Photograph]:
    """Every photograph of `folder`, sorted by name; empty if the folder does not exist.

    `rows` is `parts(data)`, whose column `defect` overrides `defect`; `masks` are ground-truth files by the stem of
    their photograph.
    """
    return [labelled_file(data, path, label, rows, (masks or {}).get(path.stem), defect) for path in files(folder)]


def labelled_file(
    data: Path,
    path: Path,
    label: Label,
    rows: Mapping[str, Mapping[str, str]],
    mask: Mask | None = None,
    defect: str | None = None,
) -> Photograph:
    """The photograph `path` below `data`, with what its row says, if there is one; see `labelled`."""
    name = path.relative_to(data).as_posix()
    row = dict(rows.get(name, {}))
    kind = row.pop("defect", None) or defect
    return Photograph(path, name, label, mask, kind, row)


def masks_in(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The masks of a folder by the stem of their photograph, which is their own stem without `suffix`.

    Raises DataError if two masks have the same stem.
    """
    found: dict[str, Path] = {}
    for path in files(folder):
        other = found.setdefault(path.stem.removesuffix(suffix), path)
        if other != path:
            raise DataError(f"{other} and {path.name} are both the mask of one photograph: remove one of them")
    return found


def files(folder: Path) -> list[Path]:
    """The files of a folder, sorted, without hidden files and litter; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not is_litter(path.name))


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_litter(path.name))


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden or left behind by a file manager."""
    return name.startswith(".") or name in LITTER


def parts(data: Path) -> Parts:
    """The rows of DATA/parts.csv by their column `file`, with backslashes as slashes; empty without the file.

    Raises DataError if it cannot be read or names a photograph twice.
    """
    table = data / PARTS
    if not table.is_file():
        return Parts({})
    rows: dict[str, dict[str, str]] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            if "file" not in (reader.fieldnames or []):
                one = len(reader.fieldnames or []) == 1 and ";" in (reader.fieldnames or [""])[0]
                why = "its columns are separated by semicolons; save it with commas" if one else ""
                why = why or f"it has no column 'file', the path of each photograph from {data}"
                raise DataError(f"{table}: {why}")
            for row in reader:
                name = (row.pop("file") or "").strip().replace("\\", "/").removeprefix("./")
                if name in rows:
                    raise DataError(f"{table} names {name} twice: remove one of the rows")
                rows[name] = {k: v for k, v in row.items() if k and isinstance(v, str)}
    except UnicodeDecodeError:
        raise DataError(f"{table} is not UTF-8; save it as CSV in UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {reason_of(error)}") from None
    return Parts(rows)
