"""From which agreement on two photographs show the same thing, learnt from photographs of different parts.

Within a split, each photograph is compared with the most alike ones of other parts. The upper tail of these agreements
falls about exponentially (the peaks-over-threshold method with a tail of the Gumbel type: S. Coles, An Introduction to
Statistical Modeling of Extreme Values, 2001, chapter 4). It tells how many pairs of different parts in different splits
agree more than any limit, and so the limit that a stated number of them exceeds. Detail and brightness each have limits
of their own; a pair is alike by either.

Photographs of one part within a split, under several names or none, must not raise the limit. So parts whose detail
agrees with that of another one as only copies do (`SURELY_SAME`) are left out. If many do, the set shows parts several
times under names that do not tell, and fixed limits hold. Of brightness no such value is known: copies that agree in
brightness only raise its limit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from train.data.likeness.agreement import Agreement

FALSE_PAIRS = 0.5
"""Expected number of pairs of different parts in different splits that are reported as alike by one measure."""

SURE = 0.005
"""Expected number of such pairs that are called certain by one measure."""

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

LOWEST_BRIGHTNESS, LOWEST_CERTAIN_BRIGHTNESS = 2.5, 3.5
"""Lower bounds of both limits of brightness. They have no upper ones: of some products all parts are equally bright at
every place, so that no agreement of brightness tells anything."""


class Limits(BaseModel):
    """Agreements, on Fisher's z scale, from which two photographs are reported, and are certain to be the same: of
    their detail, and of their brightness.

    The limits of brightness are None if only detail counts: if there are too few photographs for a tail, names of parts
    are not believed, or the record is from before brightness was compared. `expected` is the number of reported pairs
    of different parts that chance explains; None if it is not known.
    """

    model_config = ConfigDict(frozen=True)

    alike: float
    certain: float
    expected: float | None = None
    alike_brightness: float | None = None
    certain_brightness: float | None = None

    def exceeded(self, agreement: Agreement) -> tuple[float, bool] | None:
        """The agreement of the measure that tells more, and whether by it the two photographs are certain to be the
        same; None if they are not alike.
        """
        found = [(agreement.detail >= self.certain, agreement.detail - self.alike, agreement.detail)]
        if self.alike_brightness is not None and self.certain_brightness is not None:
            value = agreement.brightness
            found.append((value >= self.certain_brightness, value - self.alike_brightness, value))
        is_certain, beyond, value = max(found)
        return (value, is_certain) if beyond >= 0 else None

    @property
    def chance(self) -> str:
        """How many reported pairs chance explains, in words."""
        if self.expected is None:
            return "how alike different parts of this product are cannot be told from these photographs"
        number = "fewer than 0.1" if self.expected < 0.1 else f"about {self.expected:.1g}"
        return f"different parts of this product give {number} such pairs by chance"


def limits_of(
    parts: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int64],
    agreements: npt.NDArray[np.float64],
    ratio: float,
) -> Limits:
    """The limits from pairs of photographs of one split and different parts.

    `parts` int64 [M, 2] are the parts of a pair, `splits` [M] its split, `agreements` float64 [M, 2] how well its
    detail and its brightness agree. Of photographs of the same two parts the pair that agrees most counts. `ratio` is
    that of the number of all pairs in different splits to all pairs of different parts within one.
    """
    parts = np.sort(parts, axis=1)
    detail, brightness = (_most(parts, splits, values) for values in agreements.T)
    same = detail.agreements >= SURELY_SAME
    copied = np.concatenate(
        [
            np.empty(0, np.int64),
            *(
                _copied(detail.parts[detail.splits == split], detail.parts[same & (detail.splits == split)])
                for split in np.unique(detail.splits)
            ),
        ]
    )
    fine, bright = (_tail(one, copied, ratio) for one in (detail, brightness))
    if len(copied) > MANY * len(np.unique(parts)) or fine is None or bright is None:
        return Limits(alike=UNKNOWN, certain=SURELY_SAME)
    alike = float(np.clip(fine.alike, LOWEST, HIGHEST))
    certain = float(np.clip(fine.certain, max(alike, LOWEST_CERTAIN), HIGHEST_CERTAIN))
    alike_brightness = max(bright.alike, LOWEST_BRIGHTNESS)
    return Limits(
        alike=alike,
        certain=certain,
        expected=fine.expected(alike) + bright.expected(alike_brightness),
        alike_brightness=alike_brightness,
        certain_brightness=max(bright.certain, alike_brightness, LOWEST_CERTAIN_BRIGHTNESS),
    )


class _Pairs(NamedTuple):
    """One pair of photographs for each two parts: the parts [K, 2], their split [K] and their agreement [K]."""

    parts: npt.NDArray[np.int64]
    splits: npt.NDArray[np.int64]
    agreements: npt.NDArray[np.float64]


def _most(parts: npt.NDArray[np.int64], splits: npt.NDArray[np.int64], agreements: npt.NDArray[np.float64]) -> _Pairs:
    """Of photographs of the same two parts the pair that agrees most."""
    order = np.argsort(-agreements, kind="stable")
    if not len(order):
        return _Pairs(parts, splits, agreements)
    parts, first = np.unique(parts[order], axis=0, return_index=True)
    return _Pairs(parts, splits[order][first], agreements[order][first])


@dataclass(frozen=True)
class _Tail:
    """The upper tail of the agreements of different parts: those above `begin`, `count` of them, falling by e for each
    `scale`. `highest` are all agreements in falling order.
    """

    highest: npt.NDArray[np.float64]
    begin: float
    scale: float
    count: int
    ratio: float

    @property
    def alike(self) -> float:
        seen = float(self.highest[min(self.count, int(SEEN_PAIRS / max(1.0, self.ratio)))])
        return max(seen, self._exceeded_by(FALSE_PAIRS))

    @property
    def certain(self) -> float:
        return self._exceeded_by(SURE)

    def _exceeded_by(self, pairs: float) -> float:
        return self.begin + self.scale * float(np.log(max(1.0, self.count * max(1.0, self.ratio) / pairs)))

    def expected(self, limit: float) -> float:
        """The number of pairs in different splits that exceed the limit by chance."""
        above = self.count * float(np.exp(min(0.0, (self.begin - limit) / self.scale)))
        return self.ratio * max(above, float((self.highest > limit).sum()))


def _tail(pairs: _Pairs, copied: npt.NDArray[np.int64], ratio: float) -> _Tail | None:
    """The tail of the pairs but for parts that are `copied`; None if there are too few."""
    count = max(FEWEST, round(TAIL * len(np.unique(pairs.parts))))
    highest = np.sort(pairs.agreements[~np.isin(pairs.parts, copied).any(axis=1)])[::-1]
    if len(highest) <= count or not ratio:
        return None
    begin = float(highest[count])
    return _Tail(highest, begin, max(float(np.mean(highest[:count] - begin)), SHORTEST_TAIL), count, ratio)


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
