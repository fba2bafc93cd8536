"""Arrival times of the parts on a line: a constant rate with jitter and pauses."""

import random
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from edge.errors import SourceError
from edge.sources.base import Capture

SIGN_OF_LIFE_S = 0.2
"""A source that waits longer than this yields None at this interval, because a station kills a silent source."""


@dataclass(frozen=True)
class Rhythm:
    """`rate` parts per second; each arrives earlier or later by up to `jitter` of the interval. After every
    `idle_every_s` of work the line pauses for `idle_s`.
    """

    rate: float
    jitter: float = 0.0
    idle_every_s: float | None = None
    idle_s: float = 0.0
    seed: int = 0

    def moments(self) -> Iterator[float]:
        """Arrival times in seconds after the first part, which arrives at 0; non-decreasing, reproducible."""
        rng, part, last = random.Random(self.seed), 0, 0.0
        while True:
            at = part / self.rate
            pauses = 0 if self.idle_every_s is None else int(at / self.idle_every_s)
            off = rng.uniform(-self.jitter, self.jitter) / self.rate if part else 0.0
            last = max(last, at + pauses * self.idle_s + off)
            yield last
            part += 1

    @classmethod
    def of(cls, rate: float, words: str) -> Self:
        """Parse a rhythm such as "jitter=0.2,idle=5/60": jitter up to a fifth of the interval, and a pause of 5 s after
        every 60 s of work. Raises SourceError for any other text.
        """
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"(?:jitter={number})?,?(?:idle={number}/{number})?", words)
        jitter, idle_s, every_s = (
            (None if one is None else float(one) for one in found.groups()) if found else (9.0,) * 3
        )
        if (jitter or 0) > 1 or every_s == 0:
            raise SourceError(
                f"replay:{words}: say how far off parts are, 0 to 1 of the interval, and what pauses the line makes, "
                "seconds, as in replay:jitter=0.2,idle=5/60"
            )
        return cls(rate, jitter or 0.0, every_s, idle_s or 0.0)

    def words(self) -> str:
        """The text that `of` parses."""
        said = [f"jitter={self.jitter:f}"] if self.jitter else []
        if self.idle_every_s is not None:
            said.append(f"idle={self.idle_s:f}/{self.idle_every_s:f}")
        return ",".join(said)


def rhythmic(captures: Iterable[Capture], rhythm: Rhythm) -> Iterator[Capture | None]:
    """The captures, each stamped with the due time of its part, as if a camera had exposed it then.

    If the machine is too busy to yield a frame in time, the frame is old. None: the line waits.
    """
    began_ns = time.monotonic_ns()
    for capture, moment in zip(captures, rhythm.moments(), strict=False):
        due_ns = began_ns + round(moment * 1e9)
        while (left_s := (due_ns - time.monotonic_ns()) / 1e9) > SIGN_OF_LIFE_S:
            time.sleep(SIGN_OF_LIFE_S)
            yield None
        time.sleep(max(0.0, left_s))
        yield replace(capture, captured_ns=due_ns)
