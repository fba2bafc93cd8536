"""Groups of photographs that show the same thing, and their assignment to splits: a group is never in two of them."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def joined(keys: Sequence[Sequence[Hashable]]) -> list[int]:
    """The group of each of N things, a number from 0 in order of appearance. Things with a common key are in one group,
    and so are things that others join.
    """
    parent = list(range(len(keys)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            parent[root(index)] = root(first.setdefault(key, index))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(keys))]


def assign_groups(
    groups: Sequence[str], strata: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """A split for each group, so that every split gets its share of each stratum as nearly as groups allow.

    `groups` and `strata` have one entry per photograph; `shares` are positive. Groups are taken in random order, large
    ones first, each to the split that it overfills the least (after Sechidis, Tsoumakas and Vlahavas, On the
    Stratification of Multi-label Data, ECML 2011). The order of the photographs does not matter.
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
        # Rounded: otherwise equal costs that differ in the last bit would hide that one split is still empty.
        cost = {split: round(_overfill(content, filled[split], totals) / share, 9) for split, share in shares.items()}
        chosen = min(shares, key=lambda split: (cost[split], filled[split].total(), split))
        filled[chosen].update(content)
        assigned[group] = chosen
    return assigned


def _overfill(content: Counter[str], filled: Counter[str], totals: Counter[str]) -> float:
    """Growth of the squared shares of the strata in a split with `content`; each stratum has the same weight."""
    return sum((2 * filled[stratum] + count) * count / totals[stratum] ** 2 for stratum, count in content.items())
