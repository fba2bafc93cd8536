"""The survey of a data folder: reads every photograph and mask, refuses unusable ones by name, and counts them all."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from edge.errors import DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.frame import seen
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.photographs.accounting import LeftOut, left_out, named
from edge.photographs.drawn_mask import DrawnMask
from edge.photographs.fingerprint import Hashed, Hashes, fingerprint, hash_photograph
from edge.photographs.masks import MaskReading, MaskSet, Plane
from edge.photographs.photograph import Photograph, check_sizes, read_photograph, unusable
from edge.pictures.blank import blank_fault
from edge.text import counted, reason_of

EMPTY_SHARE = 0.03
"""Largest fraction of a folder's masks that may be empty; these are counted and named. With more empty masks their
interpretation is probably wrong, and they are refused. Of the magnetic tiles' masks 4 in 332 are empty."""

INVERTED_SHARE = 0.5
"""A mask that marks more than this, and the whole border of the photograph, marks the background, not a defect."""

WHOLE_SHARE = 0.9
"""A mask that marks more than this does not locate the defect."""

Advance = Callable[[], None]
Each = Callable[[Photograph, Frame], None]


class SplitSurvey(BaseModel):
    """The survey of one split.

    `masks` is the number of masks of bad photographs. `mean_marked` is the mean fraction of a photograph that a
    non-empty mask marks, 0 to 1. `smallest_defect` is the area of the smallest connected defect in pixels of the
    network's input, `smallest_in` its photograph; None without masks.
    """

    model_config = ConfigDict(frozen=True)

    good: int
    bad: int
    masks: int
    empty_masks: int
    mean_marked: float | None = None
    smallest_defect: float | None = None
    smallest_in: str | None = None

    def __str__(self) -> str:
        said = f"{self.good} good, {self.bad} bad, {self.masks} masks"
        if self.empty_masks:
            said += f", {self.empty_masks} of them empty"
        if self.mean_marked is not None:
            said += f", {self.mean_marked:.2%} of a photograph marked on average"
        if self.smallest_defect is not None:
            said += f", smallest defect {self.smallest_defect:.2g} pixels of the network's input ({self.smallest_in})"
        return said


class SurveyRecord(BaseModel):
    """The survey of a data folder: its splits, the reading of its masks, the files left out, and remarks."""

    model_config = ConfigDict(frozen=True)

    splits: dict[str, SplitSurvey]
    masks: MaskReading | None = None
    left_out: list[LeftOut] = []
    remarks: list[LeftOut] = []

    def lines(self) -> list[str]:
        """The survey as text, one fact per line."""
        said = [f"{split or 'photographs'}: {counts}" for split, counts in self.splits.items()]
        said += [f"masks: {self.masks}"] if self.masks else []
        said += [f"left out: {one}" for one in self.left_out]
        return said + [f"warning: {one}" for one in self.remarks]


@dataclass(frozen=True)
class Marks:
    """What one mask marks: its fraction of the photograph, and whether that includes the whole border; within the
    inspected region its fraction, and its smallest connected defect in pixels of the network's input (None if none)."""

    whole: float
    all_round: bool
    share: float
    smallest: float | None


@dataclass(frozen=True)
class Examined:
    """The survey of one photograph and its mask; `pixel_hash` is the SHA-256 of its pixels in hexadecimal."""

    photograph: Photograph
    hashed: Hashed
    pixel_hash: str
    marks: Marks | None = None


@dataclass(frozen=True)
class Survey:
    """All surveyed photographs, which are usable, and the reading of their masks (None without masks)."""

    examined: dict[str, Examined]
    reading: MaskReading | None
    left_out: list[LeftOut]

    @property
    def hashes(self) -> Hashes:
        """The hashes of each photograph and its mask."""
        return {name: one.hashed for name, one in self.examined.items()}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the photographs, which depends on their content but not on their folder or split."""
        return fingerprint(self.hashes)

    @property
    def empty_masks(self) -> list[str]:
        """The bad photographs whose mask has no defect in the inspected region."""
        return sorted(
            name for name, one in self.examined.items() if one.photograph.is_bad and one.marks and not one.marks.share
        )

    def _boxed(self, names: Collection[str]) -> list[str]:
        """Which of these photographs have a mask with a box."""
        masks = ((name, self.examined[name].photograph.mask) for name in sorted(names))
        return [name for name, mask in masks if isinstance(mask, DrawnMask) and mask.has_boxes]

    def record(self, splits: Mapping[str, Sequence[Photograph]]) -> SurveyRecord:
        """The counts of these splits, whose photographs must all be surveyed; empty splits are left out."""
        counted = {
            split: _counted([self.examined[photograph.name] for photograph in members])
            for split, members in splits.items()
            if members
        }
        names = {photograph.name for members in splits.values() for photograph in members}
        empty = [name for name in self.empty_masks if name in names]
        hashes: dict[str, str] = {}
        first = {name: hashes.setdefault(self.examined[name].pixel_hash, name) for name in sorted(names)}
        remarks = left_out("masks show no defect; their photographs tell their label alone", empty)
        remarks += left_out("masks are the rectangles of boxes, which mark more than the defects", self._boxed(names))
        remarks += left_out("photographs are copies of others", [name for name, one in first.items() if one != name])
        return SurveyRecord(splits=counted, masks=self.reading, left_out=self.left_out, remarks=remarks)


def survey(
    photographs: Sequence[Photograph],
    contract: LetterboxContract | None = None,
    *,
    masks_needed: bool = False,
    left_out: Sequence[LeftOut] = (),
    advance: Advance = lambda: None,
    each: Each = lambda photograph, frame: None,
) -> Survey:
    """Read every photograph and mask. With a `contract`, only its region is inspected.

    `each` is called once with every photograph and its inspected pixels, from several threads; `advance` after each
    photograph. Raises DataError, naming the first few, if any photograph cannot be read, would be refused by the line,
    does not contain the region, lacks a mask (if `masks_needed`), or has one that cannot be its ground truth; if masks
    contradict each other; and if one picture has both labels.
    """
    with ThreadPoolExecutor(2) as pool:
        answers = []
        for answer in pool.map(lambda one: _examined(one, contract, masks_needed, each), photographs):
            answers.append(answer)
            advance()
        problems = [answer for answer in answers if isinstance(answer, str)]
        if problems:
            raise unusable(problems, len(photographs))
        found = [answer for answer in answers if not isinstance(answer, str)]
        reading = next((one.photograph.masks.reading for one in found if one.photograph.masks and one.marks), None)
        found = list(pool.map(lambda one: _settled(one, contract), found))
    shares = [one.marks.whole for one in found if one.marks and one.photograph.is_bad]
    is_trusted = reading is not None and reading.declared and float(np.median(shares or [0.0])) <= INVERTED_SHARE
    problems = [problem for one in found if (problem := _mask_problem(one, is_trusted))] + _empty_masks(found)
    if problems:
        raise unusable(problems, len(photographs))
    _refuse_two_labels(found)
    return Survey({one.photograph.name: one for one in found}, reading, [*left_out])


def line_refusal(frame: Frame) -> str | None:
    """Why the line would refuse a picture with these pixels, in a few words; None if it would judge it."""
    height, width = frame.shape[:2]
    if not SMALLEST_FRAME <= min(height, width) <= max(height, width) <= LARGEST_FRAME:
        return f"{width}×{height}; a side is {SMALLEST_FRAME} to {LARGEST_FRAME} pixels"
    fault = blank_fault(frame)
    return str(fault) if fault else None


def _examined(
    photograph: Photograph, contract: LetterboxContract | None, masks_needed: bool, each: Each
) -> Examined | str:
    """The survey of one photograph, or the reason why it is unusable."""
    try:
        frame = read_photograph(photograph)
        if refusal := line_refusal(frame) or (contract and contract.refusal(*frame.shape[:2])):
            return f"{photograph.name} ({refusal})"
        if photograph.mask is None and photograph.is_bad and masks_needed:
            return f"{photograph.name} (no mask)"
        each(photograph, frame if contract is None else seen(frame, contract))
        pixels = hashlib.sha256(f"{frame.shape}".encode() + frame.data).hexdigest()
        one = Examined(photograph, hash_photograph(photograph), pixels)
        if photograph.mask is None:
            return one
        masks = photograph.masks or MaskSet([photograph.mask])
        plane = masks.plane(photograph.mask)
        check_sizes(photograph, frame, plane)
        one = replace(one, photograph=replace(photograph, masks=masks))
        return replace(one, marks=_marks(plane, masks.alone(photograph.mask), contract))
    except OSError as error:
        return f"{error.filename or photograph.path} cannot be read: {reason_of(error)}"
    except (DataError, ValueError) as error:
        return str(error)


def _settled(one: Examined, contract: LetterboxContract | None) -> Examined:
    """The survey with the mask read again, in the rare case that the common reading differs from its own."""
    masks, file = one.photograph.masks, one.photograph.mask
    if one.marks is None or masks is None or file is None:
        return one
    statistics = masks.statistics(file)
    if statistics.marked(masks.reading) == round(one.marks.whole * int(statistics.pixels.sum())):
        return one
    return replace(one, marks=_marks(masks.plane(file), masks.reading, contract))


def _marks(plane: Plane, reading: MaskReading, contract: LetterboxContract | None) -> Marks:
    truth = reading.truth(plane)
    edge = all(side.all() for side in (truth[0], truth[-1], truth[:, 0], truth[:, -1]))
    shown = truth if contract is None else seen(truth, contract)
    return Marks(float((truth > 0).mean()), edge, float((shown > 0).mean()), _smallest(shown, truth, contract))


def _smallest(shown: Frame, truth: Frame, contract: LetterboxContract | None) -> float | None:
    if contract is None or not shown.any():
        return None
    count, _, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(shown), connectivity=8)
    box = contract.fit(*truth.shape)
    area = min(int(boxes[index, cv2.CC_STAT_AREA]) for index in range(1, count))
    return area * (box.height / box.frame_height) * (box.width / box.frame_width)


def _mask_problem(one: Examined, is_trusted: bool) -> str | None:
    """Why a mask cannot be the ground truth of its photograph; None if it can.

    If the user declared the meaning of masks and most masks are plausible (`is_trusted`), a defect may cover almost
    everything. In a mask that is drawn from annotations it may cover everything: there is no doubt what is marked.
    """
    photograph, marks = one.photograph, one.marks
    if marks is None or photograph.mask is None or isinstance(photograph.mask, DrawnMask):
        return None
    file = photograph.mask.name
    if one.hashed.mask == one.hashed.file:
        return f"{photograph.name} (its mask is the photograph itself: draw the mask)"
    if not photograph.is_bad:
        remedy = "move the photograph to bad/ or remove the mask"
        return (
            f"{photograph.name} (labelled good, and its mask {file} marks a defect: {remedy})" if marks.whole else None
        )
    is_inverted = marks.whole > INVERTED_SHARE and marks.all_round
    if marks.whole == 1 or (not is_trusted and (marks.whole > WHOLE_SHARE or is_inverted)):
        return (
            f"{photograph.name} (its mask {file} marks {marks.whole:.0%} of it, the background as it seems: draw the "
            "defect in any colour on black, or say with --masks what all masks mean)"
        )
    return None


def _empty_masks(found: Sequence[Examined]) -> list[str]:
    """Problems of bad photographs with an empty mask, if too many of the folder's masks are empty."""
    empty = [one.photograph for one in found if one.photograph.is_bad and one.marks and not one.marks.whole]
    if not empty or (masks := empty[0].masks) is None:
        return []
    known = masks.readable()
    nothing = sum(not statistics.marked(masks.reading) for statistics in known.values())
    if nothing <= EMPTY_SHARE * len(known):
        return []
    why = "marks nothing: draw the defect in any colour on black, or remove the photograph"
    return [f"{photograph.name} (its mask {photograph.mask.name} {why})" for photograph in empty if photograph.mask]


def _refuse_two_labels(found: Sequence[Examined]) -> None:
    labels: dict[str, Photograph] = {}
    both = []
    for one in found:
        other = labels.setdefault(one.pixel_hash, one.photograph)
        if other.label != one.photograph.label:
            both.append(f"{other.name} and {one.photograph.name}")
    if both:
        raise DataError(
            f"{counted(len(both), 'picture has', 'pictures have')} both labels ({named(both, len(both))}): "
            "remove the one whose label is wrong"
        )


def _counted(members: Sequence[Examined]) -> SplitSurvey:
    bad = [one for one in members if one.photograph.is_bad]
    marks = [one.marks for one in bad if one.marks]
    shares = [one.share for one in marks if one.share]
    sizes = [(one.marks.smallest, one.photograph.name) for one in bad if one.marks and one.marks.smallest is not None]
    smallest, name = min(sizes, default=(None, None))
    return SplitSurvey(
        good=len(members) - len(bad),
        bad=len(bad),
        masks=len(marks),
        empty_masks=len(marks) - len(shares),
        mean_marked=float(np.mean(shares)) if shares else None,
        smallest_defect=smallest,
        smallest_in=name,
    )
