"""Labelled photographs in a folder: one file per layout; the layout is recognised by what only it has.

To add a layout, add a file with its NAME, `signs` and `listing`, and list it in `LAYOUTS`. `accounting` accounts for
the files that a layout does not list, for all layouts.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from edge.errors import DataError
from edge.photographs import good_bad, mvtec, one_class
from edge.photographs.accounting import FIRST, LeftOut, account, refuse_other_case
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.masks import MaskReading, MaskSet
from edge.photographs.photograph import Photograph, parts, subfolders

LAYOUTS: tuple[ModuleType, ...] = (good_bad, one_class, mvtec)


@dataclass(frozen=True)
class Listing:
    """The photographs of a data folder according to its layout.

    `splits` maps "train", "val" and "test" to photographs, and "" to those without a split; a split without photographs
    is absent. `trains_apart` says that train/ contains only good photographs and that the others are not meant for
    training. `said` describes the interpretation in one line. `left_out` counts and names the other files in the
    folder; `masks` are all its masks.
    """

    said: str
    trains_apart: bool
    splits: dict[str, list[Photograph]]
    left_out: list[LeftOut] = field(default_factory=list)
    masks: MaskSet = field(default_factory=lambda: MaskSet([]))

    @property
    def photographs(self) -> list[Photograph]:
        """All photographs, split by split."""
        return [photograph for split in self.splits.values() for photograph in split]


def read_listing(data: Path, masks: MaskMeaning | MaskReading | None = None, bits: int | None = None) -> Listing:
    """Recognise the layout of `data` and list its photographs, without opening them.

    `masks` says how its masks are read; None derives it from all of them when the first is read. `bits` is the number
    of significant bits of 16-bit photographs. Raises DataError with a one-line message if the folder does not exist, if
    it has no known layout or several, or if it contains pictures without a label or masks without a photograph.
    """
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    try:
        return _read(data, masks, bits)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read: {error.strerror or error}") from None


def _read(data: Path, masks: MaskMeaning | MaskReading | None, bits: int | None) -> Listing:
    refuse_other_case(data)
    layout, rows = _find_layout(data), parts(data)
    listed = {split: photographs for split, photographs in layout.listing(data, rows).items() if photographs}
    photographs = [photograph for members in listed.values() for photograph in members]
    texts = one_class.label_files(data) if layout is one_class else []
    left_out = account(data, layout.NAME, photographs, rows, {*texts})
    together = MaskSet([one.mask for one in photographs if one.mask], masks)
    splits = {split: [replace(one, masks=together, bits=bits) for one in members] for split, members in listed.items()}
    counts = ", ".join(f"{len(members)} {split or 'in no split'}" for split, members in splits.items())
    has_masks = any(one.mask for one in photographs)
    name = layout.NAME if has_masks else layout.NAME.removesuffix(f" {good_bad.MASKS[0]}/")
    said = f"{name}: {counts or 'no photographs'}"
    return Listing(said, layout.TRAINS_APART, splits, left_out, together)


def _find_layout(data: Path) -> ModuleType:
    signs: dict[ModuleType, list[str]] = {layout: layout.signs(data) for layout in LAYOUTS}
    seen = [layout for layout in LAYOUTS if signs[layout]]
    if len(seen) == 1:
        return seen[0]
    if seen:
        both = " and ".join(f"{signs[layout][0]}/ ({layout.NAME})" for layout in seen)
        raise DataError(f"{data} is in {len(seen)} layouts at once, by {both}: move out what does not belong to one")
    if below := _fitting_below(data):
        raise DataError(f"{data} holds no photographs in a layout known here, but {below}")
    known = "; ".join(layout.SHAPE for layout in LAYOUTS)
    raise DataError(f"{data} holds photographs in no layout known here, which are {known}")


def _fitting_below(data: Path) -> str:
    """The end of a line that names the folders directly in `data` that fit a layout; empty if none does."""
    fitting = [data / name for name in subfolders(data) if any(layout.signs(data / name) for layout in LAYOUTS)]
    if not fitting:
        return ""
    if len(fitting) == 1:
        return f"{fitting[0]} does: give that one"
    shown = [str(folder) for folder in fitting[:FIRST]] + ([f"{len(fitting) - FIRST} more"] if fitting[FIRST:] else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]} do: give one of them"
