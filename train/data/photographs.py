"""The photographs of a data folder: their listing and survey, with thumbnails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs import survey as surveying
from edge.photographs.accounting import LeftOut
from edge.photographs.listing import read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.masks import MaskReading
from edge.photographs.photograph import SPLITS, Photograph, read_truth
from train.data.likeness import Thumbnail, thumbnail

__all__ = ["SPLITS", "Photograph", "Survey", "list_photographs", "read_truth", "survey"]


def list_photographs(
    data: Path, split: str, masks: MaskMeaning | MaskReading | None = None, bits: int | None = None
) -> list[Photograph]:
    """The photographs of one split according to the folders of `data`, good first, sorted by name; [] if none.

    `masks` and `bits` say how masks and photographs are read, see `read_listing`, which raises DataError.
    """
    return read_listing(data, masks, bits).splits.get(split, [])


@dataclass(frozen=True)
class Survey(surveying.Survey):
    """A survey with `thumbnails`, small grey pictures by name, to find near-duplicates."""

    thumbnails: dict[str, Thumbnail]


def survey(
    photographs: Iterable[Photograph],
    masks_needed: bool,
    contract: LetterboxContract | None = None,
    left_out: Sequence[LeftOut] = (),
    advance: surveying.Advance = lambda: None,
) -> Survey:
    """`edge.photographs.survey.survey`, with thumbnails. Raises DataError also if all photographs are the same."""
    thumbnails: dict[str, Thumbnail] = {}
    listed = sorted(photographs, key=lambda photograph: photograph.name)

    def each(photograph: Photograph, frame: Frame) -> None:
        thumbnails[photograph.name] = thumbnail(frame, len(listed))

    found = surveying.survey(listed, contract, masks_needed=masks_needed, left_out=left_out, advance=advance, each=each)
    if len(listed) > 1 and len({one.hashed.file for one in found.examined.values()}) == 1:
        raise DataError(f"all {len(listed)} photographs are the same picture: {listed[0].name}")
    return Survey(found.examined, found.reading, found.left_out, thumbnails=thumbnails)
