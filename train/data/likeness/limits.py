"""From which agreement on two photographs show the same thing, learnt from photographs of different parts.

Within a split, each photograph is compared with the most alike ones of other parts. The upper tail of these agreements
falls about exponentially (the peaks-over-threshold method with a tail of the Gumbel type: S. Coles, An Introduction to
Statistical Modeling of Extreme Values, 2001, chapter 4). It tells how many pairs of different parts in different splits
agree more than any limit, and so the limit that a stated number of them exceeds.

Photographs of one part within a split, under several names or none, must not raise the limit. So parts that agree with
another one as only copies do (`SURELY_SAME`) are left out. If many do, the set shows parts several times under names
that do not tell, and fixed limits hold.
"""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FALSE_PAIRS = 1.0
"""Expected number of pairs of different parts in different splits that are reported as alike."""

SURE = 0.01
"""Expected number of such pairs that are called certain."""

SEEN_PAIRS = 3.0
"""The limit is so high that no more of the pairs seen within splits exceed it, scaled to the number of those across if
these are more, however heavy the tail."""

SURELY_SAME = 1.75
"""Agreement that only pictures of one part reach. Of training photographs no two different solar cells, rendered parts
or tiles reach it: the highest, 1.62, is that of two cells whose wafers come from one block and share their grain. Nine
of ten pairs of photographs of one tile in two exposures do."""

DESIGN = 0.5
"""If more than this share of the parts of a split agree so, one with the next, they are different parts of a design and
not one part under several names."""

MANY = 0.3
"""Share of parts that agree so with another one, from which their names are not believed."""

TAIL, FEWEST = 0.05, 10
"""The tail is that many of the highest agreements per part, at least FEWEST."""

SHORTEST_TAIL = 0.05
"""Least scale of the tail: pairs that differ at first sight have the agreement 0, and no tail."""

UNKNOWN = 1.3
"""The limit if there are too few photographs for a tail, or names of parts are not believed."""

LOWEST, HIGHEST = 0.6, 2.5
LOWEST_CERTAIN, HIGHEST_CERTAIN = 1.3, 3.0
"""Bounds of both limits, whatever the tail says."""


class Limits(BaseModel):
    """Agreements, on Fisher's z scale, from which two photographs are reported, and are certain to be the same.

    `expected` is the number of reported pairs of different parts that chance explains; None if it is not known.
    """

    model_config = ConfigDict(frozen=True)

    alike: float
    certain: float
    expected: float | None = None

    @property
    def chance(self) -> str:
        """How many reported pairs chance explains, in words."""
        if self.expected is None:
            return "how alike different parts of this product are cannot be told from these photographs"
        number = "fewer than 0.1" if self.expected < 0.1 else f"about {self.expected:.1g}"
        return f"different parts of this product give {number} such pairs by chance"


def limits_of(
    parts: npt.NDArray[np.int64], splits: npt.NDArray[np.int64], agreements: npt.NDArray[np.float64], ratio: float
) -> Limits:
    """The limits from pairs of photographs of one split and different parts.

    `parts` int64 [M, 2] are the parts of a pair, `splits` [M] its split, `agreements` [M] how well it agrees. Of
    photographs of the same two parts the pair that agrees most counts. `ratio` is that of the number of all pairs in
    different splits to all pairs of different parts within one.
    """
    order = np.argsort(-agreements, kind="stable")
    parts, splits, agreements = np.sort(parts[order], axis=1), splits[order], agreements[order]
    if len(parts):
        parts, first = np.unique(parts, axis=0, return_index=True)
        splits, agreements = splits[first], agreements[first]
    same = agreements >= SURELY_SAME
    copied = [_copied(parts[splits == split], parts[same & (splits == split)]) for split in np.unique(splits)]
    return _limits(parts, agreements, np.concatenate([*copied, np.empty(0, np.int64)]), ratio)


def _limits(
    parts: npt.NDArray[np.int64], agreements: npt.NDArray[np.float64], copied: npt.NDArray[np.int64], ratio: float
) -> Limits:
    """The limits from one pair of photographs for each two parts, but for parts that are `copied`."""
    count = len(np.unique(parts))
    if len(copied) > MANY * count:
        return Limits(alike=UNKNOWN, certain=SURELY_SAME)
    tail = max(FEWEST, round(TAIL * count))
    highest = np.sort(agreements[~np.isin(parts, copied).any(axis=1)])[::-1]
    if len(highest) <= tail or not ratio:
        return Limits(alike=UNKNOWN, certain=SURELY_SAME)
    begin = float(highest[tail])
    scale = max(float(np.mean(highest[:tail] - begin)), SHORTEST_TAIL)

    def exceeded_by(pairs: float) -> float:
        return begin + scale * float(np.log(max(1.0, tail * max(1.0, ratio) / pairs)))

    seen = float(highest[min(tail, int(SEEN_PAIRS / max(1.0, ratio)))])
    alike = float(np.clip(max(seen, exceeded_by(FALSE_PAIRS)), LOWEST, HIGHEST))
    certain = float(np.clip(exceeded_by(SURE), max(alike, LOWEST_CERTAIN), HIGHEST_CERTAIN))
    above = max(tail * float(np.exp(min(0.0, (begin - alike) / scale))), float((highest > alike).sum()))
    return Limits(alike=alike, certain=certain, expected=ratio * above)


def _copied(pairs: npt.NDArray[np.int64], same: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The parts in `same` pairs, a subset of all `pairs` int64 [M, 2] of a split, but for groups that are a design."""
    if not len(same):
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(same)), same.T), shape=(int(same.max()) + 1,) * 2)
    _, group = connected_components(graph, directed=False)
    paired = np.unique(same)
    return np.asarray(paired[np.bincount(group)[group[paired]] <= DESIGN * len(np.unique(pairs))], np.int64)


def as_correlation(agreement: float) -> float:
    """An agreement as a correlation from -1 to 1."""
    return float(np.tanh(agreement))
