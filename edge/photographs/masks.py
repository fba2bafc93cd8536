"""Ground-truth masks: the meaning of their values, derived from all masks of a folder, and conversion to 0/255."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from edge.errors import DataError
from edge.photographs.drawn_mask import DrawnMask, JoinedMasks
from edge.photographs.mask_meaning import MaskMeaning
from edge.pictures import PICTURE_SUFFIXES, decode_unchanged, is_picture_name, read_bytes
from edge.text import counted

Truth = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]
Mask = Path | JoinedMasks | DrawnMask
"""The ground truth of one photograph: a mask file, several files, or shapes of an annotation."""

FEW_VALUES = 16
"""Up to this many distinct values in all masks of a folder are codes; more are a continuous grey."""

CODES_BELOW = 128
"""More values than `FEW_VALUES` are still codes if they are dense and below this: the numbers of many classes."""

FLAT_SHARE = 0.1
"""Smallest fraction of flat pixels among those that are neither 0 nor the maximum. Antialiased edges have fewer."""

DIM, BRIGHT = 32, 128
"""Masks with a maximum below DIM and masks with one of at least BRIGHT in one folder are marked in different ways."""

DOUBTFUL_SHARE = 0.1
"""Largest flat area of grey between an eighth and half of the range, relative to the marked area: more is a class."""

REMEDY = "say what they mean with --masks nonzero, half or inverted"


class MaskReading(BaseModel):
    """How the masks of a folder are read.

    `half` maps "uint8" and "uint16" to the last value of the lower half of these masks' range. `declared` says that the
    user gave the meaning. `masks` is the number of masks from which it was derived. `drawn` says that they are no files
    but drawn from annotations.
    """

    model_config = ConfigDict(frozen=True)

    meaning: MaskMeaning
    half: dict[str, int] = {}
    declared: bool = False
    masks: int = 0
    drawn: bool = Field(default=False, exclude_if=lambda drawn: not drawn)

    def truth(self, plane: Plane) -> Truth:
        """`plane` [H, W] as uint8 [H, W], 255 on defects and 0 elsewhere."""
        return np.where(self.marks(plane, plane.dtype.name), 255, 0).astype(np.uint8)

    def marks(self, values: npt.NDArray[Any], depth: str) -> npt.NDArray[np.bool_]:
        """Which of these values, of masks with the dtype `depth`, are a defect."""
        if self.meaning is MaskMeaning.NONZERO:
            return np.asarray(values > 0)
        above = np.asarray(values > self.half.get(depth, np.iinfo(depth).max // 2))
        return ~above if self.meaning is MaskMeaning.INVERTED else above

    def __str__(self) -> str:
        if self.drawn:
            return f"what annotations mark is defect ({counted(self.masks, 'mask')} drawn from them)"
        levels = " and ".join(f"{level} of {depth}" for depth, level in sorted(self.half.items()))
        what = {
            MaskMeaning.NONZERO: "every value but 0 is defect",
            MaskMeaning.HALF: f"a value above {levels or 'half of the range'} is defect",
            MaskMeaning.INVERTED: f"a value up to {levels or 'half of the range'} is defect",
        }[self.meaning]
        return f"{what} ({'as --masks says' if self.declared else f'found from {self.masks} masks'})"


EARLIER = MaskReading(meaning=MaskMeaning.HALF, half={"uint8": 127, "uint16": 32767})
"""The reading of masks in runs that recorded none."""


class MaskStatistics(BaseModel):
    """The values of one mask in ascending order, with their numbers of pixels: all pixels, and flat ones."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    depth: str
    lossy: bool
    values: Counts
    pixels: Counts
    flat: Counts

    @property
    def largest(self) -> int:
        """The largest value."""
        return int(self.values[-1])

    def marked(self, reading: MaskReading) -> int:
        """Number of defect pixels."""
        return int(self.pixels[reading.marks(self.values, self.depth)].sum())


class MaskSet:
    """All masks of a data folder, which share one reading. Thread-safe.

    The statistics of each mask are computed once, when it is first used.
    """

    def __init__(self, files: Iterable[Mask], declared: MaskMeaning | MaskReading | None = None) -> None:
        self.files = list(files)
        self._meaning = declared if isinstance(declared, MaskMeaning) else None
        self._lock = threading.RLock()
        self._reading = declared if isinstance(declared, MaskReading) else None
        self._statistics: dict[Mask, MaskStatistics] = {}

    @property
    def are_drawn(self) -> bool:
        """Whether there are masks and annotations draw all of them."""
        return bool(self.files) and all(isinstance(file, DrawnMask) for file in self.files)

    def plane(self, file: Mask) -> Plane:
        """The values of the mask, [H, W]; also records its statistics. Raises DataError."""
        plane, lossy = self._values(file)
        if file not in self._statistics:
            self._statistics[file] = measured(plane, lossy)
        return plane

    def _values(self, file: Mask) -> tuple[Plane, bool]:
        """The values of the mask, [H, W], and whether its format is lossy."""
        if isinstance(file, DrawnMask):
            return file.plane(), False
        if isinstance(file, JoinedMasks):
            given = self._reading.meaning if self._reading else self._meaning
            return _joined(file, given is MaskMeaning.INVERTED)
        pixels, lossy = read_mask(file)
        return mask_plane(pixels, file), lossy

    def statistics(self, file: Mask) -> MaskStatistics:
        """The statistics of one mask. Raises DataError."""
        if file not in self._statistics:
            self.plane(file)
        return self._statistics[file]

    def alone(self, file: Mask) -> MaskReading:
        """The reading of this mask alone, while the common reading is unknown. Raises DataError."""
        return self._reading or find_reading({file: self.statistics(file)}, self._meaning)

    @property
    def reading(self) -> MaskReading:
        """The common reading of all masks, derived at the first call. Unreadable masks are ignored.

        Raises DataError if the masks contradict each other.
        """
        with self._lock:
            if self._reading is None:
                self._reading = find_reading(self.readable(), self._meaning)
            return self._reading

    def readable(self) -> dict[Mask, MaskStatistics]:
        """The statistics of all masks that can be read."""
        found = {}
        for file in self.files:
            try:
                found[file] = self.statistics(file)
            except DataError:
                continue  # reported where that mask is used
        return found

    def truth(self, file: Mask) -> Truth:
        """One mask: uint8 [H, W], 0 or 255. Raises DataError."""
        reading = self.reading
        return reading.truth(self.plane(file))


def mask_files(mask: Mask) -> tuple[Path, ...]:
    """The files that hold nothing but this mask; none if it is drawn from annotations."""
    if isinstance(mask, DrawnMask):
        return ()
    return mask.files if isinstance(mask, JoinedMasks) else (mask,)


def _joined(mask: JoinedMasks, dark_is_defect: bool) -> tuple[Plane, bool]:
    """The values of all files together, [H, W], and whether one is lossy. Raises DataError."""
    found = [read_mask(file) for file in mask.files]
    planes = [mask_plane(pixels, file) for (pixels, _), file in zip(found, mask.files, strict=True)]
    if len({(plane.shape, plane.dtype) for plane in planes}) > 1:
        raise DataError(f"the masks in {mask} differ in size or depth, and are of one photograph: save all in one way")
    together: Plane = (np.minimum if dark_is_defect else np.maximum).reduce(planes)
    return together, any(lossy for _, lossy in found)


def read_mask(file: Path) -> tuple[npt.NDArray[Any], bool]:
    """A mask's stored pixels, [H, W] or [H, W, 3 or 4], and whether its format is lossy.

    Raises DataError with a one-line message that names the file.
    """
    if not is_picture_name(file):
        raise DataError(f"mask {file}: its name ends with none of {' '.join(sorted(PICTURE_SUFFIXES))}")
    try:
        data = read_bytes(file)
        pixels = decode_unchanged(data)
    except DataError as error:
        raise DataError(f"mask {file}: {error}") from None
    return pixels, data[:2] == b"\xff\xd8" or (data[:4] == b"RIFF" and data[12:16] != b"VP8L")


def mask_plane(pixels: npt.NDArray[Any], file: Path) -> Plane:
    """The values that mark defects, uint8 or uint16 [H, W].

    Of colours the largest channel is used, so that any colour on black is detected. An alpha channel that varies is the
    mask if all visible pixels have the same colour; otherwise colours are composited on black. Raises DataError for
    values that are neither 8 nor 16 bits.
    """
    if pixels.dtype.name not in ("uint8", "uint16"):
        raise DataError(f"mask {file} holds {pixels.dtype.name} values: save it with 8 or 16 bits")
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    colour = pixels[:, :, :3].max(axis=2)
    if pixels.shape[2] < 4 or (alpha := pixels[:, :, 3]).min() == alpha.max():
        return np.ascontiguousarray(colour)
    visible = pixels[:, :, :3][alpha > 0]
    if (visible == visible[0]).all():
        return np.ascontiguousarray(alpha)
    whole = np.iinfo(pixels.dtype).max
    on_black: Plane = (colour.astype(np.uint32) * alpha // whole).astype(pixels.dtype)
    return on_black


def measured(plane: Plane, lossy: bool) -> MaskStatistics:
    """The statistics of a mask [H, W]; a flat pixel equals its right and its lower neighbour."""
    inner = plane[:-1, :-1]
    flat = inner[(inner == plane[1:, :-1]) & (inner == plane[:-1, 1:])]
    size = int(np.iinfo(plane.dtype).max) + 1
    pixels, amid = (np.bincount(values.ravel(), minlength=size) for values in (plane, flat))
    values = np.flatnonzero(pixels)
    return MaskStatistics(depth=plane.dtype.name, lossy=lossy, values=values, pixels=pixels[values], flat=amid[values])


def find_reading(masks: Mapping[Mask, MaskStatistics], declared: MaskMeaning | None = None) -> MaskReading:
    """The reading of these masks: `declared`, or derived from their values, the same for all.

    A small set of exact values: every value but 0 is a defect. A continuous grey: values above half of its range are.
    Raises DataError, naming masks, if nothing is declared and the masks are marked in different ways.
    """
    if masks and all(isinstance(mask, DrawnMask) for mask in masks):
        return MaskReading(meaning=MaskMeaning.NONZERO, masks=len(masks), drawn=True)
    depths: dict[str, list[MaskStatistics]] = defaultdict(list)
    for one in masks.values():
        depths[one.depth].append(one)
    half = {depth: max(1, *(one.largest for one in members)) // 2 for depth, members in depths.items()}
    if declared is not None:
        return MaskReading(meaning=declared, half=half, declared=True, masks=len(masks))
    continuous = any(_is_continuous(members) for members in depths.values())
    meaning = MaskMeaning.HALF if continuous else MaskMeaning.NONZERO
    reading = MaskReading(meaning=meaning, half=half if continuous else {}, masks=len(masks))
    _refuse_mixed(masks, depths.keys(), reading)
    return reading


def _is_continuous(masks: Sequence[MaskStatistics]) -> bool:
    marking = [one for one in masks if one.largest > 0]
    if any(one.lossy for one in marking):
        return True
    values = np.unique(np.concatenate([one.values for one in marking])) if marking else np.zeros(1)
    largest, count = int(values.max()), len(values)
    are_codes = largest < CODES_BELOW and largest < 2 * count
    if count > FEW_VALUES and not are_codes:
        return True
    between = [(one.values > 0) & (one.values < largest) for one in marking]
    pixels = sum(int(one.pixels[some].sum()) for one, some in zip(marking, between, strict=True))
    flat = sum(int(one.flat[some].sum()) for one, some in zip(marking, between, strict=True))
    return count > 4 and flat < FLAT_SHARE * pixels


def _refuse_mixed(masks: Mapping[Mask, MaskStatistics], depths: Iterable[str], reading: MaskReading) -> None:
    marking = {file: one for file, one in masks.items() if one.largest > 0}
    if len({one.depth for one in marking.values()}) > 1:
        first = {one.depth: file for file, one in marking.items()}
        named = " and ".join(f"{file} ({depth})" for depth, file in sorted(first.items()))
        raise DataError(f"masks of 8 and of 16 bits in one folder, such as {named}: save all with 8 bits, or {REMEDY}")
    if not marking:
        return
    brightest = max(marking, key=lambda file: marking[file].largest)
    largest = marking[brightest].largest
    unit = 256 if marking[brightest].depth == "uint16" and largest > 255 else 1
    dim = [file for file, one in marking.items() if one.largest < DIM * unit and not one.marked(reading) > 0]
    if reading.meaning is MaskMeaning.NONZERO:
        dim = [file for file, one in marking.items() if one.largest < DIM * unit]
    if dim and largest >= BRIGHT * unit:
        raise DataError(
            f"masks of what seem to be different meanings in one folder: {len(dim)}, such as {dim[0]}, have no value "
            f"above {max(marking[file].largest for file in dim)}, {brightest} has {largest}: save all in one way, or "
            f"{REMEDY}"
        )
    if reading.meaning is MaskMeaning.HALF:
        _refuse_doubtful(marking, reading, largest)


def _refuse_doubtful(marking: Mapping[Mask, MaskStatistics], reading: MaskReading, largest: int) -> None:
    """Raise DataError for a continuous grey that is too dark, and for large flat areas of grey below the half."""
    if largest < DIM * 2 and any(one.lossy for one in marking.values()):
        raise DataError(
            f"{counted(len(marking), 'mask')} in a lossy format (JPEG, WebP), such as {next(iter(marking))}: no value "
            f"above {largest}, and class numbers do not survive that; save them as PNG, or {REMEDY}"
        )
    for file, one in marking.items():
        half = reading.half[one.depth]
        doubtful = int(one.flat[(one.values > half // 4) & (one.values <= half)].sum())
        if doubtful > DOUBTFUL_SHARE * one.marked(reading):
            raise DataError(
                f"mask {file} has {doubtful} pixels in even areas of a grey between {half // 4} and {half}, neither "
                f"background nor above half of the range: {REMEDY}"
            )
