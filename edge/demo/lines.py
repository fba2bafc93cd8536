"""The demo lines by name: how each is opened, and how many photographs of it are written unless others are asked for.

To add a line, add a file with its class of `RenderedLine`, its name in `edge/demo/line_names.py`, its `PLANS` and its
case in `open_line`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from edge.demo.line_names import LineName
from edge.errors import DataError

if TYPE_CHECKING:  # a command's help draws nothing
    from edge.demo.rendered_line import RenderedLine

Split: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

PLATE_SIZE = (720, 1280)
"""(height, width) of a photograph of a plate, pixels."""

LIVE_DEFECT_RATE = 0.2


@dataclass(frozen=True)
class Plan:
    """Of one split: the number of photographs, and the share of bad parts, 0..1."""

    count: int
    defect_rate: float


PLANS: Mapping[LineName, Mapping[Split, Plan]] = {
    "plates": {"train": Plan(600, 0.4), "val": Plan(300, 0.4), "test": Plan(300, 0.4)},
    "codes": {"train": Plan(3128, 0.2), "val": Plan(1036, 0.2), "test": Plan(1036, 0.2)},
    "pour": {"train": Plan(2400, 0.0), "val": Plan(800, 0.2), "test": Plan(3794, 0.034)},
}
"""Codes and pours have the numbers and shares of the experiments, as far as these are known."""

POUR_SHIFT = 1.0
"""How far the light of the test part of the pours differs, unless it is given."""


def open_line(
    name: LineName,
    seed: int = 0,
    defect_rate: float = LIVE_DEFECT_RATE,
    size: tuple[int, int] | None = None,
    shift: float = 0.0,
) -> "RenderedLine":
    """Open a line.

    `size` is (height, width) of the photographs of plates, `shift` that of the light over pours; the other lines have
    neither. Raises ValueError if the line refuses a parameter.
    """
    if size is not None and name != "plates":
        raise ValueError(f"line {name}: its photographs have sizes of their own: leave out --size")
    if name == "codes":
        from edge.demo.codes import CodesLine

        return CodesLine(seed, defect_rate)
    if name == "pour":
        from edge.demo.pour import PourLine

        return PourLine(seed, defect_rate, shift)
    from edge.demo.line import DemoLine

    return DemoLine(seed, size or PLATE_SIZE, defect_rate)


def split_seed(seed: int, split: Split) -> int:
    """The line's seed for a split: 1000·(seed + 1) + 1 for train, + 2 for val, + 3 for test.

    These are not seeds that users give to a run (a run's default is 0), so that photographs and a run never show the
    same part.
    """
    return 1000 * (seed + 1) + 1 + SPLITS.index(split)


def split_lines(
    name: LineName,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    defect_rate: float | None = None,
    shift: float | None = None,
) -> "dict[Split, RenderedLine]":
    """A line for each split, of different parts. `defect_rate` None: as in `PLANS`; `shift` None: `POUR_SHIFT`.

    The training part of the pours has good parts only, and only its test part has the shift. Raises DataError if the
    line refuses a parameter.
    """
    if shift is not None and name != "pour":
        raise DataError(f"line {name}: its test part has the light of the others: leave out --shift, which pour has")
    test_shift = POUR_SHIFT if shift is None else shift
    try:
        lines: dict[Split, RenderedLine] = {}
        for split in SPLITS:
            own_rate = PLANS[name][split].defect_rate
            rate = own_rate if defect_rate is None or own_rate == 0 else defect_rate
            own_shift = test_shift if name == "pour" and split == "test" else 0.0
            lines[split] = open_line(name, split_seed(seed, split), rate, size, own_shift)
        return lines
    except ValueError as error:
        raise DataError(str(error)) from None
