"""The photographs of somebody who has few: parts drawn at random, some to learn from and some for validation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.photographs.groups import joined
from edge.photographs.photograph import Photograph, read_photograph
from edge.text import counted
from train.data.leaks import find_leaks, without_leaks
from train.data.likeness import thumbnail
from train.data.split import AS_FOLDERS, divide

LEARNT_TENTHS = 7
"""Tenths of the photographs of each class that are learnt from. The threshold is chosen on the others."""


@dataclass(frozen=True)
class Pool:
    """The photographs from which few are drawn, the part that each shows, by its name, and the whole test split.

    `left_out` counts photographs that are not in the pool because a test photograph may show the same part.
    """

    photographs: list[Photograph]
    part_of: Mapping[str, str]
    test: list[Photograph]
    left_out: int = 0


@dataclass(frozen=True)
class Draw:
    """Drawn photographs: those to learn from, and those of validation; good ones first, by name, as edge-train has."""

    learnt: list[Photograph]
    chosen_on: list[Photograph]

    def names(self) -> list[list[str]]:
        """The names of both lists."""
        return [[one.name for one in photographs] for photographs in (self.learnt, self.chosen_on)]


def read_pool(data: Path, joins_alike: bool = False) -> Pool:
    """The photographs of `data`: train and val together are the pool.

    Parts are those of the column `part` of parts.csv; a photograph without one is a part by itself. With `joins_alike`
    two parts are one if a photograph of each looks alike, and photographs of the pool that look like one of test are
    left out. Raises DataError if the folder cannot be used.
    """
    division = divide(data, AS_FOLDERS)
    splits = {"train": [*division.splits["train"], *division.splits["val"]], "test": division.splits["test"]}
    count, pairs = len(splits["train"]), list[tuple[str, str]]()
    if joins_alike:
        pictures = {one.name: thumbnail(read_photograph(one)) for members in splits.values() for one in members}
        leaks = find_leaks(splits, pictures)
        splits = without_leaks(replace(division, splits=splits), leaks).splits
        pairs = [(pair.first.name, pair.second.name) for pair in leaks.within]
    keys = {one.name: [one.details.get("part") or one.name] for one in splits["train"]}
    for number, pair in enumerate(pairs):
        for name in keys.keys() & set(pair):
            keys[name].append(f"pair {number}")
    parts = dict(zip(keys, map(str, joined(list(keys.values()))), strict=True))
    return Pool(splits["train"], parts, splits["test"], count - len(keys))


def draw(pool: Pool, good: int, bad: int, seed: int) -> Draw:
    """Exactly so many good and bad photographs of the pool, `LEARNT_TENTHS` of each class to learn from.

    Parts come in a random order, each with its photographs; those to learn from are taken from its beginning, those of
    validation from its end, so that no part is in both, and that a draw holds those with fewer photographs and the same
    seed. Of the last part on each side only as many photographs are taken as are missing. Raises DataError if the pool
    has too few parts.
    """
    names = sorted(set(pool.part_of.values()), key=int)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    counts = {False: good, True: bad}
    learnt_counts = {is_bad: (LEARNT_TENTHS * count + 5) // 10 for is_bad, count in counts.items()}
    learnt = [one for is_bad, count in learnt_counts.items() for one in _take(pool, order, is_bad, count)]
    used = {pool.part_of[one.name] for one in learnt}
    rest = [part for part in reversed(order) if part not in used]
    missing = {is_bad: counts[is_bad] - learnt_counts[is_bad] for is_bad in counts}
    chosen_on = [one for is_bad, count in missing.items() for one in _take(pool, rest, is_bad, count)]
    return Draw(sorted(learnt, key=_good_first), sorted(chosen_on, key=_good_first))


def _take(pool: Pool, parts: Iterable[str], is_bad: bool, count: int) -> list[Photograph]:
    """The first `count` photographs of a class, part by part."""
    members: dict[str, list[Photograph]] = {}
    for one in pool.photographs:
        if one.is_bad is is_bad:
            members.setdefault(pool.part_of[one.name], []).append(one)
    taken = [one for part in parts for one in sorted(members.get(part, []), key=_good_first)][:count]
    if len(taken) < count:
        label = "bad" if is_bad else "good"
        raise DataError(f"{counted(count, f'{label} photograph')} asked for, and {len(taken)} are left to draw from")
    return taken


def parts_of(pool: Pool, photographs: Iterable[Photograph]) -> int:
    """The number of parts that these photographs of the pool show."""
    return len({pool.part_of[one.name] for one in photographs})


def _good_first(photograph: Photograph) -> tuple[bool, str]:
    return photograph.is_bad, photograph.name
