"""The truth of each part of the demo line, decided before the part is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

import numpy as np

Kind = Literal["scratch", "chip", "spill"]
Strength = Literal["faint", "medium", "strong"]
Truth = Literal["good", "bad"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STRENGTHS: tuple[Strength, ...] = get_args(Strength)

SECOND_DEFECT_RATE = 0.15
"""Fraction of the bad parts that have a second defect."""

LOT, PRINTED_CODES = 25, 1_000_000
"""The printed code is a letter, which changes after each lot, and six digits; it repeats after a million parts."""


@dataclass(frozen=True)
class Defect:
    """One defect: its kind, and how visible it is."""

    kind: Kind
    strength: Strength

    def __str__(self) -> str:
        return f"{self.kind}/{self.strength}"


@dataclass(frozen=True)
class DemoPart:
    """One part of the line: its number from 0, its printed code, and its defects."""

    index: int
    code: str
    truth: Truth
    defects: tuple[Defect, ...] = ()


class Stream(IntEnum):
    """Independent random streams, so that a change to one leaves the others unchanged."""

    TRUTH = 0
    PART = 1
    DEFECT = 2
    POSE = 3
    BELT = 4
    CAMERA = 5
    LINE = 6
    PLACE = 7


def random_stream(seed: int, index: int, stream: Stream) -> np.random.Generator:
    """The random numbers of one stream for one part: the same in every process and in every order of calls."""
    return np.random.default_rng([seed, index, stream])


def plan_part(seed: int, index: int, defect_rate: float) -> DemoPart:
    """Decide the truth of a part: bad with probability `defect_rate`; kinds and strengths are equally likely."""
    rng = random_stream(seed, index, Stream.TRUTH)
    code = f"{'ABCDEFGH'[(seed + index // LOT) % 8]}{index % PRINTED_CODES:06d}"
    is_bad = rng.random() < defect_rate
    if not is_bad:
        return DemoPart(index, code, "good")
    count = 2 if rng.random() < SECOND_DEFECT_RATE else 1
    return DemoPart(index, code, "bad", tuple(_plan_defect(rng) for _ in range(count)))


def plan_one_defect(
    seed: int, index: int, defect_rate: float, code: str, kind: Kind, shares: Mapping[Strength, float]
) -> DemoPart:
    """Decide the truth of a part of a line with one kind of defect: bad with probability `defect_rate`, and then with
    one defect, whose strength has the probability in `shares`.
    """
    rng = random_stream(seed, index, Stream.TRUTH)
    if rng.random() >= defect_rate:
        return DemoPart(index, code, "good")
    limits = np.cumsum(list(shares.values()))
    strength = list(shares)[min(int(np.searchsorted(limits, rng.random(), side="right")), len(shares) - 1)]
    return DemoPart(index, code, "bad", (Defect(kind, strength),))


def _plan_defect(rng: np.random.Generator) -> Defect:
    return Defect(KINDS[rng.integers(len(KINDS))], STRENGTHS[rng.integers(len(STRENGTHS))])
