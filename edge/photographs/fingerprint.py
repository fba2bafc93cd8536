"""Hashes of photographs, to check whether they are still those of a run, and what has changed."""

import csv
import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from edge.errors import DataError
from edge.photographs.drawn_mask import DrawnMask, JoinedMasks
from edge.photographs.masks import Mask
from edge.photographs.photograph import Photograph
from edge.terminal.progress import SILENT, Stage

NO_MASK = "-"
COLUMNS = ("file", "label", "sha256", "mask sha256")
NAMED = 3
"""Number of photographs of each kind that a message names."""


class Hashed(NamedTuple):
    """A photograph's label and the SHA-256 of its file and mask in hexadecimal; `NO_MASK` without a mask."""

    label: str
    file: str
    mask: str


UNKNOWN = Hashed("", "", "")
"""Entry of a photograph of which only the name is known."""

Hashes = Mapping[str, Hashed]
"""Hashes by the photographs' names."""


def hash_photograph(photograph: Photograph) -> Hashed:
    """Hash the files of one photograph. A mask without a file has the hash of its shapes, one in several files that of
    their hashes. Raises OSError if a file cannot be read.
    """
    mask = NO_MASK if photograph.mask is None else _mask_hash(photograph.mask)
    return Hashed(photograph.label, _sha256(photograph.path), mask)


def hash_photographs(photographs: Iterable[Photograph], stage: Stage = SILENT.begin) -> Hashes:
    """Hash the files of each photograph without decoding them. Raises DataError if one cannot be read."""
    listed = list(photographs)
    advance, hashes = stage("comparing the photographs with those of the training", len(listed)), {}
    try:
        with ThreadPoolExecutor(2) as pool:
            for photograph, hashed in zip(listed, pool.map(hash_photograph, listed), strict=True):
                hashes[photograph.name] = hashed
                advance()
            return hashes
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from None


def fingerprint(hashes: Hashes) -> str:
    """SHA-256 in hexadecimal of the sorted lines "name label hash-of-file hash-of-mask"."""
    return hashlib.sha256("\n".join(" ".join((name, *hashes[name])) for name in sorted(hashes)).encode()).hexdigest()


def write_hashes(file: Path, hashes: Hashes) -> None:
    """Write the hashes as CSV, sorted by name."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([name, *hashes[name]] for name in sorted(hashes))


def read_hashes(file: Path) -> Hashes:
    """Read a file of `write_hashes`. Raises DataError if it is another file."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return {
                row["file"]: Hashed(row["label"], row["sha256"], row["mask sha256"]) for row in csv.DictReader(lines)
            }
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} is not the table of a run's photographs: {reason}") from None


def differences(before: Hashes, now: Hashes) -> str:
    """The changes as text that names the first few photographs of each kind; empty without changes."""
    both = sorted(before.keys() & now.keys())
    changed = [name for name in both if before[name][:2] != now[name][:2]]
    masks = [name for name in both if before[name][:2] == now[name][:2] and before[name].mask != now[name].mask]
    kinds = {
        "changed": changed,
        "with another mask": masks,
        "missing": sorted(before.keys() - now.keys()),
        "added": sorted(now.keys() - before.keys()),
    }
    return "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names)


def _first(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _mask_hash(mask: Mask) -> str:
    if isinstance(mask, DrawnMask):
        return mask.sha256()
    if isinstance(mask, JoinedMasks):
        return hashlib.sha256("\n".join(map(_sha256, mask.files)).encode()).hexdigest()
    return _sha256(mask)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
