"""Near-duplicate photographs in different splits: found, listed with pictures, and refused, allowed or left out.

A network that was trained on a photograph knows its near-duplicate too; metrics on that photograph are too good.
`train.data.likeness` says which photographs are alike, beyond what different parts of the product are, and of which of
these that is certain. Only certain pairs are refused; the others are shown.
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
from edge.terminal.progress import SILENT, Stage
from edge.text import counted
from train.data.contact_sheet import write_contact_sheet
from train.data.likeness import Limits, Thumbnail, near_duplicates
from train.data.split import PART, Division, LeakPolicy

SHOWN = 12
"""Number of pairs on the contact sheet."""


class LeakFindings(BaseModel):
    """Near-duplicates as recorded in run.json.

    The numbers of pairs across splits, as found, and within one split; the number of photographs left out because of
    the former; a warning if certain pairs were allowed; and a remark if pairs should be looked at. `limits` are those
    of the agreement of two photographs. The latter two are None in a record from before they existed.
    """

    model_config = ConfigDict(frozen=True)

    pairs_across: int
    pairs_within: int
    left_out: int = 0
    warning: str | None = None
    remark: str | None = None
    limits: Limits | None = None

    def __str__(self) -> str:
        if self.warning or self.remark:
            return self.warning or self.remark or ""
        earlier = counted(self.left_out, "photograph of an earlier split is", "photographs of earlier splits are")
        left_out = f"; {earlier} left out" if self.left_out else ""
        across, within = counted(self.pairs_across, "pair"), counted(self.pairs_within, "pair")
        return f"photographs that look alike: {across} in different splits, {within} within a split{left_out}"


@dataclass(frozen=True)
class Pair:
    """Two photographs that look alike, the one of the earlier split first.

    `correlation`, up to 1, is that of the places where they agree least, of detail or of brightness. `is_certain` says
    that it is far beyond that of different parts.
    """

    first: Photograph
    second: Photograph
    splits: tuple[str, str]
    correlation: float
    is_certain: bool = True


@dataclass(frozen=True)
class Leaks:
    """All pairs of near-duplicates, certain ones first, then by correlation: `across` splits, and `within` one.

    `limits` tells from which agreement on two photographs of this product are alike; None if nothing was compared.
    """

    across: list[Pair]
    within: list[Pair]
    limits: Limits | None = None

    @property
    def certain(self) -> list[Pair]:
        """The pairs across splits that certainly show the same thing."""
        return [pair for pair in self.across if pair.is_certain]

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


def find_leaks(
    splits: Mapping[str, Sequence[Photograph]], thumbnails: Mapping[str, Thumbnail], stage: Stage = SILENT.begin
) -> Leaks:
    """Compare every photograph with every other; `thumbnails` are those of `survey`, by name."""
    placed = [(photograph, split) for split in SPLITS for photograph in splits.get(split, [])]
    if not placed:
        return Leaks([], [])
    found, limits = near_duplicates(
        [thumbnails[p.name] for p, _ in placed],
        [split for _, split in placed],
        [p.details.get(PART) for p, _ in placed],
        stage,
    )
    pairs = [
        Pair(placed[a][0], placed[b][0], (placed[a][1], placed[b][1]), correlation, is_certain)
        for a, b, correlation, is_certain in found
    ]
    across = [pair for pair in pairs if pair.splits[0] != pair.splits[1]]
    return Leaks(across, [pair for pair in pairs if pair.splits[0] == pair.splits[1]], limits)


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

    If pairs are across splits, files beside the `run` folder list them. Policy "refuse" then raises DataError if some
    of them are certain; "allow" adds a warning of these to the findings; "drop" removes photographs of all pairs from
    the earlier split. Pairs that are kept and not certain are a remark.
    """
    across, certain = len(leaks.across), len(leaks.certain)
    findings = LeakFindings(pairs_across=across, pairs_within=len(leaks.within), limits=leaks.limits)
    if not across:
        return division, findings
    table, sheet = write_leaks(leaks, run)
    found = f"{counted(certain, 'pair')} of photographs in different splits look alike as only the same parts do"
    if certain and policy == "refuse":
        raise DataError(
            f"{found}, listed in {table}; figures on the later split are too good: look at {sheet.name} beside it, "
            "then split by what they share (--group-by), leave them out of the earlier split (--drop-leaks), or train "
            "with them (--allow-leaks)"
        )
    if policy == "drop":
        mended = without_leaks(division, leaks)
        left_out = len(mended.unused) - len(division.unused)
        return mended, findings.model_copy(update={"left_out": left_out})
    if certain:
        warning = f"{found}, so that figures on the later split are too good: look at {sheet.name}"
        return division, findings.model_copy(update={"warning": warning})
    return division, findings.model_copy(update={"remark": _remark(leaks, sheet)})


def _remark(leaks: Leaks, sheet: Path) -> str:
    """What to do about pairs that are not certain, in one sentence."""
    look = f"look at {sheet.name} and decide whether they show the same parts"
    chance = "" if leaks.limits is None else f"; {leaks.limits.chance}"
    return f"{counted(len(leaks.across), 'pair')} of photographs in different splits look alike: {look}{chance}"


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
            writer.writerow(["correlation", "certain", "split", "file", "other split", "other file"])
            for pair in leaks.across:
                files = (pair.splits[0], pair.first.name, pair.splits[1], pair.second.name)
                writer.writerow([f"{pair.correlation:.3f}", "yes" if pair.is_certain else "no", *files])
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
