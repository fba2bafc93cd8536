"""What is true of each part of the demo line, before a pixel of it is drawn."""

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
"""Share of the bad parts that have a second defect."""

LOT, PRINTED_CODES = 25, 1_000_000
"""The printed code is a letter, the next one after each lot, and six digits; it repeats after a million parts."""


@dataclass(frozen=True)
class Defect:
    """One defect: what happened to the part, and how plain it is to see."""

    kind: Kind
    strength: Strength

    def __str__(self) -> str:
        return f"{self.kind}/{self.strength}"


@dataclass(frozen=True)
class DemoPart:
    """One part of the line: its number from 0, the code printed on it, what is wrong with it if anything."""

    index: int
    code: str
    truth: Truth
    defects: tuple[Defect, ...] = ()


class Stream(IntEnum):
    """Independent random numbers for each matter, so that a change to one leaves the others as they were."""

    TRUTH = 0
    PART = 1
    DEFECT = 2
    POSE = 3
    BELT = 4
    CAMERA = 5
    LINE = 6
    PLACE = 7


def random_stream(seed: int, index: int, stream: Stream) -> np.random.Generator:
    """The random numbers of one matter of one part: the same in every process and every order of asking."""
    return np.random.default_rng([seed, index, stream])


def plan_part(seed: int, index: int, defect_rate: float) -> DemoPart:
    """Decide the truth of a part: bad with probability `defect_rate`, kinds and strengths equally likely."""
    rng = random_stream(seed, index, Stream.TRUTH)
    code = f"{'ABCDEFGH'[(seed + index // LOT) % 8]}{index % PRINTED_CODES:06d}"
    is_bad = rng.random() < defect_rate
    if not is_bad:
        return DemoPart(index, code, "good")
    count = 2 if rng.random() < SECOND_DEFECT_RATE else 1
    return DemoPart(index, code, "bad", tuple(_plan_defect(rng) for _ in range(count)))


def _plan_defect(rng: np.random.Generator) -> Defect:
    return Defect(KINDS[rng.integers(len(KINDS))], STRENGTHS[rng.integers(len(STRENGTHS))])
