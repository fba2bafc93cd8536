"""Which photographs are learnt from, which choose, and which judge: by folders, by groups, or by a file.

Photographs that show the same thing (one part under several lights, one lot, one day) form a **group**, and a group
never stands in two splits. A split is written as a CSV file, `file,split,label,defect,group`, that others can use.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from edge.errors import DataError
from edge.photographs.accounting import LeftOut
from edge.photographs.listing import Listing, read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.masks import MaskReading
from edge.photographs.photograph import SPLITS, Photograph
from edge.pictures.contract import Bits

Splits = dict[str, list[Photograph]]
LeakPolicy = Literal["refuse", "allow", "drop"]

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
SHARES_JUDGED = {"val": 0.5, "test": 0.5}
"""Where the layout keeps the photographs to learn from apart."""
UNUSED = "unused"
COLUMNS = ("file", "split", "label", "defect", "group")


@dataclass(frozen=True)
class SplitChoice:
    """How photographs are split: as the folders say; by groups, with a seed; or as a file says.

    `leaks` is what happens where different splits show the same thing, see `train.data.leaks.settle_leaks`. `masks` is
    what the masks mean; None finds it out. `bits` are the significant ones of photographs of 16 bits a sample.
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
    """The photographs of each split (all of `SPLITS`, some may be empty), those of none, and how they were split.

    `left_out` is what else lies in the folder. `layout` and `said` are one line each; `groups` maps names to groups,
    and is empty where no groups were asked for.
    """

    layout: str
    said: str
    splits: Splits
    groups: dict[str, str] = field(default_factory=dict)
    unused: list[Photograph] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def divide(data: Path, choice: SplitChoice) -> Division:
    """List the photographs of `data` and split them as `choice` says; none of them is opened.

    Raises DataError, in one line, where the folder, its layout, the groups or the file cannot be used, and where
    there is no split and none is asked for.
    """
    listing = read_listing(data, choice.masks, choice.bits)
    if choice.file and choice.group_by:
        raise DataError("--split and --group-by both say how to split: give one of them")
    if choice.file:
        return _as_file(listing, choice.file)
    if choice.group_by:
        return _by_groups(listing, choice.group_by, choice.seed)
    if "" in listing.splits or (listing.trains_apart and "val" not in listing.splits):
        what = "no split" if "" in listing.splits else "no validation photographs"
        raise DataError(
            f"{data} ({listing.said}) has {what}: --group-by COLUMN|REGEX makes them, by groups of photographs that "
            "belong together ('(.+)': each for itself), or --split FILE says them"
        )
    splits = {split: listing.splits.get(split, []) for split in SPLITS}
    return Division(listing.said, "as the folders say", splits, left_out=listing.left_out)


def group_keys(photographs: Sequence[Photograph], group_by: str) -> list[str]:
    """The group of each photograph.

    `group_by` is a column of parts.csv, or else a regular expression that is searched in the photograph's path from
    DATA and whose first group is the group. Raises DataError if it is neither, or says nothing of a photograph.
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
        raise DataError(f"--group-by {group_by} gives no group to {len(silent)} photographs, the first {silent[0]}")
    return keys


def assign_groups(
    groups: Sequence[str], strata: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """A split for each group, so that every split gets its share of each stratum as nearly as groups allow.

    `groups` and `strata` hold one entry a photograph; `shares` are positive. Groups are taken in a random order, large
    ones first, each to the split that it fills the least beyond its share (after Sechidis, Tsoumakas and Vlahavas,
    On the Stratification of Multi-label Data, ECML 2011). The order of the photographs does not matter.
    """
    contents: dict[str, Counter[str]] = {group: Counter() for group in sorted(set(groups))}
    for group, stratum in zip(groups, strata, strict=True):
        contents[group][stratum] += 1
    totals = Counter(strata)
    filled: dict[str, Counter[str]] = {split: Counter() for split in shares}
    names = list(contents)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    assigned = {}
    for group in sorted(order, key=lambda name: -contents[name].total()):
        content = contents[group]
        # Rounded, because equal costs that differ in their last bit would hide that one split is still empty.
        cost = {split: round(_overfill(content, filled[split], totals) / share, 9) for split, share in shares.items()}
        chosen = min(shares, key=lambda split: (cost[split], filled[split].total(), split))
        filled[chosen].update(content)
        assigned[group] = chosen
    return assigned


def write_split(file: Path, division: Division) -> None:
    """Write the split as CSV. Raises DataError if `file` already says another split."""
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
    """The photographs of `data` as a file of `write_split` says; of its columns `file` and `split` are needed.

    `masks` and `bits` say how masks and photographs are read, see `edge.photographs.read_listing`.

    A split is train, val, test, or "unused" for a photograph that is left out. Raises DataError, in one line, if a
    photograph is missing in the file, missing in `data`, named twice or labelled otherwise, or a group of the file's
    column `group` stands in two splits.
    """
    return _as_file(read_listing(data, masks, bits), file)


def _as_file(listing: Listing, file: Path) -> Division:
    rows = read_rows(file)
    photographs = sorted(listing.photographs, key=lambda photograph: photograph.name)
    known = {photograph.name: photograph for photograph in photographs}
    gone = [name for name in rows if name not in known and rows[name]["split"] != UNUSED]
    if gone:
        raise DataError(f"{file} names {len(gone)} photographs that are not in the data, the first {gone[0]}")
    unnamed = [name for name in known if name not in rows]
    if unnamed:
        raise DataError(
            f"{file} says nothing of {len(unnamed)} photographs, the first {unnamed[0]}; give them a split, or "
            f"{UNUSED!r} to leave them out"
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
    return Division(listing.said, f"as {file} says", placed, groups, unused, listing.left_out)


def read_rows(file: Path) -> dict[str, dict[str, str]]:
    """The rows of a split file by the names of their photographs. Raises DataError if it is none."""
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
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"split file {file} cannot be read: {reason}") from None


def _by_groups(listing: Listing, group_by: str, seed: int) -> Division:
    apart = listing.splits.get("train", []) if listing.trains_apart else []
    kept = {photograph.name for photograph in apart}
    photographs = sorted(listing.photographs, key=lambda photograph: photograph.name)
    groups = dict(zip((p.name for p in photographs), group_keys(photographs, group_by), strict=True))
    free = [photograph for photograph in photographs if photograph.name not in kept]
    shares = SHARES_JUDGED if apart else SHARES
    strata = [photograph.defect or photograph.label for photograph in free]
    assigned = assign_groups([groups[p.name] for p in free], strata, shares, seed)
    if len(assigned) < len(shares):
        raise DataError(f"--group-by {group_by} makes {len(assigned)} groups; {len(shares)} splits need as many")
    splits = {split: [p for p in _good_first(free) if assigned[groups[p.name]] == split] for split in SPLITS}
    if apart:
        splits["train"] = apart
    _refuse_torn_groups(splits, groups, f"--group-by {group_by}")
    said = f"{len(assigned)} groups by {group_by}, seed {seed}" + (", train/ as it is" if apart else "")
    return Division(listing.said, said, splits, groups, left_out=listing.left_out)


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


def _overfill(content: Counter[str], filled: Counter[str], totals: Counter[str]) -> float:
    """How much the squared shares of the strata in a split grow with `content`, each stratum counting the same."""
    return sum((2 * filled[stratum] + count) * count / totals[stratum] ** 2 for stratum, count in content.items())


def _refuse_torn_groups(splits: Splits, groups: Mapping[str, str], whose: str) -> None:
    home: dict[str, str] = {}
    for split, photographs in splits.items():
        for group in (groups[p.name] for p in photographs if p.name in groups):
            if home.setdefault(group, split) != split:
                raise DataError(f"{whose}: group {group!r} stands in {home[group]} and in {split}")


def _good_first(photographs: Iterable[Photograph]) -> list[Photograph]:
    return sorted(photographs, key=lambda photograph: photograph.is_bad)
