"""Labelled photographs in a folder: one file a layout, told apart by what only one of them has.

Adding a layout is adding one file with its NAME, `signs` and `listing`, and naming it in `LAYOUTS`.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edge.errors import DataError
from edge.photographs import good_bad, mvtec, one_class
from edge.photographs.photograph import Photograph

LAYOUTS: tuple[ModuleType, ...] = (good_bad, one_class, mvtec)


@dataclass(frozen=True)
class Listing:
    """The photographs of a data folder as its layout gives them.

    `splits` maps "train", "val" and "test" to photographs, and "" to those that the folders give to no split; a split
    without photographs is missing. `trains_apart` says that train/ holds good photographs alone and that the
    others were never meant to be learnt from. `said` tells in one line what was taken for what.
    """

    said: str
    trains_apart: bool
    splits: dict[str, list[Photograph]]

    @property
    def photographs(self) -> list[Photograph]:
        """All of them, split by split."""
        return [photograph for split in self.splits.values() for photograph in split]


def read_listing(data: Path) -> Listing:
    """Find out the layout of `data` and list its photographs; none of them is opened.

    Raises DataError, in one line, if there is no such folder, or it is in no known layout or in two at once.
    """
    if not data.is_dir():
        raise DataError(f"no such data folder: {data}")
    layout = _find_layout(data)
    splits = {split: photographs for split, photographs in layout.listing(data).items() if photographs}
    counts = ", ".join(f"{len(photographs)} {split or 'in no split'}" for split, photographs in splits.items())
    return Listing(f"{layout.NAME}: {counts or 'no photographs'}", layout.TRAINS_APART, splits)


def _find_layout(data: Path) -> ModuleType:
    signs: dict[ModuleType, list[str]] = {layout: layout.signs(data) for layout in LAYOUTS}
    seen = [layout for layout in LAYOUTS if signs[layout]]
    if len(seen) == 1:
        return seen[0]
    if seen:
        both = " and ".join(f"{signs[layout][0]}/ ({layout.NAME})" for layout in seen)
        raise DataError(f"{data} is in {len(seen)} layouts at once, by {both}: move out what does not belong to one")
    known = "; ".join(layout.SHAPE for layout in LAYOUTS)
    raise DataError(f"{data} holds photographs in no layout known here, which are {known}")
