"""What a layout is, what it answers, and the splits that it answers where the folders leave one out."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge.errors import DataError
from edge.photographs.accounting import LeftOut
from edge.photographs.photograph import SPLITS, Parts, Photograph

Splits = dict[str, list[Photograph]]

LABELS = ("good", "bad")

VALIDATION_SHARE = 0.2
"""Share of train/ that validates: the share that a split by groups gives to val."""


@dataclass(frozen=True)
class Listed:
    """The photographs of a data folder by split, good first, "" for those without a split; lists may be empty.

    `trains_apart` says that the photographs of train are good ones and that the others are not meant for training.
    `notes` are a few words each about choices that the layout made. `read` are files beside the photographs and their
    masks that the layout has read or counted in `left_out`; all others are accounted for by `accounting`.
    """

    splits: Splits
    trains_apart: bool = False
    notes: tuple[str, ...] = ()
    read: frozenset[Path] = frozenset()
    left_out: list[LeftOut] = field(default_factory=list)


class Layout(Protocol):
    """A module of this package.

    `NAME` is what messages call the layout, without a colon; `SHAPE` is what a folder needs to have it.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """Name of the layout."""
        ...

    @property
    def SHAPE(self) -> str:  # noqa: N802
        """The folders and files by which the layout is recognised."""
        ...

    def signs(self, data: Path) -> list[str]:
        """Folders and files of `data` that only this layout has; empty if it has another one."""
        ...

    def listing(self, data: Path, rows: Parts) -> Listed:
        """The photographs of `data`, without opening them; `rows` are those of parts.csv. Raises DataError."""
        ...


def completed(
    data: Path,
    splits: Mapping[str, Sequence[Photograph]],
    notes: Sequence[str] = (),
    read: Iterable[Path] = (),
    left_out: Sequence[LeftOut] = (),
) -> Listed:
    """The listing of these photographs, sorted, where a split may be missing.

    Photographs that all lie in train/ have no split. Without val, photographs of train stay apart if all are good, as
    in MVTec; else `VALIDATION_SHARE` of them validates, chosen by a hash of the names. Raises DataError if some
    photographs have a split and others have none.
    """
    there = {split: in_order(splits[split]) for split in ("", *SPLITS) if splits.get(split)}
    named = [split for split in there if split]
    if "" in there and named:
        one, other = there[""][0].name, there[named[0]][0].name
        raise DataError(f"{data}: {other} has the split {named[0]} and {one} has none: with splits, all have one")
    trains_apart, said = False, [*notes]
    if named == ["train"]:
        there = {"": there["train"]}
        said.append("train is the only split, so all are divided")
    elif "train" in there and "val" not in there:
        trains_apart = not any(one.is_bad for one in there["train"])
        if not trains_apart:
            train = there["train"]
            chosen = {name for label in LABELS for name in validating([one for one in train if one.label == label])}
            there["val"] = [one for one in train if one.name in chosen]
            there["train"] = [one for one in train if one.name not in chosen]
            there = {split: there[split] for split in SPLITS if split in there}
            said.append("val is a fifth of train, by a hash of the names")
    return Listed(there, trains_apart, tuple(said), frozenset(read), [*left_out])


def in_order(photographs: Iterable[Photograph]) -> list[Photograph]:
    """Good photographs first, sorted by name."""
    return sorted(photographs, key=lambda one: (one.is_bad, one.name))


def validating(photographs: Sequence[Photograph]) -> set[str]:
    """Names of `VALIDATION_SHARE` of these photographs; at least one, unless there is only one."""
    places = {one.name: _place(one.path.name) for one in photographs}
    chosen = {name for name, place in places.items() if place < VALIDATION_SHARE}
    return chosen or set(sorted(places, key=lambda name: places[name])[: len(places) > 1])


def _place(name: str) -> float:
    """A number from 0 to 1 that depends on a file's name only, evenly distributed over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
