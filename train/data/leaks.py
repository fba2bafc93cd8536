"""Near-duplicate photographs in different splits: found, listed with pictures, and refused, allowed or left out.

A network that was trained on a photograph knows its near-duplicate too; metrics on that photograph are too good.
`train.data.likeness` defines near-duplicates.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge.errors import DataError
from edge.photographs.photograph import SPLITS, Photograph
from edge.text import counted
from train.data.contact_sheet import write_contact_sheet
from train.data.likeness import Thumbnail, near_duplicates
from train.data.split import Division, LeakPolicy

SHOWN = 12
"""Number of pairs on the contact sheet."""


class LeakFindings(BaseModel):
    """Near-duplicates as recorded in run.json.

    The numbers of pairs across splits, as found, and within one split; the number of photographs left out because of
    the former; and a warning if the pairs were allowed.
    """

    model_config = ConfigDict(frozen=True)

    pairs_across: int
    pairs_within: int
    left_out: int = 0
    warning: str | None = None

    def __str__(self) -> str:
        if self.warning:
            return self.warning
        earlier = counted(self.left_out, "photograph of an earlier split is", "photographs of earlier splits are")
        left_out = f"; {earlier} left out" if self.left_out else ""
        across, within = counted(self.pairs_across, "pair"), counted(self.pairs_within, "pair")
        return f"photographs that look alike: {across} in different splits, {within} within a split{left_out}"


@dataclass(frozen=True)
class Pair:
    """Two photographs that look alike, the one of the earlier split first, and their correlation, up to 1."""

    first: Photograph
    second: Photograph
    splits: tuple[str, str]
    correlation: float


@dataclass(frozen=True)
class Leaks:
    """All pairs of near-duplicates, highest correlation first: those `across` splits, and those `within` one."""

    across: list[Pair]
    within: list[Pair]

    def clusters(self) -> list[list[tuple[Photograph, str]]]:
        """Clusters of photographs connected by pairs, with their split; only clusters in at least two splits."""
        pairs = self.across + self.within
        places = {
            p.name: (p, split)
            for pair in pairs
            for p, split in zip((pair.first, pair.second), pair.splits, strict=True)
        }
        index = {name: number for number, name in enumerate(sorted(places))}
        ends = np.array([[index[pair.first.name], index[pair.second.name]] for pair in pairs], np.int64).reshape(-1, 2)
        graph = coo_array((np.ones(len(ends)), ends.T), shape=(len(index), len(index)))
        _, cluster = connected_components(graph, directed=False)
        found: dict[int, list[tuple[Photograph, str]]] = {}
        for name, number in index.items():
            found.setdefault(int(cluster[number]), []).append(places[name])
        return [members for members in found.values() if len({split for _, split in members}) > 1]


def find_leaks(splits: Mapping[str, Sequence[Photograph]], thumbnails: Mapping[str, Thumbnail]) -> Leaks:
    """Compare every photograph with every other; `thumbnails` are those of `survey`, by name."""
    placed = [(photograph, split) for split in SPLITS for photograph in splits.get(split, [])]
    if not placed:
        return Leaks([], [])
    pairs = [
        Pair(placed[a][0], placed[b][0], (placed[a][1], placed[b][1]), correlation)
        for a, b, correlation in near_duplicates(np.stack([thumbnails[p.name] for p, _ in placed]))
    ]
    across = [pair for pair in pairs if pair.splits[0] != pair.splits[1]]
    return Leaks(across, [pair for pair in pairs if pair.splits[0] == pair.splits[1]])


def without_leaks(division: Division, leaks: Leaks) -> Division:
    """The division without photographs that leak into a later split.

    Of each cluster of near-duplicates the photographs in the last of its splits stay (test before val before train), so
    that the judging photographs do not change; the others become unused.
    """
    left_out = set()
    for members in leaks.clusters():
        last = max((split for _, split in members), key=SPLITS.index)
        left_out |= {photograph.name for photograph, split in members if split != last}
    unused = [p for photographs in division.splits.values() for p in photographs if p.name in left_out]
    splits = {split: [p for p in ps if p.name not in left_out] for split, ps in division.splits.items()}
    return replace(division, splits=splits, unused=[*division.unused, *unused])


def settle_leaks(division: Division, leaks: Leaks, policy: LeakPolicy, run: Path) -> tuple[Division, LeakFindings]:
    """The division to use, and the findings to record.

    Leaks are listed in the files of `write_leaks`. Policy "refuse" then raises DataError; "allow" adds a warning to the
    findings; "drop" removes photographs from the earlier split.
    """
    across, within = len(leaks.across), len(leaks.within)
    if not across:
        return division, LeakFindings(pairs_across=0, pairs_within=within)
    found = f"{counted(across, 'pair')} of photographs in different splits look alike"
    if_same = "if they show the same parts, figures on the later split are too good"
    table, sheet = write_leaks(leaks, run)
    if policy == "refuse":
        raise DataError(
            f"{found}, listed in {table}; {if_same}: look at {sheet.name} beside it, then split by what they share "
            "(--group-by), leave them out of the earlier split (--drop-leaks), or train with them (--allow-leaks)"
        )
    if policy == "allow":
        warning = f"{found}; {if_same}: look at {sheet.name}"
        return division, LeakFindings(pairs_across=across, pairs_within=within, warning=warning)
    mended = without_leaks(division, leaks)
    left_out = len(mended.unused) - len(division.unused)
    return mended, LeakFindings(pairs_across=across, pairs_within=within, left_out=left_out)


def write_leaks(leaks: Leaks, run: Path) -> tuple[Path, Path]:
    """Write the pairs across splits beside a run folder: all to `RUN.leaks.csv`, the most similar to `RUN.leaks.png`.

    The picture shows each photograph at most once. Returns both paths. Raises DataError if they cannot be written.
    """
    place = run.absolute()
    table, sheet = (place.with_name(f"{place.name}.leaks.{suffix}") for suffix in ("csv", "png"))
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(["correlation", "split", "file", "other split", "other file"])
            for pair in leaks.across:
                first, second = pair.splits
                writer.writerow([f"{pair.correlation:.3f}", first, pair.first.name, second, pair.second.name])
        write_contact_sheet(sheet, [(p.first, p.second, p.correlation) for p in _each_once(leaks.across)[:SHOWN]])
    except OSError as error:
        raise DataError(f"cannot write {error.filename or table}: {error.strerror or error}") from None
    return table, sheet


def _each_once(pairs: Sequence[Pair]) -> list[Pair]:
    seen: set[str] = set()
    chosen = []
    for pair in pairs:
        names = {pair.first.name, pair.second.name}
        if not names & seen:
            chosen.append(pair)
            seen |= names
    return chosen
