"""Labelled photographs in a folder: one file per layout; the layout is recognised by what only it has.

To add a layout, add a file to `layouts` with its NAME, SHAPE, `signs` and `listing` (`layouts.base.Layout`), and
list it here. `accounting` accounts for the files that a layout does not list, for all layouts.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.errors import DataError
from edge.photographs.accounting import FIRST, LeftOut, account, refuse_other_case, walk
from edge.photographs.layouts import (
    btad,
    coco,
    good_bad,
    labelme,
    labels_csv,
    mvtec,
    mvtec_ad2,
    mvtec_loco,
    ok_ng,
    one_class,
    visa,
    voc,
    worded_folders,
    yolo,
)
from edge.photographs.layouts.base import Layout
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.masks import MaskReading, MaskSet
from edge.photographs.photograph import Photograph, parts, subfolders
from edge.pictures import is_picture_name
from edge.text import counted

LOOSE: tuple[Layout, ...] = (good_bad, one_class, mvtec)
"""Layouts whose signs are single folders; a folder that has signs of two is refused."""

FOLDERS: tuple[Layout, ...] = (visa, mvtec_ad2, mvtec_loco, btad, ok_ng, worded_folders)
"""Layouts of which one sign is enough to be sure. They go before the others; the first one here is taken."""

ANNOTATED: tuple[Layout, ...] = (coco, yolo, voc, labelme, labels_csv)
"""Layouts of annotation files. They go before the loose ones; of several in one folder the first one here is taken."""

LAYOUTS = (*LOOSE, *FOLDERS, *ANNOTATED)


@dataclass(frozen=True)
class Listing:
    """The photographs of a data folder according to its layout.

    `splits` maps "train", "val" and "test" to photographs, and "" to those without a split; a split without photographs
    is absent. `trains_apart` says that train contains only good photographs and that the others are not meant for
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
    """Recognise the layout of `data` and list its photographs, without decoding them.

    `masks` says how its masks are read; None derives it from all of them when the first is read. `bits` is the number
    of significant bits of 16-bit photographs. Raises DataError with a one-line message if the folder does not exist, if
    it has no known layout or several, if it contains pictures without a label or masks without a photograph, or if
    `masks` gives a meaning to masks that are drawn from annotations.
    """
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    try:
        return _read(data, masks, bits)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read: {error.strerror or error}") from None


def _read(data: Path, masks: MaskMeaning | MaskReading | None, bits: int | None) -> Listing:
    refuse_other_case(data)
    layout, others = _find_layout(data)
    rows = parts(data)
    found = layout.listing(data, rows)
    listed = {split: photographs for split, photographs in found.splits.items() if photographs}
    photographs = [photograph for members in listed.values() for photograph in members]
    left_out = [*found.left_out, *account(data, layout.NAME, photographs, rows, {*found.read})]
    together = MaskSet([one.mask for one in photographs if one.mask], masks)
    if isinstance(masks, MaskMeaning) and together.are_drawn:
        raise DataError(
            f"--masks {masks}: the masks of {data} are drawn from annotations ({layout.NAME}): leave it out"
        )
    splits = {split: [replace(one, masks=together, bits=bits) for one in members] for split, members in listed.items()}
    counts = ", ".join(f"{len(members)} {split or 'in no split'}" for split, members in splits.items())
    has_masks = any(one.mask for one in photographs)
    name = layout.NAME if has_masks else layout.NAME.removesuffix(f" {good_bad.MASKS[0]}/")
    notes = [
        *found.notes,
        *(f"{sign} ({other.NAME}) is not read" for other, sign in others if data / sign not in found.read),
    ]
    said = "; ".join([f"{name}: {counts or 'no photographs'}", *notes])
    return Listing(said, found.trains_apart, splits, left_out, together)


def _find_layout(data: Path) -> tuple[Layout, list[tuple[Layout, str]]]:
    """The layout of the folder, and the annotations that were passed over for it, each with its first file."""
    annotated = [(layout, signs[0]) for layout in ANNOTATED if (signs := layout.signs(data))]
    if sure := next((layout for layout in FOLDERS if layout.signs(data)), None):
        return sure, annotated
    if annotated:
        return annotated[0][0], annotated[1:]
    found = [(layout, signs[0]) for layout in LOOSE if (signs := layout.signs(data))]
    if len(found) == 1:
        return found[0][0], []
    if found:
        both = " and ".join(f"{sign}/ ({layout.NAME})" for layout, sign in found)
        raise DataError(f"{data} is in {len(found)} layouts at once, by {both}: move out what does not belong to one")
    if below := _fitting_below(data):
        raise DataError(f"{data} holds no photographs in a layout known here, but {below}")
    known = "; ".join(layout.SHAPE for layout in LAYOUTS)
    raise DataError(f"{data} holds {_contents(data)}, in no layout known here, which are {known}")


def _fitting_below(data: Path) -> str:
    """The end of a line that names the folders directly in `data` that fit a layout; empty if none does."""
    fitting = [data / name for name in subfolders(data) if any(layout.signs(data / name) for layout in LAYOUTS)]
    if not fitting:
        return ""
    if len(fitting) == 1:
        return f"{fitting[0]} does: give that one"
    shown = [str(folder) for folder in fitting[:FIRST]] + ([f"{len(fitting) - FIRST} more"] if fitting[FIRST:] else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]} do: give one of them"


def _contents(data: Path) -> str:
    """What there is in a folder, in a few words, such as "12 pictures in photos/ and 3 .txt files"."""
    there = [path.relative_to(data) for path, kind in walk(data) if kind == "file"]
    places = Counter("/".join((*path.parts[:-1][:2], "")) for path in there if is_picture_name(path))
    suffixes = Counter(path.suffix.lower() for path in there if not is_picture_name(path))
    said = [
        f"{counted(count, 'picture')}{f' in {place}' if place else ''}" for place, count in places.most_common(FIRST)
    ]
    more = places.total() - sum(count for _, count in places.most_common(FIRST))
    said += [f"{counted(more, 'picture')} elsewhere"] if more else []
    said += [counted(count, f"{suffix or 'other'} file") for suffix, count in suffixes.most_common(FIRST)]
    return " and ".join(part for part in (", ".join(said[:-1]), *said[-1:]) if part) or "no pictures"
