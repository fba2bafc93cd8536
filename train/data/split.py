"""The split of photographs into train, val and test: by folders, by groups, or by a file.

Photographs that show the same thing (one part under several lights, one lot, one day) form a **group**, and a group is
never in two splits. A split is written as a CSV file, `file,split,label,defect,group`, that other programs can use.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edge.errors import DataError
from edge.photographs.accounting import LeftOut
from edge.photographs.groups import SHARES, assign_groups
from edge.photographs.listing import Listing, read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.masks import MaskReading
from edge.photographs.photograph import SPLITS, Photograph
from edge.pictures.contract import Bits
from edge.text import counted, reason_of

Splits = dict[str, list[Photograph]]
LeakPolicy = Literal["refuse", "allow", "drop"]

SHARES_JUDGED = {"val": 0.5, "test": 0.5}
"""Shares if the layout has its training photographs in a folder of their own."""
PART, EACH = "part", "(.+)"
"""Groups if none are requested: the column of parts.csv that names the part, or every photograph by itself."""

UNUSED = "unused"
COLUMNS = ("file", "split", "label", "defect", "group")


@dataclass(frozen=True)
class SplitChoice:
    """How photographs are split: by folders; by groups, with a seed; or by a file.

    `leaks` is the policy if different splits show the same thing, see `train.data.leaks.settle_leaks`. `masks` is the
    meaning of masks; None derives it. `bits` is the number of significant bits of 16-bit photographs.
    """

    group_by: str | None = None
    seed: int = 0
    file: Path | None = None
    leaks: LeakPolicy = "refuse"
    masks: MaskMeaning | None = None
    bits: Bits | None = None


AS_FOLDERS = SplitChoice()


@dataclass(frozen=True)
class Division:
    """The photographs of each split (all of `SPLITS`, possibly empty), unused ones, and how they were split.

    `left_out` lists the other files in the folder. `layout` and `said` are one line each; `groups` maps names to
    groups, and is empty if no groups were requested.
    """

    layout: str
    said: str
    splits: Splits
    groups: dict[str, str] = field(default_factory=dict)
    unused: list[Photograph] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def divide(data: Path, choice: SplitChoice) -> Division:
    """List the photographs of `data` and split them according to `choice`, without opening them.

    If the folders make no split, or none for validation, and none is requested, groups are the values of the column
    `part` of parts.csv if each photograph has one, else every photograph is a group. Raises DataError with a one-line
    message if the folder, its layout, the groups or the file cannot be used.
    """
    listing = read_listing(data, choice.masks, choice.bits)
    if choice.file and choice.group_by:
        raise DataError("--split and --group-by both say how to split: give one of them")
    if choice.file:
        return _as_file(listing, choice.file)
    if choice.group_by:
        return _by_groups(listing, choice.group_by, choice.seed)
    if "" in listing.splits or (listing.trains_apart and "val" not in listing.splits):
        return _unasked(listing, choice.seed)
    splits = {split: listing.splits.get(split, []) for split in SPLITS}
    return Division(listing.said, "as the folders say", splits, left_out=listing.left_out)


def group_keys(photographs: Sequence[Photograph], group_by: str) -> list[str]:
    """The group of each photograph.

    `group_by` is a column of parts.csv, or else a regular expression that is searched in the photograph's path from
    DATA and whose first group is the group. Raises DataError if it is neither, or gives no group for a photograph.
    """
    columns = sorted({column for photograph in photographs for column in photograph.details})
    if group_by in columns:
        keys = [photograph.details.get(group_by, "") for photograph in photographs]
    else:
        pattern = _pattern(group_by, columns)
        found = [pattern.search(photograph.name) for photograph in photographs]
        keys = [(match.group(1) or "") if match else "" for match in found]
    silent = [photograph.name for photograph, key in zip(photographs, keys, strict=True) if not key]
    if silent:
        raise DataError(
            f"--group-by {group_by} gives no group to {counted(len(silent), 'photograph')}, the first {silent[0]}"
        )
    return keys


def write_split(file: Path, division: Division) -> None:
    """Write the split as CSV. Raises DataError if `file` exists with another split."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    for split, photographs in [*division.splits.items(), (UNUSED, division.unused)]:
        for p in photographs:
            writer.writerow([p.name, split, p.label, p.defect or "", division.groups.get(p.name, "")])
    if file.exists() and file.read_text(encoding="utf-8") != content.getvalue():
        raise DataError(f"{file} says another split than the one asked for now; give --out another folder")
    file.write_text(content.getvalue(), encoding="utf-8")


def read_split(data: Path, file: Path, masks: MaskReading | None = None, bits: int | None = None) -> Division:
    """The photographs of `data` split by a file of `write_split`; only its columns `file` and `split` are needed.

    `masks` and `bits` say how masks and photographs are read, see `edge.photographs.read_listing`.

    A split is train, val, test, or "unused" for a photograph that is left out. Raises DataError with a one-line message
    if a photograph is missing in the file or in `data`, named twice or labelled differently, or if a group of the
    file's column `group` is in two splits.
    """
    return _as_file(read_listing(data, masks, bits), file)


def _as_file(listing: Listing, file: Path) -> Division:
    rows = read_rows(file)
    photographs = sorted(listing.photographs, key=lambda photograph: photograph.name)
    known = {photograph.name: photograph for photograph in photographs}
    gone = [name for name in rows if name not in known and rows[name]["split"] != UNUSED]
    if gone:
        strangers = counted(len(gone), "photograph that is", "photographs that are")
        raise DataError(f"{file} names {strangers} not in the data, the first {gone[0]}")
    unnamed = [name for name in known if name not in rows]
    if unnamed:
        raise DataError(
            f"{file} says nothing of {counted(len(unnamed), 'photograph')}, the first {unnamed[0]}; give each a split, "
            f"or {UNUSED!r} to leave it out"
        )
    for name, photograph in known.items():
        label = rows[name].get("label") or photograph.label
        if label != photograph.label:
            raise DataError(f"{file} calls {name} {label!r}, its folder {photograph.label!r}")
    placed = {
        split: [p for p in _good_first(photographs) if rows[p.name]["split"] == split] for split in (*SPLITS, UNUSED)
    }
    unused = placed.pop(UNUSED)
    groups = {name: rows[name].get("group") or "" for name in known}
    groups = {name: group for name, group in groups.items() if group}
    _refuse_torn_groups(placed, groups, str(file))
    placed = _parts_from_groups(placed, groups)
    return Division(listing.said, f"as {file} says", placed, groups, unused, listing.left_out)


def read_rows(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a split file by the names of their photographs. Raises DataError if it is another file."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restval="")
            missing = {"file", "split"} - set(reader.fieldnames or [])
            if missing:
                raise DataError(f"{file} has no column {sorted(missing)[0]!r}; a split file has {', '.join(COLUMNS)}")
            rows: dict[str, dict[str, str]] = {}
            for row in reader:
                if row["split"] not in (*SPLITS, UNUSED):
                    allowed = ", ".join((*SPLITS, UNUSED))
                    raise DataError(f"{file}: {row['file']} has split {row['split']!r}; there are {allowed}")
                if row["file"] in rows:
                    raise DataError(f"{file} names {row['file']} twice")
                rows[row["file"]] = row
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"split file {file} cannot be read: {reason_of(error)}") from None


def _unasked(listing: Listing, seed: int) -> Division:
    """The split of photographs whose folders say none, or none for validation, if none was requested."""
    if all(photograph.details.get(PART) for photograph in listing.photographs):
        return _by_groups(listing, PART, seed)
    division = _by_groups(listing, EACH, seed)
    remedy = "--group-by COLUMN|REGEX keeps photographs of one part together"
    apart = ", train/ as it is" if listing.trains_apart else ""
    return replace(division, said=f"each photograph by itself, seed {seed}{apart}; {remedy}", groups={})


def _by_groups(listing: Listing, group_by: str, seed: int) -> Division:
    photographs = sorted(listing.photographs, key=lambda photograph: photograph.name)
    taught = {one.name for one in listing.splits.get("train", [])} if listing.trains_apart else set()
    apart = [one for one in photographs if one.name in taught or (taught and one.name.startswith("train/"))]
    kept = {photograph.name for photograph in apart}
    groups = dict(zip((p.name for p in photographs), group_keys(photographs, group_by), strict=True))
    free = [photograph for photograph in photographs if photograph.name not in kept]
    shares = SHARES_JUDGED if apart else SHARES
    strata = [photograph.defect or photograph.label for photograph in free]
    assigned = assign_groups([groups[p.name] for p in free], strata, shares, seed)
    if len(assigned) < len(shares):
        raise DataError(
            f"--group-by {group_by} makes {counted(len(assigned), 'group')}; {len(shares)} splits need as many"
        )
    splits = {split: [p for p in _good_first(free) if assigned[groups[p.name]] == split] for split in SPLITS}
    if apart:
        splits["train"] = apart
    _refuse_torn_groups(splits, groups, f"--group-by {group_by}")
    if group_by != EACH:
        splits = _parts_from_groups(splits, groups)
    said = f"{counted(len(assigned), 'group')} by {group_by}, seed {seed}" + (", train/ as it is" if apart else "")
    return Division(listing.said, said, splits, groups, left_out=listing.left_out)


def _parts_from_groups(splits: Splits, groups: Mapping[str, str]) -> Splits:
    """The photographs with their group as their part, if no part is known and the groups are no column of parts.csv.

    A pattern of `--group-by` names parts; a column may name a lot or a day, which is no part.
    """
    everything = [photograph for split in splits.values() for photograph in split]
    if any(PART in photograph.details for photograph in everything) or not all(p.name in groups for p in everything):
        return splits
    columns = {column for photograph in everything for column in photograph.details}
    if any(all(p.details.get(column) == groups[p.name] for p in everything) for column in columns):
        return splits
    return {
        split: [replace(p, details={**p.details, PART: groups[p.name]}) for p in photographs]
        for split, photographs in splits.items()
    }


def _pattern(group_by: str, columns: list[str]) -> re.Pattern[str]:
    has = f"parts.csv has {', '.join(columns)}" if columns else "there is no parts.csv with further columns"
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise DataError(f"--group-by {group_by} is no column ({has}) and no regular expression: {error}") from None
    if not pattern.groups:
        raise DataError(
            f"--group-by {group_by} is no column ({has}) and, as a regular expression, has no (group) in it"
        )
    return pattern


def _refuse_torn_groups(splits: Splits, groups: Mapping[str, str], whose: str) -> None:
    home: dict[str, str] = {}
    for split, photographs in splits.items():
        for group in (groups[p.name] for p in photographs if p.name in groups):
            if home.setdefault(group, split) != split:
                raise DataError(f"{whose}: group {group!r} stands in {home[group]} and in {split}")


def _good_first(photographs: Iterable[Photograph]) -> list[Photograph]:
    return sorted(photographs, key=lambda photograph: photograph.is_bad)
