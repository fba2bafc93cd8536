"""Which photographs a data folder holds, whether all of them can be used, and their fingerprint."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edge.contract import LetterboxContract
from edge.errors import DataError, EdgeError
from edge.frame import seen
from edge.photographs import read_listing
from edge.photographs.photograph import SPLITS, Photograph, read_labelled, read_truth, unusable
from train.data.fingerprint import Hashed, fingerprint, hash_photograph
from train.data.likeness import Thumbnail, thumbnail

__all__ = ["SPLITS", "Photograph", "Survey", "list_photographs", "read_truth", "survey"]


def list_photographs(data: Path, split: str) -> list[Photograph]:
    """The photographs that the folders of `data` give to one split, good first, sorted by name; [] if there are none.

    Raises DataError if `data` is no folder or in no layout of `edge.photographs`.
    """
    return read_listing(data).splits.get(split, [])


@dataclass(frozen=True)
class Survey:
    """What decoding every photograph told.

    `hashes` maps names to the hashes of their files; `empty_masks` names the photographs whose mask shows no defect;
    `thumbnails` maps names to small grey pictures, for the search for near-duplicates.
    """

    hashes: dict[str, Hashed]
    empty_masks: list[str]
    thumbnails: dict[str, Thumbnail]

    @property
    def fingerprint(self) -> str:
        """That of `train.data.fingerprint`: it does not depend on where the folder lies nor on the split."""
        return fingerprint(self.hashes)


def survey(photographs: Iterable[Photograph], masks_needed: bool, contract: LetterboxContract | None = None) -> Survey:
    """Decode every photograph and mask once. Where there is a `contract`, its region alone is looked at.

    Raises DataError, naming the first few, if any file is unreadable, does not hold the region, a mask is missing
    (where `masks_needed`) or has another size than its photograph, or if all photographs are the same.
    """
    listed = sorted(photographs, key=lambda photograph: photograph.name)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda photograph: _examine(photograph, masks_needed, contract), listed))
    problems = [answer for answer in answers if isinstance(answer, str)]
    examined = [answer for answer in answers if not isinstance(answer, str)]
    if problems:
        raise unusable(problems, len(listed))
    if len(listed) > 1 and len({answer.hashed.file for answer in examined}) == 1:
        raise DataError(f"all {len(listed)} photographs are the same picture: {listed[0].name}")
    pairs = list(zip(listed, examined, strict=True))
    return Survey(
        hashes={p.name: found.hashed for p, found in pairs},
        empty_masks=[p.name for p, found in pairs if found.empty_mask],
        thumbnails={p.name: found.thumbnail for p, found in pairs},
    )


@dataclass(frozen=True)
class _Examined:
    hashed: Hashed
    thumbnail: Thumbnail
    empty_mask: bool = False


def _examine(photograph: Photograph, masks_needed: bool, contract: LetterboxContract | None) -> _Examined | str:
    """What one photograph tells, or in words why it cannot be used."""
    try:
        frame, truth = read_labelled(photograph)
        if contract is not None:
            if refusal := contract.refusal(*frame.shape[:2]):
                return f"{photograph.name} ({refusal})"
            frame, truth = seen(frame, contract), None if truth is None else seen(truth, contract)
        hashed, small = hash_photograph(photograph), thumbnail(frame)
        if photograph.mask is None or truth is None:
            missing = photograph.is_bad and masks_needed
            return f"{photograph.name} (no mask)" if missing else _Examined(hashed, small)
        return _Examined(hashed, small, empty_mask=not truth.any())
    except (EdgeError, OSError, ValueError) as error:
        return str(error)
